// checkpoint //
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

// parked //
// The parked streams of a partition.
MATCH (p:HolonstreamParked {topic: $topic, partition: $partition})
WHERE p.redriven IS NULL
RETURN p.stream, p.version, p.reason

// fence //
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

// holons_retype //
// Take the old type from holons that have another one now.
UNWIND $rows AS row
MATCH (n:Holon {_id: row.id})
USING INDEX SEEK n:Holon(_id)
REMOVE n:$(row.old)

// holons_write //
// Write whole states. MERGE, since a relationship may have made the node as its bare end.
UNWIND $rows AS row
WITH row.t AS type, row.p AS p
MERGE (n:Holon {_id: p._id})
SET n = p {.*, _createdAt: datetime(p._createdAt), _lastModified: datetime(p._lastModified)}
SET n:$(type)

// relationships_delete //
// Take away relationships that are made again with other ends or another type.
UNWIND $ids AS id
MATCH ()-[r__RELATIONSHIP_TYPE__ {_id: id}]->()
USING INDEX SEEK r__RELATIONSHIP_TYPE__(_id)
DELETE r

// ends_write //
// The ends of relationships; one that is no holon yet is made bare.
UNWIND $ids AS id
MERGE (:Holon {_id: id})

// relationships_create //
// Make relationships whose ends are there. No MERGE: that they are new is known, and the constraint holds it.
UNWIND $rows AS row
WITH row, row.p AS p
MATCH (a:Holon {_id: row.s})
USING INDEX SEEK a:Holon(_id)
MATCH (b:Holon {_id: row.e})
USING INDEX SEEK b:Holon(_id)
CREATE (a)-[r:$(row.t)]->(b)
SET r = p {.*, _effectiveStart: datetime(p._effectiveStart), _effectiveEnd: datetime(p._effectiveEnd),
  _lastModified: datetime(p._lastModified)}

// relationships_update //
// Write whole states of relationships that keep their type and ends.
UNWIND $rows AS row
WITH row.p AS p
MATCH ()-[r__RELATIONSHIP_TYPE__ {_id: p._id}]->()
USING INDEX SEEK r__RELATIONSHIP_TYPE__(_id)
SET r = p {.*, _effectiveStart: datetime(p._effectiveStart), _effectiveEnd: datetime(p._effectiveEnd),
  _lastModified: datetime(p._lastModified)}

// park //
// Park streams: their events from this version on are not in the graph.
UNWIND $rows AS row
MERGE (p:HolonstreamParked {key: row.key})
SET p = row

// settle //
// Tell readers that partitions are written up to their positions. A transaction of its own: a transaction is not applied
// at once, so the moved `position` may be seen before the entities that were written with it. Whoever gets the
// checkpoint's write lock comes after the one who moved it, and everything of that one is there.
UNWIND $partitions AS partition
MATCH (c:HolonstreamCheckpoint {topic: $topic, partition: partition})
SET c.lock = true
WITH c
SET c.visible = c.position
REMOVE c.lock
