// Take a partition's checkpoint until the end of the transaction and raise its epoch; returns the position reached.
// SET takes the write lock, and what follows WITH is read under it (see fence.cypher): no worker can commit to the
// partition meanwhile, and the one that waits finds the new epoch and drops its cached states.
MATCH (c:HolonstreamCheckpoint {topic: $topic, partition: $partition})
SET c.lock = true
WITH c
SET c.epoch = c.epoch + 1
REMOVE c.lock
RETURN c.position
