// Those of some streams that are parked, and from which version.
MATCH (p:HolonstreamParked)
WHERE p.key IN $keys AND p.redriven IS NULL
RETURN p.stream, p.version, p.reason
