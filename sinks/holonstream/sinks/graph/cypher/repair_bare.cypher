// Make nodes bare ends. They are not deleted: a worker may be about to tie a relationship to one.
UNWIND $ids AS id
MATCH (n:Holon {_id: id})
USING INDEX SEEK n:Holon(_id)
WITH n, [label IN labels(n) WHERE label <> 'Holon'] AS others
REMOVE n:$(others)
SET n = {_id: n._id}
