// Delete relationships that no worker can find. The condition again: see repair_loose_nodes.
MATCH ()-[r]->()
WHERE elementId(r) IN $elements AND NOT (type(r) IN $types AND r._id IS :: STRING NOT NULL)
DELETE r
