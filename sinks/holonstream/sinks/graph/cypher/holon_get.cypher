// One node of an id, as it is.
MATCH (n:Holon {_id: $id})
USING INDEX SEEK n:Holon(_id)
RETURN labels(n), n {.*, _id: $id, _createdAt: toString(n._createdAt), _lastModified: toString(n._lastModified)}
