"""Replay: make a view anew from the log's topic, with the workers that always feed it.

A graph beside the live one. Community Neo4j has one database, so the new graph is another (uri, database) pair, and its
workers are another consumer group: nothing that the live graph's workers do or have is touched. The new graph's own
checkpoints say how far it is. So every step may be interrupted and repeated: a mark in the target
(`sinks.graph.recovery.rebuild`) says that it is a replay's and as which group; running the command again starts
workers, and they go on at the checkpoints. Any number of workers may join from other machines: partitions move, and a
run is written once, whoever writes it, because its checkpoint is moved in the same transaction.

A graph in place. The group is the live one, so nobody of it may run: the command refuses and names them. It wipes the
graph, checkpoints first; a worker that is started all the same finds none and ends. Readers see a graph that grows
again from the beginning; with a token they wait or are told NotYetVisible. What the cache holds stays right, since a
fill must prove how far the graph was (`sinks.cache`).

Which moment. A replay is over when the group has committed everything that the topic held at a moment less than FRESH
seconds ago. The group's offsets tell it and not the checkpoints, as the last offsets of a partition are as a rule no
records but transaction markers. They are set to the checkpoints before the workers start; so they cannot be left over
from an earlier graph, and `holonstream status` tells the truth meanwhile.

Decisions of operators to leave out an event (`sinks.graph.recovery.redrive`) are taken over at the end, for those
events that the new graph parked as well.

The cache is not replayed: there is nothing to compute. It is forgotten (`ops.replay.cache`).
"""
