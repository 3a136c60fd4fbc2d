// Where every partition of a topic stands.
MATCH (c:HolonstreamCheckpoint {topic: $topic})
RETURN c.partition, c.offset, c.position
ORDER BY c.partition
