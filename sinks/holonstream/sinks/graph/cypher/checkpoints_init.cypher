// Make the checkpoints that are missing; those that are there stay as they are.
UNWIND range(0, $partitions - 1) AS partition
MERGE (c:HolonstreamCheckpoint {topic: $topic, partition: partition})
ON CREATE SET c.offset = 0, c.position = 0, c.visible = 0, c.epoch = 0
