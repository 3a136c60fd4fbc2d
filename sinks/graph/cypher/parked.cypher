// The parked streams of a partition.
MATCH (p:HolonstreamParked {topic: $topic, partition: $partition})
RETURN p.stream, p.version, p.reason
