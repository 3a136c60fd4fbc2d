// Where streams are parked, or were until a redrive that may not be applied yet: the position of the first event that
// the graph does not have.
MATCH (p:HolonstreamParked)
WHERE p.key IN $keys
RETURN p.stream, p.since
