// One holon and how far the graph had come before it was read: the WITH makes Neo4j read the checkpoint first.
// Of a parked stream the graph has nothing from the parked event on, however far its partition has come.
MATCH (c:HolonstreamCheckpoint {topic: $topic, partition: $partition})
WITH c.position AS position
OPTIONAL MATCH (p:HolonstreamParked {key: $key})
WITH CASE WHEN p.position <= position THEN p.position - 1 ELSE position END AS position
OPTIONAL MATCH (n:Holon {_id: $id})
WHERE n._version IS NOT NULL
RETURN position, labels(n), n {.*, _createdAt: toString(n._createdAt), _lastModified: toString(n._lastModified)}
