"""The cache against the bare driver: python -m benchmarks.bench_cache [REDIS_URL]

Prints, from one run against one Redis (its own unless a URL is given), the percentiles of a hot `get_holon` and of a
bare redis-py GET of the same entry, the rates of the invalidation sink and of its script called bare with arguments
made beforehand, and the two ratios that are promised (design.md, section 9). Rounds alternate; ratios are of medians.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import tempfile
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from time import perf_counter

import msgspec
from redis.asyncio import Redis

from local import ports
from local.redis_server import RedisServer
from schemas.state import Holon
from sinks.base import Run
from sinks.cache import HolonCache, InvalidationSink, connect
from sinks.cache.driver import Script
from sinks.cache.entry import Keys, position_text, slot_of

NAMESPACE = "bench"
READS, READ_ROUNDS = 4_000, 5
RUN, RUNS, WRITE_ROUNDS = 5_000, 4, 5
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


@dataclass(frozen=True)
class Read:
    holon: Holon
    partition: int = 0
    checkpoint_position: int = 1


class OneHolon:
    """A graph that holds one person."""

    async def read_holon(self, holon_id: str) -> Read:
        return Read(PERSON)


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


def microseconds(times: list[float]) -> str:
    cuts = statistics.quantiles(times, n=1000)
    return "  ".join(f"{name} {cuts[at] * 1e6:7.0f} us" for name, at in (("p50", 499), ("p99", 989), ("p99.9", 998)))


async def bench_reads(url: str) -> None:
    """A hot get_holon of one client against a bare GET of the same entry."""
    sink = InvalidationSink(connect(url, timeout=5), NAMESPACE, settle=0)
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
    size = len(await bare.get(key) or b"")
    await bare.aclose()
    await sink.close()
    print(f"get_holon, hot, one client ({len(ours)} reads of an entry of {size} bytes)")
    print(f"  bare GET   {microseconds(theirs)}")
    print(f"  get_holon  {microseconds(ours)}   (promise: p99 < 1000 us)")
    print(f"  ratio      {statistics.median(ratios):.2f}   (promise: >= 0.70)")


def runs_of_round(number: int) -> list[Run]:
    """Runs of as many holons as records; half of them are in every run. Positions rise from run to run."""
    runs = []
    for r in range(RUNS):
        first = (number * RUNS + r) * RUN + 2
        records = []
        for n in range(RUN):
            holon = n if n % 2 else first + n
            stream = f"holon/person-{holon:09d}"
            event = {
                "specversion": "1.0", "id": "0b0e7c2e-6f0e-4a53-9a55-0d8f8c9b1f11", "type": "PersonModified",
                "source": "hr-system", "subject": stream, "time": "2024-03-01T08:00:00.000Z",
                "datacontenttype": "application/json", "dataschema": "urn:holonstream:event:PersonModified:1",
                "sequence": str(first + n), "streamversion": 3, "recordedtime": "2024-03-01T08:00:00.000Z",
                "actor": "hr-system", "subjects": [stream[6:]], "data": PERSON.properties,
            }  # fmt: skip
            records.append(Record(first + n, stream.encode(), msgspec.json.encode(event)))
        runs.append(Run("bench", 0, records, first + RUN))
    return runs


def bare_calls(runs: list[Run], partition: int) -> list[tuple[list[str], list[str | int]]]:
    """The same script calls as the sink makes, with their arguments made beforehand."""
    keys, calls = Keys(NAMESPACE), []
    for run in runs:
        last = position_text(run.records[-1].offset)
        for start in range(0, len(run.records), 1000):
            chunk = run.records[start : start + 1000]
            ids = [(r.key or b"").decode()[6:] for r in chunk]
            positions = "".join(position_text(r.offset) for r in chunk)
            arguments: list[str | int] = [last, 86_400, positions, "".join(map(slot_of, ids)), 0]
            calls.append(([keys.fence(partition), *[keys.holon + i for i in ids]], arguments))
    return calls


async def bench_invalidation(url: str) -> None:
    """The sink against its own script called bare."""
    sink = InvalidationSink(connect(url, timeout=5), NAMESPACE, settle=0)
    await sink.open()
    await sink.assign("bench", 0, 1)
    script, bare = Script("invalidate"), connect(url, timeout=5, connections=2)
    ours, theirs, calls_times = [], [], []
    for number in range(WRITE_ROUNDS):
        # Other holons for each side, and both sides meet as many that are there already.
        mine, others = runs_of_round(2 * number), runs_of_round(2 * number + 1)
        calls = bare_calls(others, 0)
        began = perf_counter()
        for run in mine:
            await sink.write(run)
        ours.append(RUN * RUNS / (perf_counter() - began))
        began = perf_counter()
        for keys, arguments in calls:
            call_began = perf_counter()
            await script.run(bare, keys, *arguments)
            calls_times.append(perf_counter() - call_began)
        theirs.append(RUN * RUNS / (perf_counter() - began))
    await bare.aclose()
    await sink.close()
    print(f"invalidation ({WRITE_ROUNDS} rounds of {RUNS} runs of {RUN} records, 1,000 keys a script)")
    print(f"  bare script  {statistics.median(theirs):9,.0f} keys/s   a call: {microseconds(calls_times)}")
    print(f"  sink.write   {statistics.median(ours):9,.0f} records/s")
    ratio = statistics.median(o / t for o, t in zip(ours, theirs, strict=True))
    print(f"  ratio        {ratio:9.2f}   (promise: >= 0.70)")


async def bench(url: str) -> None:
    """Both, one after the other; what they wrote is deleted."""
    try:
        await bench_reads(url)
        await bench_invalidation(url)
    finally:
        async with Redis.from_url(url) as redis:
            async for key in redis.scan_iter(match=f"{NAMESPACE}:*", count=10_000):
                await redis.unlink(key)


def main() -> None:
    """Against the Redis of the command line, or one started for the purpose."""
    if len(sys.argv) > 1:
        asyncio.run(bench(sys.argv[1]))
        return
    with tempfile.TemporaryDirectory() as folder:
        server = RedisServer(Path(folder), ports.choose(RedisServer.port_names()))
        server.start(lambda _: None, Event())
        try:
            asyncio.run(bench(server.env()["HOLONSTREAM_REDIS_URL"]))
        finally:
            server.kill()


if __name__ == "__main__":
    main()
