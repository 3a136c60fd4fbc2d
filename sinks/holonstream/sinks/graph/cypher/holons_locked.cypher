// The nodes of some ids, each read under its write lock: whoever was writing it is done.
UNWIND $ids AS id
MATCH (n:Holon {_id: id})
USING INDEX SEEK n:Holon(_id)
SET n._lock = true
WITH n, id
REMOVE n._lock
RETURN labels(n), n {.*, _id: id, _createdAt: toString(n._createdAt), _lastModified: toString(n._lastModified)}
