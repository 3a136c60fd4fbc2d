// Take a partition's checkpoint and raise its epoch, if that is still the one expected; returns the epoch found and
// the position reached. As in fence: SET takes the write lock, and what follows WITH is read under it.
MATCH (c:HolonstreamCheckpoint {topic: $topic, partition: $partition})
SET c.lock = true
WITH c, c.epoch AS epoch, c.position AS position
SET c.epoch = CASE WHEN epoch = $epoch THEN epoch + 1 ELSE epoch END
REMOVE c.lock
RETURN epoch, position
