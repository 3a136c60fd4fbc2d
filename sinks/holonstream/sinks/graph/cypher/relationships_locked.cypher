// Relationships of one type, each read under its write lock and those of its ends: whoever was writing them is done.
UNWIND $ids AS id
MATCH (a)-[r__RELATIONSHIP_TYPE__ {_id: id}]->(b)
USING INDEX SEEK r__RELATIONSHIP_TYPE__(_id)
SET r._lock = true, a._lock = true, b._lock = true
WITH a, r, b, id
REMOVE r._lock, a._lock, b._lock
RETURN a._id, type(r), b._id, r {.*, _id: id, _effectiveStart: toString(r._effectiveStart),
  _effectiveEnd: toString(r._effectiveEnd), _lastModified: toString(r._lastModified)}
