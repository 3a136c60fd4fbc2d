// The replay is over.
MATCH (r:HolonstreamReplay {topic: $topic})
DELETE r
