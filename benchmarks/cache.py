"""The cache against the bare driver.

A hot `get_holon` beside a bare redis-py GET of the same entry, and the invalidation sink beside its own script called
bare with arguments made beforehand. Rounds alternate; ratios are of medians.
"""

from __future__ import annotations

import asyncio
import statistics
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from time import perf_counter

import msgspec
from redis.asyncio import Redis

from benchmarks.bench import Bench
from benchmarks.figures import Figure
from holonstream.schemas.state import Holon
from holonstream.sinks.base import Batch
from holonstream.sinks.cache.driver import Script, connect
from holonstream.sinks.cache.entry import Keys, new_generation, partition_text, position_text, slot_of
from holonstream.sinks.cache.reader import HolonCache
from holonstream.sinks.cache.sink import InvalidationSink
from holonstream.sinks.store import HolonRead

NAMESPACE = "bench"
SERVERS = ("redis",)
READS, READ_ROUNDS = 4_000, 5
BATCH, BATCHES, WRITE_ROUNDS = 5_000, 4, 5
PERSON = Holon(
    id="person-000001",
    type="Person",
    properties={
        "name": "Alexandra Okafor",
        "rank": "O-3",
        "email": "alexandra.okafor@example.org",
        "serviceNumber": "8841-2290",
        "attributes": {"languages": ["en", "fr"], "clearance": "secret", "height": 172},
        "qualifications": [{"qualificationId": f"q-{n}", "grantedAt": "2024-03-01T08:00:00.000Z"} for n in range(3)],
    },
    status="active",
    created_at="2024-03-01T08:00:00.000Z",
    created_by="hr-system",
    source_documents=("doc-1",),
    last_modified="2024-03-05T08:00:00.000Z",
    version=5,
    position=1,
)


class OneHolon:
    """A graph that holds one person."""

    async def read_holon(self, holon_id: str) -> HolonRead:
        return HolonRead(PERSON, partition=0, checkpoint_position=1)


@dataclass(frozen=True)
class Record:
    offset: int
    key: bytes
    value: bytes


async def timed(call: Callable[[], Awaitable[object]], count: int) -> list[float]:
    """Seconds of each call, one after the other."""
    times = []
    for _ in range(count):
        began = perf_counter()
        await call()
        times.append(perf_counter() - began)
    return times


async def measure_reads(url: str) -> list[Figure]:
    """A hot get_holon of one client against a bare GET of the same entry."""
    sink = InvalidationSink(connect(url, timeout=5), NAMESPACE, grace_period=0)
    await sink.open()
    await sink.assign("bench", 0, 1)
    bare = Redis.from_url(url)
    key = Keys(NAMESPACE).holon + PERSON.id
    ours: list[float] = []
    theirs: list[float] = []
    ratios = []
    async with HolonCache(OneHolon(), connect(url, timeout=0.05), NAMESPACE) as store:
        await store.get_holon(PERSON.id)
        assert await store.get_holon(PERSON.id) == PERSON
        for _ in range(READ_ROUNDS):
            round_theirs = await timed(lambda: bare.get(key), READS)
            round_ours = await timed(lambda: store.get_holon(PERSON.id), READS)
            ratios.append(statistics.median(round_theirs) / statistics.median(round_ours))
            theirs += round_theirs
            ours += round_ours
        assert store.counters.graph_reads == 1, store.counters
    await bare.aclose()
    await sink.close()
    ratio = statistics.median(ratios)
    p50, p99 = (_microseconds(ours, percent) for percent in (50, 99))
    bare_p50, bare_p99 = (_microseconds(theirs, percent) for percent in (50, 99))
    return [
        Figure(
            path="get_holon, hot, one client, p50",
            value=p50,
            unit="us",
            peer="bare GET (rate, ratio of medians)",
            peer_value=bare_p50,
            promise=">= 0.7x of its rate",
            kept=ratio >= 0.7,
        ),
        Figure(
            path="get_holon, hot, one client, p99",
            value=p99,
            unit="us",
            peer="bare GET",
            peer_value=bare_p99,
            promise="< 1,000 us",
            kept=p99 < 1000,
        ),
    ]


