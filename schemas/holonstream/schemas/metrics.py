"""Every metric: its name, type, labels and meaning. What is not declared here cannot be exported.

Processes and clients keep plain counters and give them as `Sample`s when they are scraped. Nothing here needs
prometheus_client: `schemas.prometheus` turns samples into what it exports.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
FRESHNESS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 3_600.0)
EVENTS = (1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1_000.0, 2_000.0, 5_000.0, 10_000.0, 20_000.0)

BUILD_INFO = "holonstream_build_info"
EVERY = ("relay", "graph", "cache", "sink", "exporter", "client")
WORKERS = ("graph", "cache", "sink")


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric as it is scraped; counters end in ``_total``."""

    name: str
    kind: Literal["gauge", "counter", "histogram"]
    processes: tuple[str, ...]
    help: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()


_ALL = (
    Metric(BUILD_INFO, "gauge", EVERY, "Always 1; version and process are labels.", ("version", "process")),
    # the relay
    Metric("holonstream_relay_leading", "gauge", ("relay",), "1 while this relay leads, 0 for a standby or any other."),
    Metric("holonstream_relay_events_total", "counter", ("relay",), "Events published."),
    Metric("holonstream_relay_transactions_total", "counter", ("relay",), "Kafka transactions committed."),
    Metric("holonstream_relay_bytes_total", "counter", ("relay",), "Bytes of keys and values before compression."),
    Metric("holonstream_relay_position", "gauge", ("relay",), "Log position published, as this relay knows it."),
    Metric(
        "holonstream_relay_interruptions_total",
        "counter",
        ("relay",),
        "Times that the relay had to reconnect: PostgreSQL or Kafka was unavailable, or another relay fenced it.",
        ("cause",),
    ),
    # the log
    Metric("holonstream_log_head_position", "gauge", ("relay", "exporter"), "Last log position drawn."),
    Metric("holonstream_log_frontier_position", "gauge", ("relay", "exporter"), "The gap-free position of the log."),
    Metric(
        "holonstream_log_frontier_holder_seconds",
        "gauge",
        ("relay", "exporter"),
        "Age of the transaction that holds the frontier, 0 when none does; absent when the role may not see the age.",
    ),
    Metric(
        "holonstream_relay_lag_seconds",
        "gauge",
        ("relay", "exporter"),
        "Age of the oldest event that is not relayed, 0 when all are; a relay has it while it leads.",
    ),
    Metric(
        "holonstream_relay_lag_events", "gauge", ("exporter",), "Events that are not relayed, counted up to a million."
    ),
    Metric("holonstream_append_events_total", "counter", ("client",), "Events appended."),
    Metric(
        "holonstream_append_seconds",
        "histogram",
        ("client",),
        "An append that succeeded, from the call to its return.",
        buckets=SECONDS,
    ),
    # the workers
    Metric(
        "holonstream_group_lag_events",
        "gauge",
        WORKERS,
        "Offsets to go on each partition of this worker; transaction markers are counted, 0 means all is handled.",
        ("group", "partition"),
    ),
    Metric(
        "holonstream_group_lag_seconds",
        "gauge",
        WORKERS,
        "Age of the oldest event being written; with none, for how long the worker has known that it is behind.",
        ("group",),
    ),
    Metric("holonstream_group_partitions", "gauge", WORKERS, "Partitions that this worker has.", ("group",)),
    Metric("holonstream_batch_events", "histogram", WORKERS, "Records of a write.", ("group",), EVENTS),
    Metric(
        "holonstream_fold_seconds",
        "histogram",
        WORKERS,
        "Decoding and folding of a write, part of its write seconds.",
        ("group",),
        SECONDS,
    ),
    Metric(
        "holonstream_write_seconds",
        "histogram",
        WORKERS,
        "A write that succeeded, from records to commit, without the attempts that failed before.",
        ("group",),
        SECONDS,
    ),
    Metric(
        "holonstream_events_total",
        "counter",
        WORKERS,
        "Records handled: applied, skipped (seen before, or unreadable), or dead (dead-lettered).",
        ("group", "outcome"),
    ),
    Metric(
        "holonstream_retries_total",
        "counter",
        WORKERS,
        "Calls of the store that failed and were retried, by the error's class.",
        ("group", "cause"),
    ),
    Metric(
        "holonstream_freshness_seconds",
        "histogram",
        WORKERS,
        "From an event's append to its being visible; from a sample of each write, weighted.",
        ("group",),
        FRESHNESS,
    ),
    Metric("holonstream_parked_streams", "gauge", ("graph", "sink"), "Parked streams of this worker's partitions."),
    Metric(
        "holonstream_records_out_of_order_total",
        "counter",
        ("graph",),
        "Records whose position is not above all before in their partition: not written by the relay.",
    ),
    Metric("holonstream_cache_tombstones_total", "counter", ("cache",), "Tombstones written."),
    Metric(
        "holonstream_cache_floors_total", "counter", ("cache",), "Floors made: at first, and whenever Redis lost them."
    ),
    # the readers
    Metric("holonstream_cache_hits_total", "counter", ("client",), "get_holon answered from Redis."),
    Metric("holonstream_cache_misses_total", "counter", ("client",), "get_holon that had to ask the graph."),
    Metric("holonstream_cache_fills_total", "counter", ("client",), "Values put into Redis."),
    Metric(
        "holonstream_cache_fills_refused_total",
        "counter",
        ("client",),
        "Fills refused: no_floor, grace_period, lease, floor, tombstone, value, slot.",
        ("cause",),
    ),
    Metric("holonstream_cache_errors_total", "counter", ("client",), "Redis unreachable, slow or in error."),
    Metric(
        "holonstream_graph_reads_total", "counter", ("client",), "Reads of the graph on a miss; concurrent ones share."
    ),
    Metric(
        "holonstream_token_waits_total",
        "counter",
        ("client",),
        "Pauses of get_holon whose token the graph had not reached.",
    ),
    # from outside
    Metric(
        "holonstream_consumer_group_lag",
        "gauge",
        ("exporter",),
        "Offsets to go over all partitions; transaction markers are counted, 0 means all is handled.",
        ("group",),
    ),
    Metric(
        "holonstream_consumer_group_lag_seconds",
        "gauge",
        ("exporter",),
        "Age of the oldest event not handled.",
        ("group",),
    ),
    Metric(
        "holonstream_problems",
        "gauge",
        ("exporter",),
        "Problems that `holonstream status` names: impossible offsets, a topic that lacks or may lose records.",
    ),
    Metric(
        "holonstream_topic_open_transaction_seconds",
        "gauge",
        ("exporter",),
        "Age of the oldest transaction that is open on the topic: its readers wait for it. 0 without one.",
    ),
    Metric("holonstream_consumer_group_members", "gauge", ("exporter",), "Workers in the group.", ("group",)),
    Metric(
        "holonstream_exporter_source_up",
        "gauge",
        ("exporter",),
        "1 when the source (log, kafka) answered the last time it was asked; its metrics are absent otherwise.",
        ("source",),
    ),
)

METRICS = {metric.name: metric for metric in _ALL}


class Histogram:
    """A histogram with weights. Written by one thread at a time; a reader may be an observation behind."""

    __slots__ = ("bounds", "counts", "sum")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.sum = 0.0

    def observe(self, value: float, weight: int = 1) -> None:
        """Count `weight` observations of a value."""
        self.counts[bisect_left(self.bounds, value)] += weight
        self.sum += value * weight


def histogram(name: str) -> Histogram:
    """An empty histogram with the buckets that are declared for the metric."""
    return Histogram(METRICS[name].buckets)


Value = float | Histogram
Sample = tuple[str, Value | Mapping[Any, float] | Mapping[Any, Histogram]]
"""a metric's name with its value, or with one value for each tuple of label values, in the declared order of labels"""


class MetricSource(Protocol):
    """What can be scraped: the metrics declared for one kind of process, with their present values."""

    @property
    def process(self) -> str:
        """One of those that `Metric.processes` names."""

    def samples(self) -> Iterator[Sample]:
        """The present values; a metric whose source does not answer is left out."""
