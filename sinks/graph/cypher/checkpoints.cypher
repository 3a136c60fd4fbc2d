// Where every partition of a topic stands; all events up to `visible` are in the graph, whole.
MATCH (c:HolonstreamCheckpoint {topic: $topic})
RETURN c.partition, c.offset, c.visible
ORDER BY c.partition