def _microseconds(times: list[float], percent: int) -> float:
    return statistics.quantiles(times, n=100)[percent - 1] * 1e6


def runs_of_round(number: int) -> list[Batch]:
    """Batches of as many holons as records; half of them are in every batch. Positions rise from one to the next."""
    batches = []
    for r in range(BATCHES):
        first = (number * BATCHES + r) * BATCH + 2
        records = []
        for n in range(BATCH):
            holon = n if n % 2 else first + n
            stream = f"holon/person-{holon:09d}"
            event = {
                "specversion": "1.0", "id": "0b0e7c2e-6f0e-4a53-9a55-0d8f8c9b1f11", "type": "PersonModified",
                "source": "hr-system", "subject": stream, "time": "2024-03-01T08:00:00.000Z",
                "datacontenttype": "application/json", "dataschema": "urn:holonstream:event:PersonModified:1",
                "sequence": f"{first + n:019}", "streamversion": "3", "recordedtime": "2024-03-01T08:00:00.000Z",
                "actor": "hr-system", "subjects": f'["{stream[6:]}"]', "data": PERSON.properties,
            }  # fmt: skip
            records.append(Record(first + n, stream.encode(), msgspec.json.encode(event)))
        batches.append(Batch("bench", 0, records, first + BATCH))
    return batches


def bare_calls(batches: list[Batch], partition: int) -> list[tuple[list[str], list[str | int]]]:
    """The same script calls as the sink makes, with their arguments made beforehand."""
    keys, calls = Keys(NAMESPACE), []
    for batch in batches:
        last = position_text(batch.records[-1].offset)
        for start in range(0, len(batch.records), 1000):
            chunk = batch.records[start : start + 1000]
            ids = [(r.key or b"").decode()[6:] for r in chunk]
            positions = "".join(position_text(r.offset) for r in chunk)
            arguments: list[str | int] = [last, position_text(0), 86_400, positions, "".join(map(slot_of, ids))]
            arguments += [partition_text(partition), "", 0, 3_600_000, new_generation()]
            calls.append(([keys.watermarks(partition), *[keys.holon + i for i in ids]], arguments))
    return calls


async def measure_invalidation(url: str) -> list[Figure]:
    """The sink against its own script called bare."""
    sink = InvalidationSink(connect(url, timeout=5), NAMESPACE, grace_period=0)
    await sink.open()
    await sink.assign("bench", 0, 1)
    script, bare = Script("invalidate"), connect(url, timeout=5, connections=2)
    ours, theirs = [], []
    for number in range(WRITE_ROUNDS):
        # Other holons for each side, and both sides meet as many that are there already.
        mine, others = runs_of_round(2 * number), runs_of_round(2 * number + 1)
        calls = bare_calls(others, 0)
        began = perf_counter()
        for batch in mine:
            await sink.write(batch)
        ours.append(BATCH * BATCHES / (perf_counter() - began))
        began = perf_counter()
        for keys, arguments in calls:
            await script.run(bare, keys, *arguments)
        theirs.append(BATCH * BATCHES / (perf_counter() - began))
    await bare.aclose()
    await sink.close()
    ratio = statistics.median(o / t for o, t in zip(ours, theirs, strict=True))
    return [
        Figure(
            path="invalidation sink",
            value=statistics.median(ours),
            unit="events/s",
            peer="bare scripted redis-py",
            peer_value=statistics.median(theirs),
            promise=">= 0.9x",
            kept=ratio >= 0.9,
            spread=(min(ours), max(ours)),
            peer_spread=(min(theirs), max(theirs)),
        )
    ]


def measure(bench: Bench) -> list[Figure]:
    """Reads, then invalidation; what was written is deleted."""
    return asyncio.run(_measure(bench.settings.redis_url.reveal()))


async def _measure(url: str) -> list[Figure]:
    try:
        return [*await measure_reads(url), *await measure_invalidation(url)]
    finally:
        async with Redis.from_url(url) as redis:
            async for key in redis.scan_iter(match=f"{NAMESPACE}:*", count=10_000):
                await redis.unlink(key)
