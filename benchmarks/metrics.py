"""What metrics cost: the same path with and without them, in pairs of short rounds.

With metrics a process has its hooks in, serves its port, and is scraped twice a second, thirty times as often as usual.
The pairs alternate which side comes first; what is told is the rate without them, and that rate by the median of the
pairs' ratios. The graph and the cache sink are fed runs in this process; the consume path, a worker whose sink only
counts, runs in processes of its own and is the harshest: there is nothing else that costs.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import statistics
import subprocess
import sys
import threading
import uuid
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from time import perf_counter, process_time
from typing import Any

from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic

from benchmarks.consume import _Counter, _CountingSink
from benchmarks.graph import CATALOGUE, TOPIC, WIPE, Log, person, promoted
from holonstream.figures import Figure
from holonstream.observe.process import registry_of
from holonstream.observe.server import MetricsServer
from holonstream.observe.worker import ObservedWorker
from holonstream.settings import Settings
from local import ports
from sinks.base import Run
from sinks.cache import connect
from sinks.graph.driver import GraphConnection
from sinks.graph.schema import initialise
from streams.app import GroupSettings, SinkApp
from streams.cache import cache_app
from streams.graph import graph_app
from tests.support.records import Record, records_of

RUN = 2_500  # events of a write
WRITES = 4  # of a round
HOLONS = 500  # that the events are about
PAIRS = 24
CONSUME_PAIRS = 10
CONSUMED = 600_000  # records of a round
PARTITIONS = 12
SCRAPE = 0.5  # seconds between two scrapes
PROMISED = 0.97


@contextmanager
def watched(app: SinkApp, name: str) -> Iterator[None]:
    """Metrics, hooked in, served and scraped inside the block."""
    observed = ObservedWorker(app, name, stall=30)
    port, stop = ports.choose(["metrics"])["metrics"], threading.Event()

    def scrape() -> None:
        while not stop.wait(SCRAPE):
            connection = HTTPConnection("127.0.0.1", port)
            connection.request("GET", "/metrics")
            connection.getresponse().read()
            connection.close()

    scraper = threading.Thread(target=scrape, daemon=True)
    with MetricsServer("127.0.0.1", port, registry_of(observed), observed):
        scraper.start()
        try:
            yield
        finally:
            stop.set()
            scraper.join()
            app.follower.on_written = None


async def paired(round_: Callable[[bool], Awaitable[tuple[float, float]]], pairs: int, path: str) -> Figure:
    """The figure of rounds that give (events per second, events per second of the processor), with and without."""
    await round_(True)  # warms the servers
    without, wall, processor = [], [], []
    for number in range(pairs):
        first = number % 2 == 0
        found = {on: await round_(on) for on in (first, not first)}
        without.append(found[False][0])
        wall.append(found[True][0] / found[False][0])
        processor.append(found[True][1] / found[False][1])
    rate, ratio = statistics.median(without), statistics.median(wall)
    cost = 1 - statistics.median(processor)
    return Figure(
        path=f"{path}, with metrics ({100 * cost:+.1f} % of the processor)",
        value=rate * ratio,
        unit="events/s",
        peer="without",
        peer_value=rate,
        promise=f">= {PROMISED:g}x",
        kept=ratio >= PROMISED,
    )


def _in_process(app: SinkApp, name: str, runs: Callable[[], list[Run]]) -> Callable[[bool], Awaitable[Any]]:
    async def fed(on: bool) -> tuple[float, float]:
        made = runs()
        gc.collect()
        began, used = perf_counter(), process_time()
        if on:
            with watched(app, name):
                began, used = perf_counter(), process_time()
                for run in made:
                    await app.follower._sunk([run])
                seconds, burnt = perf_counter() - began, process_time() - used
        else:
            for run in made:
                await app.follower._sunk([run])
            seconds, burnt = perf_counter() - began, process_time() - used
        events = sum(len(run.records) for run in made)
        return events / seconds, events / burnt

    return fed


async def _sinks(settings: Settings) -> list[Figure]:
    group = GroupSettings(bootstrap=[settings.kafka_bootstrap], group="bench", topic=TOPIC, dead_letter_topic=TOPIC)
    log = Log()
    names = [f"m-{number:06}" for number in range(HOLONS)]
    async with GraphConnection(settings.neo4j_uri) as connection:
        await connection.rows(WIPE)
        await initialise(connection, CATALOGUE, TOPIC, 1)
    graph = graph_app(group, GraphConnection(settings.neo4j_uri), CATALOGUE)
    await graph.sink.open()
    offset = await graph.sink.assign(TOPIC, 0, None) or 0
    pending = records_of(log.take(person(name, 0) for name in names), offset)

    def runs() -> list[Run]:
        nonlocal pending, offset
        events = [promoted(names[n % HOLONS], n) for n in range(WRITES * RUN)]
        pending = pending + records_of(log.take(events), offset + len(pending))
        made = [_run(pending[start : start + RUN]) for start in range(0, len(pending), RUN)]
        offset, pending = made[-1].next_offset, []
        return made

    figures = [await paired(_in_process(graph, "graph", runs), PAIRS, "graph sink, hot holons")]
    last = runs()
    await graph.sink.close()
    redis = connect(settings.redis_url.get_secret_value(), timeout=5)
    cache = cache_app(group, redis, "bench", value_ttl=60, tombstone_ttl=600)
    await cache.sink.open()
    await cache.sink.assign(TOPIC, 0, None)
    figures.append(await paired(_in_process(cache, "cache", lambda: last * 2), PAIRS, "cache sink"))
    await cache.sink.close()
    return figures


def _run(records: list[Record]) -> Run:
    return Run(TOPIC, 0, records, records[-1].offset + 1)


# --- the consume path ------------------------------------------------------------------------------------------------


async def _consume(bootstrap: str) -> Figure:
    topic = f"bench-{uuid.uuid4().hex[:8]}.events"
    admin = AdminClient({"bootstrap.servers": bootstrap})
    admin.create_topics([NewTopic(topic, PARTITIONS, 1)])[topic].result()
    try:
        _fill(bootstrap, topic)

        async def round_(on: bool) -> tuple[float, float]:
            words = [sys.executable, "-m", "benchmarks.metrics", bootstrap, topic, "on" if on else "off"]
            done = await asyncio.to_thread(
                subprocess.run, words, capture_output=True, text=True, timeout=300, check=True
            )
            wall, processor = json.loads(done.stdout.splitlines()[-1])
            return wall, processor

        return await paired(round_, CONSUME_PAIRS, "consume, agent that only counts")
    finally:
        admin.delete_topics([topic])[topic].result()


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


class _ProcessorCounter(_Counter):
    """Also knows what the processor has done between the first record and the last."""

    used: float | None = None

    def add(self, count: int) -> None:
        if self.used is None:
            self.used = process_time()
        super().add(count)


async def _worker(bootstrap: str, topic: str, on: bool) -> tuple[float, float]:
    counter = _ProcessorCounter(CONSUMED)
    settings = GroupSettings(
        bootstrap=[bootstrap],
        group=f"bench-{uuid.uuid4().hex[:8]}",
        topic=topic,
        dead_letter_topic=topic,
        look_interval=1.0 if on else 0.0,
    )
    app = SinkApp(settings, _CountingSink(counter))

    async def count() -> tuple[float, float]:
        starting = asyncio.ensure_future(app.start())
        keeping = asyncio.ensure_future(app.vitals.keep()) if on else None
        rate = await asyncio.wait_for(counter.rate, 240)
        burnt = process_time() - (counter.used or 0.0)
        if keeping is not None:
            keeping.cancel()
        await app.stop()
        starting.cancel()
        return rate, CONSUMED / burnt

    if not on:
        return await count()
    with watched(app, "graph"):
        return await count()


def measure(settings: Settings) -> list[Figure]:
    """Events per second of each path with metrics beside the same without."""
    figures = asyncio.run(_sinks(settings))
    return [*figures, asyncio.run(_consume(settings.kafka_bootstrap))]


if __name__ == "__main__":
    _, bootstrap_, topic_, on_ = sys.argv
    sys.stdout.write(json.dumps(asyncio.run(_worker(bootstrap_, topic_, on_ == "on"))) + "\n")
    sys.stdout.flush()
    os._exit(0)
