// The states of some holons; one row, which the driver unpacks fastest. A bare end has no type and no state.
UNWIND $ids AS id
MATCH (n:Holon {_id: id})
USING INDEX SEEK n:Holon(_id)
WHERE size(labels(n)) > 1
RETURN collect([labels(n), n {.*, _id: id, _createdAt: toString(n._createdAt), _lastModified: toString(n._lastModified)}])
