"""The load that the system is meant for: 20,000 holons, 1,000 events and 3,000 reads a second, then a burst.

The whole pipeline runs in its own processes on this machine; who reads is a process too. Three stretches follow each
other: steady, ten times the events, steady again. Of each: how long events take to each view (as `freshness` has it),
how the reads fare, and what each process takes of the processor. After the burst, how long the last of its events
takes to be everywhere. The last figures are what events cost on disk; a capacity plan reckons with all of them.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import random
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import quantiles
from time import perf_counter

import psycopg
from neo4j import GraphDatabase

from benchmarks import environment
from benchmarks.bench import Bench, pipeline_meter, resident
from benchmarks.figures import Figure
from holonstream.client import connections
from holonstream.demo.freshness import Latency
from holonstream.demo.freshness import measure as measure_latencies
from holonstream.ops.commands.init import initialise
from holonstream.ops.processes import Processes
from holonstream.ops.settings import Settings
from holonstream.producers.log.store import PostgresEventStore
from holonstream.schemas import instant
from holonstream.schemas.event import Event
from holonstream.sinks.cache.counters import CacheCounters
from holonstream.sinks.graph.read.store import Neo4jGraphStore

HOLONS = 20_000
EVENTS, READS = 1_000, 3_000  # a second
BURST = 10  # times the events
STEADY, BURSTING = 600.0, 60.0  # seconds
INTERVAL = 0.01  # seconds between two appends
READ_INTERVAL = 0.005  # seconds between two groups of reads
SAMPLE = 0.2  # seconds between two events that are watched
HOT = 0.1  # of the holons get nine tenths of the reads and events


Course = tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class Reads:
    """How `get_holon` fared."""

    rate: float
    """a second"""
    p50: float
    p99: float
    """milliseconds"""
    hits: float
    """percent of the reads that Redis answered"""


@dataclass(frozen=True)
class Stretch:
    """What was seen while one rate lasted."""

    name: str
    seconds: float
    """with the time until every event was in every view"""
    late: float
    """seconds of these after the last append"""
    events: int
    latencies: list[Latency]
    reads: Reads
    shares: dict[str, float]
    """percent of a core, by part"""


def measure(bench: Bench) -> list[Figure]:
    """See the module's text; ten minutes and a burst of one, a tenth of it when it must be quick."""
    initialise(bench.settings)
    with tempfile.TemporaryDirectory() as folder, Processes(environment(bench.settings), Path(folder)) as processes:
        for name, *arguments in (("relay", "relay"), ("graph", "worker", "graph"), ("cache", "worker", "cache")):
            processes.start(name, *arguments)
        stretches = asyncio.run(_stretches(bench, processes))
        processes.check()
        sizes = {name: resident(child.pid) for name, child in processes.running.items()}
    figures = [figure for stretch in stretches for figure in _figures(stretch)]
    figures += [
        Figure(path=f"mission, memory of {name}", value=size / 2**20, unit="MiB") for name, size in sizes.items()
    ]
    return figures + _on_disk(bench, HOLONS + sum(stretch.events for stretch in stretches))


def _figures(stretch: Stretch) -> list[Figure]:
    def figure(path: str, value: float, unit: str, processor: float | None = None, course: Course = ()) -> Figure:
        path = f"mission, {stretch.name}: {path}"
        return Figure(path=path, value=value, unit=unit, processor=processor, course=course)

    found = [figure("events", stretch.events / (stretch.seconds - stretch.late), "events/s")]
    for latency in stretch.latencies:
        found.append(figure(f"commit -> {latency.view}, p50", latency.p50, "ms", course=latency.course))
        found.append(figure(f"commit -> {latency.view}, p99", latency.p99, "ms"))
    found.append(figure("all views have everything, after the last append", stretch.late, "s"))
    reads = stretch.reads
    found += [
        figure("get_holon", reads.rate, "reads/s"),
        figure("get_holon, p50", reads.p50, "ms"),
        figure("get_holon, p99", reads.p99, "ms"),
        figure("get_holon, answered by the cache", reads.hits, "%"),
    ]
    for part, share in stretch.shares.items():
        found.append(figure(part, share, "% of a core", share / 100 * stretch.seconds / stretch.events * 1e6))
    return found


