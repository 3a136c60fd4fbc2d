"""What the processes export of themselves: metrics, and whether they live and make progress.

The packages below keep plain counters and tiny hooks, called once for a write, a batch or an append, never for an
event. Here they are turned into metrics at each scrape. `schemas.metrics` names every metric; docs/metrics.md is
made from it.
"""
