"""Every path of the pipeline, measured beside its bare client in the same run.

A module has one public function, ``measure(settings) -> list[Figure]``, and takes the servers for itself: the graph is
emptied, the log is filled. `holonstream bench` starts servers of its own for it.
"""

NAMES = ("append", "relay", "consume", "graph", "cache", "freshness", "metrics")
