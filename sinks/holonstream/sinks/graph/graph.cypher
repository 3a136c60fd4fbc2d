// constraint_holon //
// Holons are found by their id.
CREATE CONSTRAINT holonstream_holon IF NOT EXISTS FOR (n:Holon) REQUIRE n._id IS UNIQUE

// constraint_checkpoint //
// One checkpoint per partition.
CREATE CONSTRAINT holonstream_checkpoint IF NOT EXISTS
FOR (c:HolonstreamCheckpoint) REQUIRE (c.topic, c.partition) IS UNIQUE

// constraint_parked //
// One mark per parked stream.
CREATE CONSTRAINT holonstream_parked IF NOT EXISTS FOR (p:HolonstreamParked) REQUIRE p.key IS UNIQUE

// index_parked //
// The parked streams of a partition.
CREATE INDEX holonstream_parked_partition IF NOT EXISTS FOR (p:HolonstreamParked) ON (p.topic, p.partition)

// constraint_empty_stream //
// One node per stream without an entity.
CREATE CONSTRAINT holonstream_empty_stream IF NOT EXISTS FOR (e:HolonstreamEmptyStream) REQUIRE e.key IS UNIQUE

// constraint_migration //
// One record per migration, and one lock for all who upgrade a graph.
CREATE CONSTRAINT holonstream_migration IF NOT EXISTS FOR (m:HolonstreamMigration) REQUIRE m.number IS UNIQUE

// index_holon_type //
// Pages of one type come in the order of this index.
CREATE INDEX __NAME__ IF NOT EXISTS FOR (n__HOLON_TYPE__) ON (n._id)

// constraint_relationship //
// One per type: the id is then found by a seek, and MATCH over all types is a union of seeks.
CREATE CONSTRAINT __NAME__ IF NOT EXISTS FOR ()-[r__RELATIONSHIP_TYPE__]-() REQUIRE r._id IS UNIQUE

// indexes //
// The indexes that can answer, and whether each belongs to a uniqueness constraint.
SHOW INDEXES YIELD type, state, labelsOrTypes, properties, owningConstraint, entityType
WHERE type = 'RANGE' AND state = 'ONLINE'
RETURN labelsOrTypes[0], properties, owningConstraint IS NOT NULL, entityType

// duplicate_nodes //
// Nodes of a label that a uniqueness constraint would not let be, some of them. A scan: only asked when the constraint is
// missing.
MATCH (n:$($name))
WITH [p IN $properties | n[p]] AS key, count(*) AS count
WHERE count > 1 AND all(value IN key WHERE value IS NOT NULL)
RETURN key, count ORDER BY count DESC LIMIT 5

// duplicate_relationships //
// The same of relationships of a type.
MATCH ()-[r:$($name)]->()
WITH [p IN $properties | r[p]] AS key, count(*) AS count
WHERE count > 1 AND all(value IN key WHERE value IS NOT NULL)
RETURN key, count ORDER BY count DESC LIMIT 5

// server_facts //
// Neo4j's version and edition, and its clock in milliseconds since 1970.
CALL dbms.components() YIELD versions, edition
RETURN versions[0] AS version, edition, datetime.realtime().epochMillis AS now

// open_transactions //
// Transactions that have been open for so many seconds, in any session, and the one who opened each.
SHOW TRANSACTIONS YIELD transactionId, username, connectionId, elapsedTime
WHERE elapsedTime > duration({seconds: $seconds})
RETURN transactionId, username, connectionId, elapsedTime.seconds AS seconds

// await_indexes //
// Wait until every index can answer.
CALL db.awaitIndexes(300)

// migrations_applied //
// What a graph has had, in order.
MATCH (m:HolonstreamMigration)
WHERE m.number IS :: INTEGER NOT NULL
RETURN m.number, coalesce(toStringOrNull(m.name), ''), coalesce(toStringOrNull(m.release), ''),
  CASE WHEN m.appliedAt IS :: ZONED DATETIME NOT NULL THEN m.appliedAt.epochMillis ELSE 0 END
ORDER BY m.number

// migrations_lock //
// Wait for who upgrades the graph, and keep others waiting until this transaction ends.
MERGE (m:HolonstreamMigration {number: 0})
SET m.lock = true
REMOVE m.lock

// migration_note //
// Record a migration.
MERGE (m:HolonstreamMigration {number: $number})
SET m.name = $name, m.release = $release, m.appliedAt = datetime.realtime()

// checkpoints_create //
// Make the checkpoints that are missing; existing ones stay as they are. A graph that has entities already lost some: see
// known in checkpoint.py.
OPTIONAL MATCH (n:Holon)
WITH n IS NOT NULL AS has_entities LIMIT 1
UNWIND range(0, $partitions - 1) AS partition
MERGE (c:HolonstreamCheckpoint {topic: $topic, partition: partition})
ON CREATE SET c.offset = 0, c.position = 0, c.visible = 0, c.epoch = 0,
  c.known = CASE WHEN has_entities THEN $log_end ELSE 0 END

