"""What metrics cost: one process that takes its hooks in and out, slice by slice.

Slices with and without metrics alternate. A rate is events per second of the worker's own processor time. Of each side
only the fastest fifth of the slices counts, since other work on the machine can only slow a slice down; the ratio of
medians by the clock is shown too. The consume path, a worker whose sink only counts, is the hardest case: nothing else
costs. A scrape, which comes every 15 s or so, is measured by itself.
"""

from __future__ import annotations

import asyncio
import gc
import os
import statistics
import subprocess
import sys
import uuid
from collections.abc import Callable, Sequence
from functools import partial
from http.client import HTTPConnection
from time import perf_counter, process_time

from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic

from benchmarks.bench import Bench
from benchmarks.consume import IdleSink
from benchmarks.figures import Figure
from benchmarks.graph import CATALOGUE, TOPIC, WIPE, Log, person, promoted
from holonstream.local import ports
from holonstream.ops.observe.process import registry_of
from holonstream.ops.observe.server import MetricsServer
from holonstream.ops.observe.worker import ObservedWorker
from holonstream.ops.settings import Settings
from holonstream.sinks.base import Batch, WriteResult
from holonstream.sinks.cache.driver import connect
from holonstream.sinks.cache.sink import InvalidationSink
from holonstream.sinks.graph.driver import GraphConnection
from holonstream.sinks.graph.schema import initialise
from holonstream.sinks.graph.write.sink import GraphSink
from holonstream.streams.app import GroupSettings, SinkApp
from holonstream.testing.records import Record, records_of

WRITE = 2_500  # events of a write
PAIRS = {"graph": 100, "cache": 600}  # of slices; one of the cache takes 10 ms
SCRAPES = 50
CONSUMED = 1_200_000  # records
SLICE = 15_000  # records
CONSUME_PASSES = 3
PARTITIONS = 12
PROMISED = 0.97

Cost = tuple[int, float, float]
"""of a slice: events, seconds, seconds of the processor"""


class Slices:
    """Takes the metrics of a worker in and out, and keeps what each slice cost."""

    def __init__(self, app: SinkApp, name: str) -> None:
        self.costs: list[tuple[bool, Cost]] = []
        self._app = app
        self._observed = ObservedWorker(app, name, stall=30)
        self._port = ports.choose(["metrics"])["metrics"]
        self._server = MetricsServer("127.0.0.1", self._port, registry_of(self._observed), self._observed)
        self._server.__enter__()

    def begin(self) -> None:
        """The next slice: without, with, with, without, ..."""
        number = len(self.costs)
        self._on = number % 4 in (1, 2)
        self._app.follower.on_written = self._observed.on_written if self._on else None
        self._began, self._used = perf_counter(), process_time()

    def end(self, events: int) -> None:
        """End the slice."""
        self.costs.append((self._on, (events, perf_counter() - self._began, process_time() - self._used)))

    def close(self) -> float:
        """Stop serving. Returns the milliseconds of processor time of a scrape, client and server."""
        began = process_time()
        for _ in range(SCRAPES):
            connection = HTTPConnection("127.0.0.1", self._port)
            connection.request("GET", "/metrics")
            connection.getresponse().read()
            connection.close()
        used = process_time() - began
        self._server.__exit__()
        return 1000 * used / SCRAPES


def figure(path: str, slices: Sequence[tuple[bool, Cost]]) -> Figure:
    """With metrics beside without."""
    kept = slices[4:]  # the first ones warm up
    rate, clock = {}, {}
    for side in (True, False):
        rate[side] = statistics.quantiles((n / used for on, (n, _, used) in kept if on == side), n=5)[-1]
        clock[side] = statistics.median(n / seconds for on, (n, seconds, _) in kept if on == side)
    return Figure(
        path=f"{path}, with metrics ({len(kept)} slices; by the clock {clock[True] / clock[False]:.3f}x)",
        value=rate[True],
        unit="events/s of processor",
        peer="without",
        peer_value=rate[False],
        promise=f">= {PROMISED:g}x",
        kept=rate[True] >= PROMISED * rate[False],
    )


async def _fed(app: SinkApp, name: str, path: str, next_batch: Callable[[], Batch]) -> list[Figure]:
    slices = Slices(app, name)
    gc.collect()
    gc.freeze()  # as a worker does; the benchmark's own objects are no work for the collector
    for _ in range(2 * PAIRS[name]):
        made = next_batch()
        slices.begin()
        assert not await app.follower._write_some([made])
        slices.end(len(made.records))
    scrape = Figure(path=f"a scrape of {name}", value=slices.close(), unit="ms of processor")
    return [figure(path, slices.costs), scrape]


