// Every event of a topic that was left out by decision, in log order.
MATCH (d:HolonstreamDiscarded {topic: $topic})
RETURN d.stream, d.version, d.position, d.reason, d.note, d.decided
ORDER BY d.position
