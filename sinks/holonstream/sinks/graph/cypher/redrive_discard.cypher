// Record an operator's decision to leave one event out. There are few of these, and the checkpoint's lock is held.
MERGE (d:HolonstreamDiscarded {key: $row.key, version: $row.version})
SET d = $row
