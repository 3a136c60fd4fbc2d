// Where a partition stands.
MATCH (c:HolonstreamCheckpoint {topic: $topic, partition: $partition})
RETURN c.offset, c.epoch, c.position
