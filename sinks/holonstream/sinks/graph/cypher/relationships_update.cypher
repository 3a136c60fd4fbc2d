// Write whole states of relationships that keep their type and ends.
UNWIND $rows AS row
WITH row.p AS p
MATCH ()-[r__RELATIONSHIP_TYPE__ {_id: p._id}]->()
USING INDEX SEEK r__RELATIONSHIP_TYPE__(_id)
SET r = p {.*, _effectiveStart: datetime(p._effectiveStart), _effectiveEnd: datetime(p._effectiveEnd),
  _lastModified: datetime(p._lastModified)}
