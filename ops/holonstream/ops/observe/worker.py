"""A worker's metrics and health.

Freshness is measured on a sample of each write. A batch's events are in the order of the log, so their ages fall
steadily: SAMPLES of them, each weighted by its part of the batch, put all but the parts at a bucket's edge into the
right bucket. Batches of up to SAMPLES events are counted event by event; one of ten thousand costs no more than that.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from datetime import datetime
from time import monotonic

from holonstream.ops.observe.health import ObservedProcess, first, stale
from holonstream.schemas import names
from holonstream.schemas.errors import InvalidEvent
from holonstream.schemas.metrics import Histogram, Sample, histogram
from holonstream.schemas.wire import decode_position
from holonstream.sinks.base import Batch, RawRecord, WriteResult
from holonstream.sinks.cache.sink import InvalidationSink
from holonstream.sinks.graph.write.sink import GraphSink
from holonstream.sinks.own_worker import EventSinkWriter
from holonstream.streams.app import SinkApp

SAMPLES = 5  # events of a batch whose age is read
HANGS = 20.0  # seconds without a heartbeat; the longest fold of a batch takes less than one
BRIEF = 1.0  # seconds of retries after which a store counts as down

OUTCOMES = ("applied", "skipped", "dead")


class ObservedWorker(ObservedProcess):
    """Reads a worker's counters, and is called by its follower after each write.

    Not ready: while its store does not answer, or it lags and has written nothing for `stall` seconds.
    """

    def __init__(self, app: SinkApp, name: str, *, stall: float) -> None:
        """`name` is the view: ``graph``, ``cache``, or that of a sink of one's own."""
        self.process = name if name in names.VIEWS else "sink"
        self._view = name
        self._app, self._stall = app, stall
        self._batch_events = histogram("holonstream_batch_events")
        self._fold = histogram("holonstream_fold_seconds")
        self._write = histogram("holonstream_write_seconds")
        self._freshness = histogram("holonstream_freshness_seconds")
        self._outcomes = dict.fromkeys(OUTCOMES, 0)
        self._folded = 0.0
        app.follower.on_written = self.on_written

    # --- by the worker's loop, once a write ------------------------------------------------------------------------

    def on_written(self, batches: Sequence[Batch], results: Sequence[WriteResult], seconds: float) -> None:
        """Count a write."""
        self._batch_events.observe(sum(len(batch.records) for batch in batches))
        self._write.observe(seconds)
        folded = self._fold_seconds()
        self._fold.observe(folded - self._folded)
        self._folded = folded
        now, outcomes = time.time(), self._outcomes
        for batch, written in zip(batches, results, strict=True):
            outcomes["applied"] += written.applied
            outcomes["skipped"] += written.skipped
            outcomes["dead"] += written.dead
            if written.applied:
                observe_ages(self._freshness, batch.records, now)

    def _fold_seconds(self) -> float:
        sink = self._app.sink
        return sink.counters.fold_seconds if isinstance(sink, GraphSink | InvalidationSink | EventSinkWriter) else 0.0

    # --- when it is scraped or asked ----------------------------------------------------------------------------------

    def samples(self) -> Iterator[Sample]:
        app, group = self._app, self._view
        lag = app.health.lag()
        one = (group,)
        yield "holonstream_group_lag_events", {(group, str(tp.partition)): n for tp, n in lag.items()}
        yield "holonstream_group_lag_seconds", {one: self._lag_seconds()}
        yield "holonstream_group_partitions", {one: len(app.health.written_offsets())}
        yield "holonstream_batch_events", {one: self._batch_events}
        yield "holonstream_fold_seconds", {one: self._fold}
        yield "holonstream_write_seconds", {one: self._write}
        yield "holonstream_freshness_seconds", {one: self._freshness}
        yield "holonstream_events_total", {(group, name): n for name, n in self._outcomes.items()}
        causes = dict(app.follower.causes)
        yield "holonstream_retries_total", {(group, cause): n for cause, n in causes.items()}
        match app.sink:
            case GraphSink() as graph:
                yield "holonstream_parked_streams", graph.parked_streams
                yield "holonstream_records_out_of_order_total", graph.counters.out_of_order
            case EventSinkWriter() as own:
                yield "holonstream_parked_streams", own.parked_streams
            case InvalidationSink() as cache:
                yield "holonstream_cache_tombstones_total", cache.counters.tombstones
                yield "holonstream_cache_floors_total", cache.counters.floors

    def _lag_seconds(self) -> float:
        behind_since = self._app.health.behind_since()
        ages = [] if behind_since is None else [monotonic() - behind_since]
        now = time.time()
        for batch in self._app.follower.in_hand:
            recorded = next((at for record in batch.records[:SAMPLES] if (at := _recorded(record)) is not None), None)
            ages += [] if recorded is None else [now - recorded]
        return max([0.0, *ages])  # this machine's clock may be behind that of the log

    def dead(self) -> str | None:
        return stale("the worker's loop last turned", monotonic() - self._app.health.turned_at, HANGS)

    def unready(self) -> str | None:
        return first(self.dead, self._starting, self._store_down, self._brokers_down, self._stalled)

    def _starting(self) -> str | None:
        health = self._app.health
        if not health.opened:
            return f"starting: {health.store_error or 'connecting to the store'}"
        return None if health.generation else "starting: has not joined its group"

    def _store_down(self) -> str | None:
        follower = self._app.follower
        since = follower.retrying_since
        if since is not None and monotonic() - since > BRIEF:
            return f"the store is down for {monotonic() - since:.1f} s: {follower.retry_reason}"
        error = self._app.health.store_error
        return f"the store is down: {error}" if error else None

    def _brokers_down(self) -> str | None:
        error = self._app.health.broker_error
        return f"the brokers do not answer: {error}" if error else None

    def _stalled(self) -> str | None:
        lag = sum(self._app.health.lag().values())
        return stale(f"behind by {lag} offsets, last progress", self._app.health.stalled_seconds(), self._stall)


def observe_ages(freshness: Histogram, records: Sequence[RawRecord], now: float) -> None:
    """Count the ages of a batch's events, from a sample; `now` is in seconds since the epoch."""
    count = len(records)
    samples = min(count, SAMPLES)
    start = 0
    for number in range(1, samples + 1):
        end = count * number // samples
        recorded = _recorded(records[(start + end) // 2])
        if recorded is not None:
            freshness.observe(max(now - recorded, 0.0), end - start)
        start = end


def _recorded(record: RawRecord) -> float | None:
    try:
        # Not instant.parse, at four times the cost: the relay writes one form, in UTC.
        return datetime.fromisoformat(decode_position(record.value).recorded_at).timestamp()
    except (InvalidEvent, ValueError):
        return None