// checkpoints //
// Where every partition of a topic stands; all events up to `visible` are in the graph, whole. What is no number counts
// as 0: readers then rely on nothing.
MATCH (c:HolonstreamCheckpoint {topic: $topic})
WHERE c.partition IS :: INTEGER NOT NULL
RETURN c.partition, CASE WHEN c.offset IS :: INTEGER NOT NULL THEN c.offset ELSE 0 END,
  CASE WHEN c.visible IS :: INTEGER NOT NULL THEN c.visible ELSE 0 END
ORDER BY c.partition

// checkpoint_offsets //
// The checkpoints of some partitions, as they are.
UNWIND $partitions AS partition
MATCH (c:HolonstreamCheckpoint {topic: $topic, partition: partition})
RETURN partition, c.offset

// other_topics //
// The topics that a graph follows.
MATCH (c:HolonstreamCheckpoint)
RETURN DISTINCT toStringOrNull(c.topic) AS topic ORDER BY topic

// checkpoint_topic //
// Which topic a checkpoint is in. One that has not moved, or was made by an earlier version, takes the id given.
MATCH (c:HolonstreamCheckpoint {topic: $topic, partition: $partition})
SET c.topicId = CASE WHEN c.offset = 0 OR c.topicId IS NULL THEN coalesce($topic_id, c.topicId) ELSE c.topicId END,
  c.provesHoles = CASE WHEN c.offset = 0 THEN true ELSE c.provesHoles END
RETURN c.topicId, c.offset

// checkpoint_publish //
// Publish the visible position once the checkpoint's last writer is done; returns where the checkpoint stands. SET
// takes the write lock, which a writer holds until its transaction is applied (see advance_visible).
MATCH (c:HolonstreamCheckpoint {topic: $topic, partition: $partition})
SET c.lock = true
WITH c
SET c.visible = c.position
REMOVE c.lock
WITH c
CALL (c) {
  MATCH (p:HolonstreamParked {topic: c.topic, partition: c.partition})
  WHERE p.redriven IS NOT NULL
  DELETE p
}
CALL (c) {
  MATCH (p:HolonstreamParked {topic: c.topic, partition: c.partition})
  WHERE p.since <> p.position
  SET p.since = p.position
}
RETURN c.offset, c.epoch, c.position, coalesce(c.known, 0), coalesce(c.provesHoles, false)

// claim //
// Take checkpoints' locks and move each that still stands where its worker left it; returns where they stood before.
// The lock comes before the comparison: SET takes the node's write lock, and what follows WITH is read under it. Without
// it two workers could both read the old offset, and both write their batch.
UNWIND $claims AS row
MATCH (c:HolonstreamCheckpoint {topic: row.topic, partition: row.partition})
SET c.lock = true
WITH row, c, c.offset AS offset, c.epoch AS epoch
FOREACH (_ IN CASE WHEN offset = row.offset AND epoch = row.epoch THEN [1] ELSE [] END |
  SET c.offset = row.next_offset,
      c.position = CASE WHEN row.position > c.position THEN row.position ELSE c.position END
)
REMOVE c.lock
RETURN row.partition, offset, epoch

// advance_visible //
// Publish the visible position: readers may rely on all that was committed. A transaction of its own, since one is not
// applied at once: the moved `position` may be seen before the entities that were written with it. The transaction that gets the
// checkpoint's write lock comes after the one that moved it, which is then applied whole.
UNWIND $partitions AS partition
MATCH (c:HolonstreamCheckpoint {topic: $topic, partition: partition})
SET c.lock = true
WITH c
SET c.visible = c.position
REMOVE c.lock

// raise_epoch //
// Take a checkpoint's lock and raise its epoch, if that is the one expected (null: any); returns the epoch found and the
// position reached. As in claim: SET takes the write lock, and what follows WITH is read under it.
MATCH (c:HolonstreamCheckpoint {topic: $topic, partition: $partition})
SET c.lock = true
WITH c, c.epoch AS epoch, c.position AS position
SET c.epoch = CASE WHEN epoch = coalesce($expected, epoch) THEN epoch + 1 ELSE epoch END
REMOVE c.lock
RETURN epoch, position

// parked_streams //
// Every parked stream of a topic, in log order. A mark whose version cannot be read parks the whole stream: here and below
// what another program has put into one is not believed. A topic or a partition that has no checkpoint is none.
MATCH (p:HolonstreamParked)
WHERE p.redriven IS NULL AND p.key IS :: STRING NOT NULL
  AND (p.topic = $topic OR NOT EXISTS { (:HolonstreamCheckpoint {topic: p.topic}) })
RETURN CASE WHEN p.stream IS :: STRING NOT NULL THEN p.stream ELSE p.key END,
  CASE WHEN p.version IS :: INTEGER NOT NULL AND p.version > 0 THEN p.version ELSE 1 END,
  CASE WHEN p.position IS :: INTEGER NOT NULL THEN p.position ELSE 0 END AS position, $topic,
  CASE WHEN p.partition IS :: INTEGER AND EXISTS { (:HolonstreamCheckpoint {topic: $topic, partition: p.partition}) }
    THEN p.partition END,
  COUNT { (:HolonstreamCheckpoint {topic: $topic}) },
  CASE WHEN p.offset IS :: INTEGER THEN p.offset END, coalesce(toStringOrNull(p.reason), '')
