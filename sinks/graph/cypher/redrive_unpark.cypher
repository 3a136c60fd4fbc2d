// These streams are parked no more.
MATCH (p:HolonstreamParked)
WHERE p.key IN $keys
DELETE p
