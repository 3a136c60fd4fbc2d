// Checkpoints of release 0.2 lack what tells a hole from an entity that was lost.
MATCH (c:HolonstreamCheckpoint)
SET c.known = coalesce(c.known, 0), c.provesHoles = coalesce(c.provesHoles, false)
