// Park streams: their events from this version on are not in the graph.
UNWIND $rows AS row
MERGE (p:HolonstreamParked {key: row.key})
SET p = row
