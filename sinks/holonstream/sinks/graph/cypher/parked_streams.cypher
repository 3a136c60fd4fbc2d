// Every parked stream of a topic, in log order.
MATCH (p:HolonstreamParked {topic: $topic})
WHERE p.redriven IS NULL
RETURN p.stream, p.version, p.position, p.topic, p.partition, p.offset, p.reason
ORDER BY p.position
