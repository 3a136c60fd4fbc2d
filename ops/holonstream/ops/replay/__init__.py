"""Rebuild a view from the log's topic, with the same workers that always write it (`holonstream replay`).

A graph beside the live one. Neo4j Community has one database, so the new graph is another (uri, database) pair, and its
workers are another consumer group. Nothing that the live graph's workers do or have is touched. The new graph's own
checkpoints say how far it is, so every step may be interrupted and repeated. A node in the target
(`sinks.graph.recovery.rebuild`) says that a replay made it, and under which group. Running the command again starts
workers, which continue at the checkpoints. Workers on other machines may join: partitions move, and a batch is written
once, whichever worker writes it, because its checkpoint is moved in the same transaction.

A graph in place. The group is the live one, so none of its workers may run: the command refuses and names them. It
wipes the graph, checkpoints first; a worker that is started too early finds no checkpoint and ends. Readers see a graph
that grows from nothing; reads with a token wait, or raise NotYetVisible. What the cache holds stays correct, since
every fill must prove how far the graph was (`sinks.cache`).

When it is done. A replay ends when the group has committed everything that the topic held less than FRESH seconds ago.
It goes by the group's offsets, not by the checkpoints, because the last offsets of a partition are mostly transaction
markers and no records. The offsets are set to the checkpoints before the workers start. So they cannot be left over
from an earlier graph, and `holonstream status` is correct meanwhile.

Discarded events. An operator's decision to discard an event (`sinks.graph.recovery.redrive`) is copied at the end, if
the new graph parked that event as well.

The cache is not replayed, since nothing in it has to be computed. It is cleared (`ops.replay.cache`).
"""
