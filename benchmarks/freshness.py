"""From commit to the topic, to the tombstone and into the graph, and what the whole pipeline takes of the processor.

The whole pipeline runs in its own processes on this machine, at 1,000, 100 and 10 events a second, and idle. One event
in every fifth of a second is watched, on one partition as a rule: to watch them all would cost more than the pipeline
does. The processor time is that of all parts but the load and the watchers: relay, workers, Kafka, Neo4j, Redis, and
PostgreSQL's sessions for the relay. The servers are warmed before (`benchmarks.warm`), as servers that have run for a
while are. Beside it stands what bare clients take that send, read and write the same batches (`bare_pipeline`).
"""

from __future__ import annotations

import asyncio
import random
import tempfile
from dataclasses import dataclass
from pathlib import Path

from benchmarks import bare_pipeline, environment
from benchmarks.bench import Bench, pipeline_meter
from benchmarks.figures import Figure
from benchmarks.warm import warm
from holonstream.client import connections
from holonstream.demo.freshness import Latency
from holonstream.demo.freshness import measure as measure_latencies
from holonstream.ops.commands.init import initialise
from holonstream.ops.processes import Processes
from holonstream.schemas import instant
from holonstream.schemas.event import Event
from holonstream.sinks.graph.read.store import Neo4jGraphStore

HOLONS = 5_000
WARM_UP = (30, 15)  # seconds: of the servers by themselves, and of the whole pipeline at the highest rate
SECONDS = 30
IDLE_SECONDS = 15
INTERVAL = 0.01  # seconds between two appends
SAMPLE = 0.2  # seconds between two events that are watched
RATES = (1_000, 100, 10)
MANY = 50  # events a second, enough to watch one partition only
PROMISES = {  # ms, p50 and p99
    (1_000, "invalidated"): (25.0, 100.0),
    (1_000, "in the graph"): (50.0, 200.0),
    (100, "on the topic"): (18.0, None),
    (100, "in the graph"): (35.0, None),
}
PROMISED_SHARE = {1_000: 100.0, 100: 60.0, 0: 4.0}  # % of a core, by rate


@dataclass(frozen=True)
class Stretch:
    """What was seen at one rate."""

    rate: int
    latencies: list[Latency]
    shares: dict[str, float]
    """percent of a core, by part"""


def measure(bench: Bench) -> list[Figure]:
    """Milliseconds, p50 and p99 of each view, and percent of a core."""
    initialise(bench.settings)
    batches, transactions = asyncio.run(warm(bench.settings, bench.seconds(WARM_UP[0])))
    bench.note(f"warmed: {batches:,} batches into the graph, {transactions:,} transactions through Kafka")
    with tempfile.TemporaryDirectory() as folder, Processes(environment(bench.settings), Path(folder)) as processes:
        for name, *arguments in (("relay", "relay"), ("graph", "worker", "graph"), ("cache", "worker", "cache")):
            processes.start(name, *arguments)
        stretches = asyncio.run(_measure(bench, processes))
        processes.check()
    bare = {rate: bare_pipeline.shares(bench, rate, bench.seconds(SECONDS)) for rate in PROMISED_SHARE}
    return [figure for stretch in stretches for figure in _figures(stretch, bare.get(stretch.rate, {}))]


def _figures(stretch: Stretch, bare: dict[str, float]) -> list[Figure]:
    figures = []
    for latency in stretch.latencies:
        promised = PROMISES.get((stretch.rate, latency.view), (None, None))
        for name, value, most in zip(("p50", "p99"), (latency.p50, latency.p99), promised, strict=True):
            figures.append(
                Figure(
                    path=f"commit -> {latency.view}, {stretch.rate:,} events/s, {name}",
                    value=value,
                    unit="ms",
                    promise=f"<= {most:g} ms" if most else "",
                    kept=value <= most if most else None,
                    samples=latency.values,
                )
            )
    load = f"{stretch.rate:,} events/s" if stretch.rate else "idle"
    total, most = sum(stretch.shares.values()), PROMISED_SHARE.get(stretch.rate)
    figures.append(
        Figure(
            path=f"whole pipeline, {load} ({_parts(stretch.shares)})",
            value=total,
            unit="% of a core",
            peer=f"bare clients, the same batches ({_parts(bare)})" if bare else "",
            peer_value=sum(bare.values()) if bare else None,
            promise=f"<= {most:g} %" if most else "",
            kept=total <= most if most else None,
            processor=_of_event(total, stretch.rate),
            peer_processor=_of_event(sum(bare.values()), stretch.rate) if bare else None,
        )
    )
    return figures


def _of_event(share: float, rate: int) -> float | None:
    """Microseconds of processor, from percent of a core."""
    return share / 100 / rate * 1e6 if rate else None


def _parts(shares: dict[str, float]) -> str:
    return ", ".join(f"{part} {share:.0f}" for part, share in shares.items())


async def _measure(bench: Bench, processes: Processes) -> list[Stretch]:
    settings = bench.settings
    known = connections.catalogue(settings)
    dice = random.Random(1)
    with connections.event_store(settings, known) as log:
        async with connections.graph_connection(settings) as connection:
            graph = Neo4jGraphStore(connection, known, settings.topic)
            people = [_event("PersonCreated", f"p-{number}", {"name": f"Person {number}"}) for number in range(HOLONS)]
            first = [people[start : start + 1000] for start in range(0, HOLONS, 1000)]
            await measure_latencies(settings, log, graph, first, 0.1, 0.05)  # one of each batch

            def batches(rate: int, seconds: float) -> list[list[Event]]:
                each = max(1, round(rate * INTERVAL))
                return [
                    [_event("PersonModified", f"p-{dice.randrange(HOLONS)}", {"diff": {"n": n}}) for n in range(each)]
                    for _ in range(int(seconds * rate / each))
                ]

            async def stretch(rate: int, seconds: float) -> list[Latency]:
                interval = max(INTERVAL, 1 / rate)
                watched = range(1) if rate > MANY else None  # of few there would be too few on one partition
                return await measure_latencies(settings, log, graph, batches(rate, seconds), interval, SAMPLE, watched)

            await stretch(RATES[0], bench.seconds(WARM_UP[1]))
            found = []
            for rate in RATES:
                meter = pipeline_meter(bench, processes, postgres="holonstream-relay")
                latencies = await stretch(rate, bench.seconds(SECONDS))
                found.append(Stretch(rate, latencies, meter.shares()))
            meter = pipeline_meter(bench, processes, postgres="holonstream-relay")
            await asyncio.sleep(bench.seconds(IDLE_SECONDS))
            return [*found, Stretch(0, [], meter.shares())]


def _event(type_: str, holon: str, payload: dict[str, object]) -> Event:
    return Event(
        type=type_,
        occurred_at=instant.now(),
        actor="bench",
        subjects=(holon,),
        payload=payload,
        source_system="bench",
    )
