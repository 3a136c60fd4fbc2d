// holons_retype //
// Take the old type from holons that have another one now.
UNWIND $rows AS row
MATCH (n:Holon {_id: row.id})
USING INDEX SEEK n:Holon(_id)
REMOVE n:$(row.old)

// holons_write //
// Write whole states. MERGE, since a relationship may have made the node as its bare end.
UNWIND $holons AS row
WITH row.t AS type, row.p AS p
MERGE (n:Holon {_id: p._id})
SET n = p {.*, _createdAt: datetime(p._createdAt), _lastModified: datetime(p._lastModified)}
SET n:$(type)

// relationships_delete //
// Delete relationships that are made again with other ends or another type.
UNWIND $ids AS id
MATCH ()-[r__RELATIONSHIP_TYPE__ {_id: id}]->()
USING INDEX SEEK r__RELATIONSHIP_TYPE__(_id)
DELETE r

// ends_write //
// The ends of relationships; one that is no holon yet is made bare.
UNWIND $ends AS id
MERGE (:Holon {_id: id})

// relationships_create //
// Make relationships whose ends are there. No MERGE: that they are new is known, and the constraint holds it.
UNWIND $created AS row
WITH row, row.p AS p
MATCH (a:Holon {_id: row.s})
USING INDEX SEEK a:Holon(_id)
MATCH (b:Holon {_id: row.e})
USING INDEX SEEK b:Holon(_id)
CREATE (a)-[r:$(row.t)]->(b)
SET r = p {.*, _effectiveStart: datetime(p._effectiveStart), _effectiveEnd: datetime(p._effectiveEnd),
  _lastModified: datetime(p._lastModified)}

// relationships_update //
// Write whole states of relationships that keep their type and ends: those of one type.
UNWIND $updated AS row
WITH row, row.p AS p
MATCH ()-[r__RELATIONSHIP_TYPE__ {_id: p._id}]->()
USING INDEX SEEK r__RELATIONSHIP_TYPE__(_id)
WHERE type(r) = row.t
SET r = p {.*, _effectiveStart: datetime(p._effectiveStart), _effectiveEnd: datetime(p._effectiveEnd),
  _lastModified: datetime(p._lastModified)}

// batch_write //
// A whole batch in one transaction and one round trip: claims the checkpoints (see claim) and, only if every one stood
// where its worker left it, moves them and writes the rows. Returns where they stood before. It is planned once for each
// set of types: what the rows say of the graph's size must not make it planned again.
CYPHER replan=skip
UNWIND $claims AS row
MATCH (c:HolonstreamCheckpoint {topic: row.topic, partition: row.partition})
SET c.lock = true
WITH row, c, c.offset AS offset, c.epoch AS epoch
WITH collect({row: row, checkpoint: c, offset: offset, epoch: epoch}) AS found
WITH found, size(found) = size($claims)
  AND all(one IN found WHERE one.offset = one.row.offset AND one.epoch = one.row.epoch) AS claimed
CALL (found, claimed) {
  UNWIND found AS one
  WITH one.row AS row, one.checkpoint AS c, claimed
  FOREACH (_ IN CASE WHEN claimed THEN [1] ELSE [] END |
    SET c.offset = row.next_offset,
        c.position = CASE WHEN row.position > c.position THEN row.position ELSE c.position END
  )
  REMOVE c.lock
}
CALL (claimed) {
  WITH claimed WHERE claimed
  __HOLONS_WRITE__
}
CALL (claimed) {
  WITH claimed WHERE claimed
  __ENDS_WRITE__
}
CALL (claimed) {
  WITH claimed WHERE claimed
  __RELATIONSHIPS_CREATE__
}
__EACH_BATCH_UPDATE__
CALL (claimed) {
  WITH claimed WHERE claimed
  __EMPTY_STREAMS_WRITE__
}
UNWIND found AS one
RETURN one.row.partition, one.offset, one.epoch

// batch_update //
// Of batch_write: the relationships of one type that keep their type and ends.
CALL (claimed) {
  WITH claimed WHERE claimed
  __RELATIONSHIPS_UPDATE__
}
