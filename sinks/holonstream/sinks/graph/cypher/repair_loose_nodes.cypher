// Delete nodes that claim to be holons and that no worker can find. The conditions of verify_nodes again: Neo4j may have
// given an element's id to another since.
MATCH (n)
WHERE elementId(n) IN $elements
  AND (n:Holon OR any(label IN labels(n) WHERE label IN $types))
  AND NOT (n:Holon AND n._id IS :: STRING NOT NULL)
DETACH DELETE n
