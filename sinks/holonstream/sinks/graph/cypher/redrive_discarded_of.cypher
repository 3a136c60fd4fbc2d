// The versions of some streams that were left out by decision.
MATCH (d:HolonstreamDiscarded)
WHERE d.key IN $keys
RETURN d.stream, d.version
