"""docs/metrics.md, made from the catalogue."""

from __future__ import annotations

from holonstream.schemas.metrics import EVERY, METRICS, Metric

HEAD = """\
# Metrics and health

Every process serves three paths on `HOLONSTREAM_METRICS_HOST`:`HOLONSTREAM_METRICS_PORT` (0, the default, is off). Give
each process of a machine a port of its own. They are for the inside of your network: there is no login.

- `/metrics`: Prometheus text or OpenMetrics. Also `process_*` and `python_*`.
- `/livez`: 503 when the process hangs: the loop of a worker, the thread of a relay, the polls of the exporter. Restart
  it then.
- `/readyz`: 503, with the reason in the body, when it makes no progress: a worker whose store or brokers do not answer,
  or that lags and has written nothing for `HOLONSTREAM_READY_STALL` seconds; a relay that neither leads nor waits, or
  that hangs; an exporter whose log or brokers do not answer. A standby is ready, and so is a worker without
  partitions. Alert on it; do not restart a process for it, that does not bring a store back.

`holonstream exporter` asks log and brokers from outside, so that lag is seen when nobody works; one is enough. What is
asked of log, brokers and store is asked every `HOLONSTREAM_METRICS_INTERVAL` seconds, never by a scrape; a metric whose
source does not answer is absent. Times and ages compare the clock of PostgreSQL with the one here.

An application shows what its client does in a registry of its own:

```python
from prometheus_client import REGISTRY

from holonstream.client import SyncClient

with SyncClient.from_settings() as client:
    client.metrics.register(REGISTRY)  # one client for a registry
```

(This page is what `holonstream metrics` prints.)

| Metric | Type | Labels | Processes | Meaning |
|---|---|---|---|---|"""


def page() -> str:
    """The page."""
    return "\n".join([HEAD, *map(_row, METRICS.values())]) + "\n"


def _row(metric: Metric) -> str:
    labels = ", ".join(f"`{label}`" for label in metric.labels)
    processes = "every" if metric.processes == EVERY else ", ".join(metric.processes)
    meaning = metric.help
    if metric.buckets:
        meaning += f" Buckets {', '.join(f'{bound:g}' for bound in metric.buckets)}."
    return f"| `{metric.name}` | {metric.kind} | {labels} | {processes} | {meaning} |"
