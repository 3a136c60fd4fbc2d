// One node, as it is, and how far the graph had come before it was read: the WITH makes Neo4j read the checkpoint first.
// Of a parked stream the graph has nothing from the parked event on, however far its partition has come.
MATCH (c:HolonstreamCheckpoint {topic: $topic, partition: $partition})
WITH coalesce(c.visible, 0) AS position
OPTIONAL MATCH (p:HolonstreamParked {key: $key})
WITH position, p.since AS parked
WITH CASE WHEN parked <= position THEN parked - 1 ELSE position END AS position
OPTIONAL MATCH (n:Holon {_id: $id})
RETURN position, labels(n), n {.*, _id: $id, _createdAt: toString(n._createdAt), _lastModified: toString(n._lastModified)}
