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
