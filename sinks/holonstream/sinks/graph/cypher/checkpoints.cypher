// Where every partition of a topic stands; all events up to `visible` are in the graph, whole.
MATCH (c:HolonstreamCheckpoint {topic: $topic})
RETURN c.partition, c.offset, coalesce(c.visible, 0)
ORDER BY c.partition
