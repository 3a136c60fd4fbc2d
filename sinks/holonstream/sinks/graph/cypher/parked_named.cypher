// Those of some streams that are parked.
MATCH (p:HolonstreamParked)
WHERE p.key IN $keys AND p.redriven IS NULL
RETURN p.stream, p.version, p.position, p.topic, p.partition, p.offset, p.reason
