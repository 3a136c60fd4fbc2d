// Write whole states over whatever is there, labels too.
UNWIND $rows AS row
WITH row.t AS type, row.p AS p
MERGE (n:Holon {_id: p._id})
WITH type, p, n, [label IN labels(n) WHERE label <> 'Holon'] AS others
REMOVE n:$(others)
SET n:$(type)
SET n = p {.*, _createdAt: datetime(p._createdAt), _lastModified: datetime(p._lastModified)}
