// Decisions that the graph had before it was wiped.
MATCH (d:HolonstreamDiscardedBefore {topic: $topic})
RETURN d.stream, d.version, d.position, d.reason, d.note, d.decided
ORDER BY d.position
