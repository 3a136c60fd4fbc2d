// Note how far a replay is.
MERGE (r:HolonstreamReplay {topic: $topic})
ON CREATE SET r.began = $now
SET r.suffix = $suffix, r.state = $state