ORDER BY position

// parked_in //
// The parked streams of a partition.
MATCH (p:HolonstreamParked {topic: $topic, partition: $partition})
WHERE p.redriven IS NULL AND p.key IS :: STRING NOT NULL
RETURN CASE WHEN p.stream IS :: STRING NOT NULL THEN p.stream ELSE p.key END,
  CASE WHEN p.version IS :: INTEGER NOT NULL AND p.version > 0 THEN p.version ELSE 1 END,
  coalesce(toStringOrNull(p.reason), '')

// parked_of //
// Which of some streams are parked.
MATCH (p:HolonstreamParked)
WHERE p.key IN $keys AND p.redriven IS NULL
WITH p, CASE WHEN EXISTS { (:HolonstreamCheckpoint {topic: p.topic}) } THEN p.topic
  ELSE coalesce(COLLECT { MATCH (c:HolonstreamCheckpoint) RETURN c.topic LIMIT 1 }[0], '') END AS topic
RETURN CASE WHEN p.stream IS :: STRING NOT NULL THEN p.stream ELSE p.key END,
  CASE WHEN p.version IS :: INTEGER NOT NULL AND p.version > 0 THEN p.version ELSE 1 END,
  CASE WHEN p.position IS :: INTEGER NOT NULL THEN p.position ELSE 0 END AS position, topic,
  CASE WHEN p.partition IS :: INTEGER AND EXISTS { (:HolonstreamCheckpoint {topic: topic, partition: p.partition}) }
    THEN p.partition END,
  COUNT { (:HolonstreamCheckpoint {topic: topic}) },
  CASE WHEN p.offset IS :: INTEGER THEN p.offset END, coalesce(toStringOrNull(p.reason), '')

// hidden_from //
// Where streams are parked, or were until a redrive that may not be applied yet: the position of the first event that
// readers do not see, and which of the two. A mark whose position cannot be read hides the whole stream.
MATCH (p:HolonstreamParked)
WHERE p.key IN $keys
RETURN CASE WHEN p.stream IS :: STRING NOT NULL THEN p.stream ELSE p.key END,
  CASE WHEN p.since IS :: INTEGER NOT NULL THEN p.since ELSE 1 END, p.redriven IS NULL

// park //
// Park streams: their events from this version on are not in the graph.
UNWIND $rows AS row
MERGE (p:HolonstreamParked {key: row.key})
SET p = row

// unpark //
// Unpark streams. Their marks are deleted when readers may rely on it: see checkpoint_publish.
MATCH (p:HolonstreamParked)
WHERE p.key IN $keys
SET p.redriven = true, p.topic = $topic, p.partition = $partition

// discard //
// Record an operator's decision to leave one event out. There are few of these, and the checkpoint's lock is held.
MERGE (d:HolonstreamDiscarded {key: $row.key, version: $row.version})
SET d = $row

// discarded_events //
// Every event of a topic that was left out by decision, in log order. Topics as in parked_streams.
MATCH (d:HolonstreamDiscarded)
WHERE (d.topic = $topic OR NOT EXISTS { (:HolonstreamCheckpoint {topic: d.topic}) })
  AND d.stream IS :: STRING NOT NULL AND d.version IS :: INTEGER NOT NULL AND d.position IS :: INTEGER NOT NULL
RETURN d.stream, d.version, d.position, coalesce(toStringOrNull(d.reason), ''), toStringOrNull(d.note),
  coalesce(toStringOrNull(d.decided), '')
ORDER BY d.position

// discarded_of //
// The versions of some streams that were left out by decision.
MATCH (d:HolonstreamDiscarded)
WHERE d.key IN $keys AND d.stream IS :: STRING NOT NULL AND d.version IS :: INTEGER NOT NULL
RETURN d.stream, d.version

// empty_streams_of //
// Up to which event the graph has seen streams that have no entity.
MATCH (e:HolonstreamEmptyStream)
WHERE e.key IN $keys
RETURN e.stream, e.version, e.position

// empty_streams_write //
// Record how far streams without an entity have come.
UNWIND $empty AS row
MERGE (e:HolonstreamEmptyStream {key: row.key})
SET e = row

// relationships_count //
// How many relationships of a type there are, as an expression: answered from the count store.
COUNT { ()-[__RELATIONSHIP_TYPE__]->() }

// relationship_branch //
// One type of a statement that finds relationships of any type by id (__BRANCHES__): one index seek.
MATCH (a)-[r__RELATIONSHIP_TYPE__ {_id: id}]->(b)
USING INDEX SEEK r__RELATIONSHIP_TYPE__(_id)
RETURN a, r, b

// relationship_page //
// One type of a statement that pages through relationships of any type (__PAGES__): its first ones, by their index.
MATCH (a)-[r__RELATIONSHIP_TYPE__]->(b)
USING INDEX SEEK r__RELATIONSHIP_TYPE__(_id)
WHERE r._id >= $after AND (a:Holon OR b:Holon)
WITH a, r, b ORDER BY r._id LIMIT $limit
RETURN a, r, b
