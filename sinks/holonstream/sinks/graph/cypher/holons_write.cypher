// Write whole states. MERGE, since a relationship may have made the node as its bare end.
UNWIND $rows AS row
WITH row.t AS type, row.p AS p
MERGE (n:Holon {_id: p._id})
SET n = p {.*, _createdAt: datetime(p._createdAt), _lastModified: datetime(p._lastModified)}
SET n:$(type)
