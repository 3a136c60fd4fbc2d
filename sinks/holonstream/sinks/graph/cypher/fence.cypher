// Take partitions' checkpoints and move them, each if it still stands where this worker left it; returns where they stood.
// The lock comes before the comparison: SET takes the node's write lock, and what follows WITH is read under it. Without
// it two workers could both read the old offset, and both write their run.
// `epoch` is raised by whoever else writes the partition's entities (redrive), so that cached states are dropped.
UNWIND $rows AS row
MATCH (c:HolonstreamCheckpoint {topic: row.topic, partition: row.partition})
SET c.lock = true
WITH row, c, c.offset AS offset, c.epoch AS epoch
FOREACH (_ IN CASE WHEN offset = row.expected AND epoch = row.epoch THEN [1] ELSE [] END |
  SET c.offset = row.next, c.position = coalesce(row.position, c.position)
)
REMOVE c.lock
RETURN row.partition, offset, epoch