async def _stretches(bench: Bench, processes: Processes) -> list[Stretch]:
    settings = bench.settings
    known = connections.catalogue(settings)
    dice = random.Random(1)
    with connections.event_store(settings, known) as log:
        async with connections.graph_connection(settings) as connection:
            graph = Neo4jGraphStore(connection, known, settings.topic)
            people = [_event("PersonCreated", number) for number in range(HOLONS)]
            first = (people[start : start + 1_000] for start in range(0, HOLONS, 1_000))
            await measure_latencies(settings, log, graph, first, 0.1, SAMPLE)
            steady, bursting = (seconds / 10 if bench.quick else seconds for seconds in (STEADY, BURSTING))
            found = []
            for name, rate, seconds in (
                ("steady", EVENTS, steady),
                ("burst", BURST * EVENTS, bursting),
                ("after it", EVENTS, bursting),
            ):
                stretch = await _stretch(bench, processes, log, graph, dice, name, rate, seconds)
                bench.note(f"{name}: {stretch}")
                found.append(stretch)
            return found


async def _stretch(
    bench: Bench,
    processes: Processes,
    log: PostgresEventStore,
    graph: Neo4jGraphStore,
    dice: random.Random,
    name: str,
    rate: int,
    seconds: float,
) -> Stretch:
    count, ended = 0, 0.0

    def batches() -> Iterator[list[Event]]:
        nonlocal count, ended
        for _ in range(int(seconds / INTERVAL)):
            batch = [_event("PersonModified", _holon(dice)) for _ in range(round(rate * INTERVAL))]
            count += len(batch)
            yield batch
            ended = perf_counter()

    spawning = multiprocessing.get_context("spawn")
    receiving, sending = spawning.Pipe(duplex=False)
    reader = spawning.Process(target=_read, args=(environment(bench.settings), seconds, sending))
    reader.start()
    sessions = {"postgres, for the relay": "holonstream-relay", "postgres, for appends": "holonstream-store"}
    meter, began = pipeline_meter(bench, processes, **sessions), perf_counter()
    latencies = await measure_latencies(bench.settings, log, graph, batches(), INTERVAL, SAMPLE)
    took, shares = perf_counter() - began, meter.shares()
    reads = await asyncio.to_thread(receiving.recv)
    reader.join()
    return Stretch(name, took, began + took - ended, count, latencies, reads, shares)


def _read(variables: dict[str, str], seconds: float, answer: Connection) -> None:
    """The process that reads: `READS` a second, for so long."""
    answer.send(asyncio.run(_reads(Settings.of(variables), seconds)))


async def _reads(settings: Settings, seconds: float) -> Reads:
    dice = random.Random(2)
    counters = CacheCounters()
    times: list[float] = []
    store = connections.reads(settings, connections.catalogue(settings), counters)

    async def read() -> None:
        began = perf_counter()
        await store.get_holon(f"p-{_holon(dice)}")
        times.append(perf_counter() - began)

    try:
        began = perf_counter()
        for number in range(int(seconds / READ_INTERVAL)):
            await asyncio.sleep(began + number * READ_INTERVAL - perf_counter())
            await asyncio.gather(*(read() for _ in range(round(READS * READ_INTERVAL))))
        took = perf_counter() - began
    finally:
        await store.close()
    cuts = quantiles(times, n=100)
    return Reads(len(times) / took, 1e3 * cuts[49], 1e3 * cuts[98], 100 * counters.hits / len(times))


def _holon(dice: random.Random) -> int:
    """One of the holons; most often a hot one."""
    return dice.randrange(int(HOT * HOLONS) if dice.random() < 0.9 else HOLONS)


def _event(type_: str, number: int) -> Event:
    payload = {"name": f"Person {number}", "rank": "O-3"}
    return Event(
        type=type_,
        occurred_at=instant.now(),
        actor="bench",
        subjects=(f"p-{number}",),
        payload=payload if type_ == "PersonCreated" else {"diff": {"n": perf_counter()}},
        source_system="bench",
    )


def _on_disk(bench: Bench, events: int) -> list[Figure]:
    """Bytes of an event in the log and on the topic, and of a holon in the graph."""
    with psycopg.connect(bench.settings.log_dsn, autocommit=True) as connection:
        row = connection.execute("SELECT pg_total_relation_size('holonstream.events')").fetchone()
    assert row is not None
    with GraphDatabase.driver(bench.settings.neo4j_uri) as driver:
        driver.execute_query("CALL db.checkpoint()")  # until then what is in memory is not on disk
    folder = bench.stack.data_dir
    topic = sum(_size(found) for found in folder.glob(f"**/{bench.settings.topic}-[0-9]*"))
    graph = sum(_size(found) for found in folder.glob("**/databases/neo4j"))
    return [
        Figure(path="mission, log on disk", value=row[0] / events, unit="bytes an event"),
        Figure(path="mission, topic on disk", value=topic / events, unit="bytes an event"),
        Figure(path="mission, graph on disk", value=graph / HOLONS, unit="bytes a holon"),
    ]


def _size(folder: Path) -> int:
    return sum(file.stat().st_blocks * 512 for file in folder.rglob("*") if file.is_file())
