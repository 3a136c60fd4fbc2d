"""What the same work costs as the log grows: an append, a relayed event, a graph write, a cached read and a miss.

The log is filled to each size, and topic and graph follow. Then relay and workers are stopped, and each part works for
itself on `EVENTS` more: those that change holons from the whole length of the log. A figure's peer is the smallest log.
"""

from __future__ import annotations

import asyncio
import random
import tempfile
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from time import monotonic, perf_counter

import psycopg
from confluent_kafka.admin import AdminClient
from neo4j import GraphDatabase
from psycopg.types.json import Jsonb

from benchmarks import environment
from benchmarks.bench import Bench, Meter, postgres_sessions
from benchmarks.figures import Figure
from benchmarks.relays import counter
from holonstream.client import connections
from holonstream.ops.commands.init import initialise
from holonstream.ops.kafka import client
from holonstream.ops.processes import Processes
from holonstream.sinks.cache.counters import CacheCounters

SIZES = (100_000, 1_000_000)
CHUNK = 10_000  # events of an append that fills the log
EVENTS = 40_000  # that are measured, after a tenth of them to warm up
CALL = 1_000  # events of an append that is measured
READS = 4_000
PROMISE = 1.15  # times what it cost at the smallest size
DEADLINE = 1_800.0  # seconds

CREATED = """
SELECT count(*) FROM holonstream.append_events((SELECT jsonb_agg(jsonb_build_object(
    'type', 'PersonCreated', 'occurredAt', '2024-03-01T08:00:00.000Z', 'actor', 'system-bench',
    'subjects', jsonb_build_array('p-' || n), 'sourceSystem', 'bench',
    'payload', jsonb_build_object('name', 'Ada King ' || n, 'rank', 'O-3', 'email', 'ada' || n || '@example.org')))
FROM generate_series(%s::int, %s::int - 1) AS n))
"""
CHANGED = "SELECT count(*) FROM holonstream.append_events(%s)"

CHECKPOINTS = "MATCH (c:HolonstreamCheckpoint {topic: $topic}) RETURN sum(c.offset)"
MARKERS = 24  # offsets at the partitions' ends, of the last transactions, which no worker need ever take

_pause = threading.Event()  # never set: waits

Cost = tuple[float, float]
"""microseconds of an event, by the clock and of processor time"""


