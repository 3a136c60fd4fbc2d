// Delete nodes that no worker can find. The condition again: Neo4j may have given an element's id to another since.
MATCH (n)
WHERE elementId(n) IN $elements AND NOT (n:Holon AND n._id IS :: STRING NOT NULL)
DETACH DELETE n
