// verify_checkpoints //
// The checkpoints of a topic, as they are.
MATCH (c:HolonstreamCheckpoint {topic: $topic})
WHERE c.partition IS :: INTEGER NOT NULL
RETURN c.partition, properties(c)

// checkpoints_lock //
// Take the locks of a topic's checkpoints, in one order for all.
MATCH (c:HolonstreamCheckpoint {topic: $topic})
WHERE c.partition IS :: INTEGER NOT NULL
WITH c ORDER BY c.partition
SET c.lock = true
WITH c
REMOVE c.lock

// repair_checkpoint //
// Give a checkpoint these properties and no other.
MATCH (c:HolonstreamCheckpoint {topic: $topic, partition: $partition})
SET c = $properties

// repair_holons //
// Overwrite holons with whole states, labels too.
UNWIND $rows AS row
WITH row.t AS type, row.p AS p
MERGE (n:Holon {_id: p._id})
WITH type, p, n, [label IN labels(n) WHERE label <> 'Holon'] AS others
REMOVE n:$(others)
SET n:$(type)
SET n = p {.*, _createdAt: datetime(p._createdAt), _lastModified: datetime(p._lastModified)}

// repair_bare //
// Make nodes bare ends. They are not deleted: a worker may be about to connect a relationship to one.
UNWIND $ids AS id
MATCH (n:Holon {_id: id})
USING INDEX SEEK n:Holon(_id)
WITH n, [label IN labels(n) WHERE label <> 'Holon'] AS others
REMOVE n:$(others)
SET n = {_id: n._id}

// repair_loose_nodes //
// Delete nodes that claim to be holons and that no worker can find. The conditions of verify_nodes again: Neo4j may have
// given an element's id to another since.
MATCH (n)
WHERE elementId(n) IN $elements
  AND (n:Holon OR (n._id IS NOT NULL AND any(label IN labels(n) WHERE label IN $types)))
  AND NOT (n:Holon AND n._id IS :: STRING NOT NULL)
DETACH DELETE n

// repair_loose_edges //
// Delete relationships that claim to be holonstream's and that no worker can find. The conditions again: see
// repair_loose_nodes.
MATCH (a)-[r]->(b)
WHERE elementId(r) IN $elements
  AND (a:Holon OR b:Holon)
  AND (type(r) IN $types OR r._id IS NOT NULL)
  AND NOT (type(r) IN $types AND r._id IS :: STRING NOT NULL)
DELETE r

// verify_holons //
// The nodes of some ids, as they are. An instant of another type than a datetime comes in a list, so that it differs.
UNWIND $ids AS id
MATCH (n:Holon {_id: id})
USING INDEX SEEK n:Holon(_id)
RETURN collect([id, labels(n), n {.*,
  _createdAt: CASE WHEN n._createdAt IS NULL THEN null
    WHEN n._createdAt IS :: ZONED DATETIME THEN toString(n._createdAt) ELSE [n._createdAt] END,
  _lastModified: CASE WHEN n._lastModified IS NULL THEN null
    WHEN n._lastModified IS :: ZONED DATETIME THEN toString(n._lastModified) ELSE [n._lastModified] END}])

// verify_relationships //
// The relationships of some ids, as they are, several of one id too; __BRANCHES__ is relationship_branch for each type.
// An instant of another type than a datetime comes in a list, so that it differs.
UNWIND $ids AS id
CALL (id) {
__BRANCHES__
}
RETURN collect([id, type(r), a:Holon, a._id, b:Holon, b._id, r {.*,
  _effectiveStart: CASE WHEN r._effectiveStart IS NULL THEN null
    WHEN r._effectiveStart IS :: ZONED DATETIME THEN toString(r._effectiveStart) ELSE [r._effectiveStart] END,
  _effectiveEnd: CASE WHEN r._effectiveEnd IS NULL THEN null
    WHEN r._effectiveEnd IS :: ZONED DATETIME THEN toString(r._effectiveEnd) ELSE [r._effectiveEnd] END,
  _lastModified: CASE WHEN r._lastModified IS NULL THEN null
    WHEN r._lastModified IS :: ZONED DATETIME THEN toString(r._lastModified) ELSE [r._lastModified] END}])

