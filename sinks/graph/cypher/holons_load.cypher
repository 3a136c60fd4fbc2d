// The states of some holons; one row, which the driver unpacks fastest. A bare end has no version and no state.
UNWIND $ids AS id
MATCH (n:Holon {_id: id})
USING INDEX SEEK n:Holon(_id)
WHERE n._version IS NOT NULL
RETURN collect([labels(n), n {.*, _createdAt: toString(n._createdAt), _lastModified: toString(n._lastModified)}])
