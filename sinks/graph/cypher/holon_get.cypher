// One holon; a bare end is none.
MATCH (n:Holon {_id: $id})
USING INDEX SEEK n:Holon(_id)
WHERE n._version IS NOT NULL
RETURN labels(n), n {.*, _createdAt: toString(n._createdAt), _lastModified: toString(n._lastModified)}
