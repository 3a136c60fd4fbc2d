// These streams are parked no more. Their marks go when readers may rely on it: see checkpoint.
MATCH (p:HolonstreamParked)
WHERE p.key IN $keys
SET p.redriven = true
