// Tell readers that partitions are written up to their positions. A transaction of its own: a transaction is not applied
// at once, so the moved `position` may be seen before the entities that were written with it. Whoever gets the
// checkpoint's write lock comes after the one who moved it, and everything of that one is there.
UNWIND $partitions AS partition
MATCH (c:HolonstreamCheckpoint {topic: $topic, partition: partition})
SET c.lock = true
WITH c
SET c.visible = c.position
REMOVE c.lock
