// The parked streams of a partition.
MATCH (p:HolonstreamParked {topic: $topic, partition: $partition})
WHERE p.redriven IS NULL
RETURN p.stream, p.version, p.reason