def measure(bench: Bench) -> list[Figure]:
    """Each part's cost at each size."""
    initialise(bench.settings)
    sizes = [size // 10 for size in SIZES] if bench.quick else list(SIZES)
    costs: list[dict[str, Cost]] = []
    with tempfile.TemporaryDirectory() as folder:
        growing = Growing(bench, Path(folder))
        for size in sizes:
            growing.grow(size)
            costs.append(growing.costs())
            bench.note(f"{size:,} events: " + ", ".join(f"{p} {w:.1f} ({c:.1f}) us" for p, (w, c) in costs[-1].items()))
    return [
        Figure(
            path=f"{part}, log of {size:,}",
            value=found[part][0],
            unit="us",
            peer=f"log of {sizes[0]:,}",
            peer_value=costs[0][part][0],
            processor=found[part][1],
            peer_processor=costs[0][part][1],
            promise=f"<= {PROMISE:g}x",
            kept=found[part][1] <= PROMISE * costs[0][part][1],
        )
        for size, found in zip(sizes[1:], costs[1:], strict=True)
        for part in found
    ]


class Growing:
    """A pipeline with a log that grows, whose parts run when they are wanted."""

    def __init__(self, bench: Bench, folder: Path) -> None:
        self._bench, self._settings, self._folder = bench, bench.settings, folder
        self._dice = random.Random(1)
        self._people = 0
        self._events = 0
        self._graph = GraphDatabase.driver(self._settings.neo4j_uri)
        self._offsets = counter(AdminClient(client(self._settings)), self._settings.topic)

    def grow(self, size: int) -> None:
        """Fill the log up to so many events, and wait until the graph has them."""
        with psycopg.connect(self._settings.log_dsn, autocommit=True) as connection:
            for start in range(self._people, self._people + size - self._events, CHUNK):
                connection.execute(CREATED, [start, start + CHUNK])
                self._people, self._events = start + CHUNK, self._events + CHUNK
            connection.execute("VACUUM ANALYZE holonstream.events, holonstream.streams")
        with Processes(environment(self._settings), self._folder) as processes:
            processes.start("relay", "relay")
            processes.start("graph", "worker", "graph")
            _await(self._graph_has_all, processes)

    def costs(self) -> dict[str, Cost]:
        """What each part costs at this size."""
        found = {"append": self._append()}
        found["relay"] = self._run("relay", ["relay"], ["kafka"], self._offsets)
        found["graph write"] = self._run("graph", ["worker", "graph"], ["neo4j", "kafka"], self._written)
        with Processes(environment(self._settings), self._folder) as processes:
            processes.start("cache", "worker", "cache")
            found |= asyncio.run(self._reads(processes))
        return found

    def _append(self) -> Cost:
        with psycopg.connect(self._settings.log_dsn, autocommit=True) as connection:
            warm, measured = EVENTS // 10 // CALL, EVENTS // CALL
            calls = [Jsonb([self._change() for _ in range(CALL)]) for _ in range(warm + measured)]
            for call in calls[:warm]:
                connection.execute(CHANGED, [call], prepare=True)
            meter = Meter({"postgres": [connection.info.backend_pid]})
            times = []
            for call in calls[warm:]:
                began = perf_counter()
                connection.execute(CHANGED, [call], prepare=True)
                times.append(perf_counter() - began)
        self._events += (warm + measured) * CALL
        return 1e6 * median(times) / CALL, 1e6 * meter.used()["postgres"] / EVENTS

    def _change(self) -> dict[str, object]:
        return {
            "type": "PersonModified",
            "occurredAt": "2024-03-02T08:00:00.000Z",
            "actor": "system-bench",
            "subjects": [f"p-{self._dice.randrange(self._people)}"],
            "sourceSystem": "bench",
            "payload": {"diff": {"rank": f"O-{self._dice.randrange(9)}"}},
        }

    def _run(self, name: str, words: Sequence[str], servers: Sequence[str], done: Callable[[], int]) -> Cost:
        """Let a part handle what was appended, and measure all of it but the first tenth."""
        before = done()
        with Processes(environment(self._settings), self._folder) as processes:
            child = processes.start(name, *words)
            _await(lambda: done() - before >= EVENTS // 10, processes)
            with psycopg.connect(self._settings.log_dsn, autocommit=True) as connection:
                pids = [child.pid, *postgres_sessions(connection, "holonstream-relay")]
            meter = Meter({"part": pids, "servers": [self._bench.server(server) for server in servers]})
            began, first = perf_counter(), done()
            _await(lambda: done() - before >= EVENTS + EVENTS // 10, processes)
            seconds, used = perf_counter() - began, sum(meter.used().values())
        handled = EVENTS + EVENTS // 10 - (first - before)
        return 1e6 * seconds / handled, 1e6 * used / handled

    def _graph_has_all(self) -> bool:
        relayed = self._offsets()
        return relayed >= self._events and self._written() >= relayed - MARKERS

    def _written(self) -> int:
        """How many offsets the graph has."""
        records, _, _ = self._graph.execute_query(CHECKPOINTS, topic=self._settings.topic)
        return int(records[0].value())

    async def _reads(self, processes: Processes) -> dict[str, Cost]:
        """A miss of a cold holon, and a hit of the same one."""
        counters = CacheCounters()
        misses: list[float] = []
        hits: list[float] = []
        store = connections.reads(self._settings, connections.catalogue(self._settings), counters)
        try:
            until = monotonic() + DEADLINE
            while not counters.hits:  # until the cache worker is at work, and its grace period over
                processes.check()
                assert monotonic() < until, "the cache answers nothing"
                await store.get_holon("p-0")
            servers = [self._bench.server(server) for server in ("neo4j", "redis")]
            costs = {}
            holons = [f"p-{self._dice.randrange(1, self._people)}" for _ in range(READS)]
            for name, times in (("get_holon, a miss", misses), ("get_holon, a hit", hits)):
                meter = Meter({"servers": servers})
                for holon in holons:
                    began = perf_counter()
                    await store.get_holon(holon)
                    times.append(perf_counter() - began)
                costs[name] = (1e6 * median(times), 1e6 * meter.used()["servers"] / READS)
            return costs
        finally:
            await store.close()


def _await(holds: Callable[[], bool], processes: Processes) -> None:
    until = monotonic() + DEADLINE
    while not holds():
        processes.check()
        assert monotonic() < until, "nothing moves"
        _pause.wait(0.05)
