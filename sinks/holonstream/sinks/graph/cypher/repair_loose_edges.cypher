// Delete relationships that claim to be ours and that no worker can find. The conditions again: see repair_loose_nodes.
MATCH ()-[r]->()
WHERE elementId(r) IN $elements
  AND (type(r) IN $types OR r._id IS NOT NULL)
  AND NOT (type(r) IN $types AND r._id IS :: STRING NOT NULL)
DELETE r
