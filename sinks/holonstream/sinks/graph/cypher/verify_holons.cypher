// The nodes of some ids, as they are. An instant of another type than a datetime comes in a list, so that it differs.
UNWIND $ids AS id
MATCH (n:Holon {_id: id})
USING INDEX SEEK n:Holon(_id)
RETURN collect([id, labels(n), n {.*,
  _createdAt: CASE WHEN n._createdAt IS NULL THEN null
    WHEN n._createdAt IS :: ZONED DATETIME THEN toString(n._createdAt) ELSE [n._createdAt] END,
  _lastModified: CASE WHEN n._lastModified IS NULL THEN null
    WHEN n._lastModified IS :: ZONED DATETIME THEN toString(n._lastModified) ELSE [n._lastModified] END}])