// verify_nodes //
// Every node that is, or claims to be, a holon; bare ends are left out. The id only where it is one. A node of another
// program may have a label of the catalogue; with an id as well it claims to be ours.
MATCH (n)
WHERE (n:Holon OR (n._id IS NOT NULL AND any(label IN labels(n) WHERE label IN $types)))
  AND NOT (labels(n) = ['Holon'] AND keys(n) = ['_id'] AND n._id IS :: STRING NOT NULL)
RETURN elementId(n), CASE WHEN n:Holon AND n._id IS :: STRING NOT NULL THEN n._id END, labels(n), n._id

// verify_edges //
// Every relationship that is, or claims to be, holonstream's: it has two of a type of the catalogue, an id, a holon at an
// end. The id only if it is text, and the type is known.
MATCH (a)-[r]->(b)
WITH a, r, b, a:Holon OR b:Holon AS touches
WHERE (type(r) IN $types AND (touches OR r._id IS :: STRING NOT NULL)) OR (touches AND r._id IS NOT NULL)
RETURN elementId(r), CASE WHEN type(r) IN $types AND r._id IS :: STRING NOT NULL THEN r._id END,
  type(r), r._id, a._id, b._id

// replay_content //
// What a graph holds: nodes (from the count store), whether a checkpoint has moved, and the topics that it follows.
CALL () { MATCH (n:Holon) RETURN count(n) AS nodes }
CALL () {
  MATCH (c:HolonstreamCheckpoint) WHERE c.topic IS :: STRING NOT NULL AND c.partition IS :: INTEGER NOT NULL
  RETURN max(toIntegerOrNull(c.offset)) AS offset, collect(DISTINCT c.topic) AS topics
}
RETURN nodes, coalesce(offset, 0), topics

// replay_mark //
// The replay that is making, or has made, this graph.
MATCH (r:HolonstreamReplay {topic: $topic})
RETURN r.suffix, r.state, r.began

// replay_mark_set //
// Record the stage of a replay.
MERGE (r:HolonstreamReplay {topic: $topic})
ON CREATE SET r.began = $now
SET r.suffix = $suffix, r.state = $state

// replay_mark_delete //
// Delete the mark: the replay is over.
MATCH (r:HolonstreamReplay {topic: $topic})
DELETE r

// replay_wipe_checkpoints //
// First of all: without its checkpoint no worker can write a partition.
MATCH (n:HolonstreamCheckpoint|HolonstreamParked)
DELETE n

// replay_wipe_empty_streams //
// How far streams without an entity had come, in transactions of their own.
MATCH (e:HolonstreamEmptyStream)
CALL (e) { DELETE e } IN TRANSACTIONS OF 10000 ROWS

// replay_wipe_decisions //
// Decisions to leave events out are set aside: the rebuilt graph may need them, or not.
MATCH (d:HolonstreamDiscarded)
SET d:HolonstreamDiscardedBefore
REMOVE d:HolonstreamDiscarded

// replay_wipe_relationships //
// All relationships that are, or claim to be, holonstream's, in transactions of their own: a holon may have more of them
// than one can hold. Those between nodes of other programs stay.
MATCH (a)-[r]->(b)
WHERE a:Holon OR b:Holon OR (type(r) IN $types AND r._id IS NOT NULL)
CALL (r) { DELETE r } IN TRANSACTIONS OF 10000 ROWS

// replay_wipe_holons //
// All holons, in transactions of their own.
MATCH (n:Holon)
CALL (n) { DETACH DELETE n } IN TRANSACTIONS OF 10000 ROWS

// replay_decisions_before //
// Decisions that the graph had before it was wiped.
MATCH (d:HolonstreamDiscardedBefore {topic: $topic})
RETURN d.stream, d.version, d.position, d.reason, d.note, d.decided
ORDER BY d.position

// replay_decisions_forget //
// Delete the earlier decisions: those that were needed have been made again.
MATCH (d:HolonstreamDiscardedBefore {topic: $topic})
DELETE d
