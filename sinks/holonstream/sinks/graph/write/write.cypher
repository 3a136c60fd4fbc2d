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
// Delete relationships that are made again with other ends or another type.
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
