// What a graph holds: nodes (from the count store), whether a checkpoint has moved, and the topics that it follows.
CALL () { MATCH (n:Holon) RETURN count(n) AS nodes }
CALL () { MATCH (c:HolonstreamCheckpoint) RETURN max(c.offset) AS offset, collect(DISTINCT c.topic) AS topics }
RETURN nodes, coalesce(offset, 0), topics
