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

// index_holon_type //
// Pages of one type come in the order of this index.
CREATE INDEX __NAME__ IF NOT EXISTS FOR (n__HOLON_TYPE__) ON (n._id)

// constraint_relationship //
// One per type: the id is then found by a seek, and MATCH over all types is a union of seeks.
CREATE CONSTRAINT __NAME__ IF NOT EXISTS FOR ()-[r__RELATIONSHIP_TYPE__]-() REQUIRE r._id IS UNIQUE

// indexes //
// What indexes there are that can answer, and whether each holds a uniqueness constraint.
SHOW INDEXES YIELD type, state, labelsOrTypes, properties, owningConstraint
WHERE type = 'RANGE' AND state = 'ONLINE'
RETURN labelsOrTypes[0], properties, owningConstraint IS NOT NULL

// await_indexes //
// Wait until every index can answer.
CALL db.awaitIndexes(300)

// checkpoints_init //
// Make the checkpoints that are missing; those that are there stay as they are.
UNWIND range(0, $partitions - 1) AS partition
MERGE (c:HolonstreamCheckpoint {topic: $topic, partition: partition})
ON CREATE SET c.offset = 0, c.position = 0, c.visible = 0, c.epoch = 0

// checkpoints //
// Where every partition of a topic stands; all events up to `visible` are in the graph, whole.
MATCH (c:HolonstreamCheckpoint {topic: $topic})
RETURN c.partition, c.offset, coalesce(c.visible, 0)
ORDER BY c.partition

// relationships_count //
// How many relationships of a type there are, as an expression: answered from the count store.
COUNT { ()-[__RELATIONSHIP_TYPE__]->() }
