// Where streams are parked: the position of the first event that the graph does not have.
MATCH (p:HolonstreamParked)
WHERE p.key IN $keys
RETURN p.stream, p.position
