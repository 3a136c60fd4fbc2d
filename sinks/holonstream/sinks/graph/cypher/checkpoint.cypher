// Where a partition stands, once everybody who was writing it is done; from now on readers may rely on all of it.
// SET takes the write lock, which a writer holds until its transaction is applied: see settle.
MATCH (c:HolonstreamCheckpoint {topic: $topic, partition: $partition})
SET c.lock = true
WITH c
SET c.visible = c.position
REMOVE c.lock
WITH c
CALL (c) {
  MATCH (p:HolonstreamParked {topic: c.topic, partition: c.partition})
  WHERE p.redriven
  DELETE p
}
CALL (c) {
  MATCH (p:HolonstreamParked {topic: c.topic, partition: c.partition})
  WHERE p.since <> p.position
  SET p.since = p.position
}
RETURN c.offset, c.epoch, c.position
