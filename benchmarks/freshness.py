"""From commit to the topic, to the tombstone and into the graph, at 1,000 events a second: the whole pipeline, its own
processes, on this machine."""

from __future__ import annotations

import asyncio
import random
import tempfile
from pathlib import Path

from benchmarks import environment
from benchmarks.figures import Figure
from holonstream.client import connections
from holonstream.demo.freshness import Latency
from holonstream.demo.freshness import measure as measure_latencies
from holonstream.ops.commands.init import initialise
from holonstream.ops.processes import Processes
from holonstream.ops.settings import Settings
from holonstream.schemas import instant
from holonstream.schemas.event import Event
from holonstream.sinks.graph.read.store import Neo4jGraphStore

HOLONS = 5_000
WARM_UP = 120  # seconds; until then compiling their hot paths costs the servers as much as the load does
SECONDS = 20
INTERVAL = 0.01  # seconds between two appends of ten events: 1,000 events/s
BATCH = 10
PROMISES = {"invalidated": (25.0, 150.0), "in the graph": (50.0, 250.0)}  # ms, p50 and p99


def measure(settings: Settings) -> list[Figure]:
    """Milliseconds, p50 and p99 of each view."""
    initialise(settings)
    with tempfile.TemporaryDirectory() as folder, Processes(environment(settings), Path(folder)) as processes:
        for name, *arguments in (("relay", "relay"), ("graph", "worker", "graph"), ("cache", "worker", "cache")):
            processes.start(name, *arguments)
        latencies = asyncio.run(_measure(settings))
        processes.check()
    figures = []
    for latency in latencies:
        promised = PROMISES.get(latency.view)
        for name, value, most in zip(("p50", "p99"), (latency.p50, latency.p99), promised or (None, None), strict=True):
            figures.append(
                Figure(
                    path=f"commit -> {latency.view}, 1,000 events/s, {name}",
                    value=value,
                    unit="ms",
                    promise=f"<= {most:g} ms" if most else "",
                    kept=value <= most if most else None,
                )
            )
    return figures


async def _measure(settings: Settings) -> list[Latency]:
    known = connections.catalogue(settings)
    dice = random.Random(1)
    with connections.event_store(settings, known) as log:
        async with connections.graph_connection(settings) as connection:
            graph = Neo4jGraphStore(connection, known, settings.topic)
            people = [_event("PersonCreated", f"p-{number}", {"name": f"Person {number}"}) for number in range(HOLONS)]
            first = [people[start : start + 1000] for start in range(0, HOLONS, 1000)]
            await measure_latencies(settings, log, graph, first, 0.1)

            def batches(seconds: float) -> list[list[Event]]:
                return [
                    [_event("PersonModified", f"p-{dice.randrange(HOLONS)}", {"diff": {"n": n}}) for n in range(BATCH)]
                    for _ in range(int(seconds / INTERVAL))
                ]

            await measure_latencies(settings, log, graph, batches(WARM_UP), INTERVAL)
            return await measure_latencies(settings, log, graph, batches(SECONDS), INTERVAL)


def _event(type_: str, holon: str, payload: dict[str, object]) -> Event:
    return Event(
        type=type_,
        occurred_at=instant.now(),
        actor="bench",
        subjects=(holon,),
        payload=payload,
        source_system="bench",
    )
