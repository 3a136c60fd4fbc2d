// Relationships of one type, each read under its write lock: whoever was writing it is done.
UNWIND $ids AS id
MATCH (a)-[r__RELATIONSHIP_TYPE__ {_id: id}]->(b)
USING INDEX SEEK r__RELATIONSHIP_TYPE__(_id)
SET r._lock = true
WITH a, r, b, id
REMOVE r._lock
RETURN a._id, type(r), b._id, r {.*, _id: id, _effectiveStart: toString(r._effectiveStart),
  _effectiveEnd: toString(r._effectiveEnd), _lastModified: toString(r._lastModified)}