async def _sinks(settings: Settings) -> list[Figure]:
    group = GroupSettings(bootstrap=[settings.kafka_bootstrap], group="bench", topic=TOPIC, dead_letter_topic=TOPIC)
    log, offset = Log(), 0
    names = [f"m-{number:06}" for number in range(WRITE)]
    async with GraphConnection(settings.neo4j_uri) as connection:
        await connection.execute(WIPE)
        await initialise(connection, CATALOGUE, TOPIC, 1)
    graph = SinkApp(group, partial(GraphSink, GraphConnection(settings.neo4j_uri), CATALOGUE, TOPIC))
    await graph.sink.open()
    await graph.sink.assign(TOPIC, 0, None)

    def next_batch() -> Batch:
        nonlocal offset
        events = [promoted(names[n % 500], n) for n in range(WRITE)] if offset else [person(n, 0) for n in names]
        records = records_of(log.take(events), offset)
        offset += len(records)
        return _batch(records)

    figures = await _fed(graph, "graph", "graph sink, hot holons", next_batch)
    await graph.sink.close()
    redis = connect(settings.redis_url.reveal(), timeout=5)
    cache = SinkApp(group, lambda publish: InvalidationSink(redis, "bench", value_ttl=60, tombstone_ttl=600))
    await cache.sink.open()
    await cache.sink.assign(TOPIC, 0, None)
    spread = _batch(records_of(log.take(promoted(name, 1) for name in names)))
    figures += await _fed(cache, "cache", "cache sink", lambda: spread)
    await cache.sink.close()
    return figures


def _batch(records: list[Record]) -> Batch:
    return Batch(TOPIC, 0, records, records[-1].offset + 1)


# --- the consume path ------------------------------------------------------------------------------------------------


def _consume(bootstrap: str) -> Figure:
    topic = f"bench-{uuid.uuid4().hex[:8]}.events"
    admin = AdminClient({"bootstrap.servers": bootstrap})
    admin.create_topics([NewTopic(topic, PARTITIONS, 1)])[topic].result()
    slices: list[tuple[bool, Cost]] = []
    try:
        _fill(bootstrap, topic)
        for _ in range(CONSUME_PASSES):
            words = [sys.executable, "-m", "benchmarks.metrics", bootstrap, topic]
            done = subprocess.run(words, capture_output=True, text=True, timeout=300, check=True)
            part = [line.split() for line in done.stdout.splitlines()]
            slices += [(on == "True", (int(n), float(w), float(p))) for on, n, w, p in part][4:]
    finally:
        admin.delete_topics([topic])[topic].result()
    return figure("consume, agent that only counts", slices)


def _fill(bootstrap: str, topic: str) -> None:
    (record,) = records_of(Log().take([person("m", 0)]))
    producer = Producer({"bootstrap.servers": bootstrap, "transactional.id": topic, "compression.type": "lz4"})
    producer.init_transactions(60)
    for start in range(0, CONSUMED, 10_000):
        producer.begin_transaction()
        for number in range(start, start + 10_000):
            producer.produce(topic, record.value, partition=number % PARTITIONS)
            if number % 1000 == 0:
                producer.poll(0)
        producer.commit_transaction(60)


class _SlicingSink(IdleSink):
    """Counts, and begins a slice when one is full."""

    def __init__(self) -> None:
        self.slices: Slices | None = None
        self.done = asyncio.Event()
        self._seen = self._in_slice = 0

    async def write_batches(self, batches: Sequence[Batch]) -> list[WriteResult]:
        assert self.slices is not None
        if self._in_slice == 0 or self._in_slice >= SLICE:
            if self._in_slice:
                self.slices.end(self._in_slice)
            self._in_slice = 0
            self.slices.begin()
        count = sum(len(batch.records) for batch in batches)
        self._in_slice += count
        self._seen += count
        if self._seen >= CONSUMED:
            self.done.set()
        return [WriteResult(len(batch.records), 0, 0, None) for batch in batches]


async def _worker(bootstrap: str, topic: str) -> list[tuple[bool, Cost]]:
    sink = _SlicingSink()
    group = f"bench-{uuid.uuid4().hex[:8]}"
    settings = GroupSettings(bootstrap=[bootstrap], group=group, topic=topic, dead_letter_topic=topic)
    app = SinkApp(settings, lambda publish: sink)
    sink.slices = Slices(app, "graph")
    starting = asyncio.ensure_future(app.start())
    await asyncio.wait_for(sink.done.wait(), 240)
    await app.stop()
    starting.cancel()
    return sink.slices.costs


def measure(bench: Bench) -> list[Figure]:
    """Events per second of processor time of each path, with metrics beside without."""
    settings = bench.settings
    return [*asyncio.run(_sinks(settings)), _consume(settings.kafka_bootstrap)]


if __name__ == "__main__":
    _, bootstrap_, topic_ = sys.argv
    for on_, cost_ in asyncio.run(_worker(bootstrap_, topic_)):
        sys.stdout.write(f"{on_} {' '.join(map(str, cost_))}\n")
    sys.stdout.flush()
    os._exit(0)
