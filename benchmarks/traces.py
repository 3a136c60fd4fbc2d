"""What traces cost: the processor time of each path with and without them, by turns in one process.

Slices come in pairs, without and with traces; the median of their ratios counts. What a call is given is made before
its slice. Batches are of LIVE events, as they come at a thousand a second: a larger one costs less an event.

Spans are encoded as for a collector, and sent nowhere. A process does that once in five seconds, or for 512 spans. Here
it is done for FLUSHED spans or at the end, between the slices, and what that takes is shared by all calls: a slice is
shorter than five seconds of a process, and would pay for a flush that has one span.
"""

from __future__ import annotations

import asyncio
import gc
import statistics
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from time import process_time
from typing import TypeVar
from uuid import uuid4

from confluent_kafka.admin import AdminClient, NewTopic
from msgspec.structs import replace
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

from benchmarks.bench import Bench
from benchmarks.figures import Figure
from benchmarks.graph import CATALOGUE, TOPIC, WIPE, Log, person
from holonstream.client import Client
from holonstream.client.traced import TracedClient
from holonstream.ops.observe.traces import batch_spans
from holonstream.ops.settings import Settings
from holonstream.producers.log.batches import EventBatch
from holonstream.producers.log.schema import apply_schema
from holonstream.producers.log.store import PostgresEventStore
from holonstream.producers.relay.publisher import Publisher
from holonstream.schemas import tracing
from holonstream.schemas.event import Event
from holonstream.sinks.base import Batch
from holonstream.sinks.cache.driver import connect
from holonstream.sinks.cache.reader import CachedGraphStore
from holonstream.sinks.cache.sink import InvalidationSink
from holonstream.sinks.graph.driver import GraphConnection
from holonstream.sinks.graph.read.store import Neo4jGraphStore
from holonstream.sinks.graph.schema import initialise
from holonstream.sinks.graph.write.sink import GraphSink
from holonstream.streams.app import GroupSettings, SinkApp
from holonstream.testing.records import records_of

LIVE = 20  # events of a batch
SLICE = 30  # calls
SEVERAL = 10  # appends or reads of a call, so that a slice has some that are traced
PAIRS = 60  # of slices
WARMING = 2  # pairs before
FLUSHED = 512  # spans that are encoded together
SHARES = (0.01, 1.0)  # of the requests that are traced; only the first with --quick
PROMISED = 0.97

T = TypeVar("T")
Make = Callable[[float], T]
"""makes what one call is given, with that share of its events traced"""
Call = Callable[[T], Awaitable[int]]
"""does one piece of work; returns how many events or reads it was"""


class EncodingExporter(SpanExporter):
    """Encodes spans as for a collector, and drops them."""

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        encode_spans(spans).SerializeToString()
        return SpanExportResult.SUCCESS


@dataclass(frozen=True, slots=True)
class Traces:
    """Where spans go, and which shares of the requests are traced, one after the other."""

    provider: TracerProvider
    batches: tracing.MakeBatchSpan
    shares: Sequence[float]


async def _compare(path: str, make: Make[T], call: Call[T], traces: Traces) -> list[Figure]:
    figures = []
    gc.collect()
    gc.freeze()
    for share in traces.shares:
        costs: list[tuple[float, float]] = []  # seconds of processor of one event or read, without and with traces
        flushing, flushed, waiting = 0.0, 0, 0.0
        for number in range(WARMING + PAIRS):
            cost = {}
            for on in (number % 2 == 1, number % 2 == 0):
                given = [make(share if on else 0) for _ in range(SLICE)]
                tracing.enable(share if on else 0, traces.batches)
                began, done = process_time(), 0
                for one in given:
                    done += await call(one)
                cost[on] = (process_time() - began) / done
            if number < WARMING:
                traces.provider.force_flush()
                continue
            costs.append((cost[False], cost[True]))
            flushed += done
            waiting += done * share
            if waiting >= FLUSHED or number == WARMING + PAIRS - 1:
                began = process_time()
                traces.provider.force_flush()
                flushing, waiting = flushing + process_time() - began, 0
        tracing.enable(0)
        without = statistics.median(off for off, _ in costs)
        traced = without * statistics.median(on / off for off, on in costs) + flushing / flushed
        promised = share < 1
        figures.append(
            Figure(
                path=f"{path}, {share:.0%} of requests traced",
                value=1 / traced,
                unit="/s of processor",
                peer="without traces",
                peer_value=1 / without,
                promise=f">= {PROMISED:g}x" if promised else "",
                kept=without >= PROMISED * traced if promised else None,
                processor=1e6 * traced,
                peer_processor=1e6 * without,
            )
        )
    return figures


def _context(share: float, number: int) -> str | None:
    """The trace context of an event: of that share of them it is sampled."""
    return f"00-{uuid4().hex}-{uuid4().hex[:16]}-01" if share and number % round(1 / share) == 0 else None


class _Events:
    """New events as the relay has them, each with its trace context."""

    def __init__(self) -> None:
        self._log, self._count = Log(), 0

    def take(self, share: float) -> Batch:
        """The next LIVE events of partition 0."""
        first = self._count
        self._count += LIVE
        events = self._log.take(person(f"t-{number:07}", 0) for number in range(first, self._count))
        traced = [replace(e, traceparent=_context(share, first + n)) for n, e in enumerate(events)]
        return Batch(TOPIC, 0, records_of(traced, first), self._count)


async def _measure(settings: Settings, traces: Traces) -> list[Figure]:
    apply_schema(settings.log_dsn, CATALOGUE)
    figures: list[Figure] = []
    numbers = iter(range(10**9))
    with PostgresEventStore(settings.log_dsn, CATALOGUE) as log:

        def some(share: float) -> list[Event]:
            return [replace(person(f"a-{next(numbers):07}", 0), id=None) for _ in range(SEVERAL)]

        async def append(events: list[Event]) -> int:
            for event in events:
                log.append([event])
            return SEVERAL

        figures += await _compare("append of one event", some, append, traces)

    topic, events = f"bench-{uuid4().hex[:8]}", _Events()
    admin = AdminClient({"bootstrap.servers": settings.kafka_bootstrap})
    for made in admin.create_topics([NewTopic(topic, 12, 1)]).values():
        made.result()
    publisher = Publisher(settings.kafka_bootstrap, topic, topic, group=topic, compression="lz4", config={})
    publisher.open()

    def rows(share: float) -> EventBatch:
        return EventBatch([(r.offset + 1, r.key or b"", r.value or b"") for r in events.take(share).records], 0)

    async def publish(batch: EventBatch) -> int:
        publisher.publish(batch)
        return LIVE

    figures += await _compare(f"relay, transactions of {LIVE}", rows, publish, traces)
    publisher.close()
    return figures + await _stores(settings, traces)


async def _stores(settings: Settings, traces: Traces) -> list[Figure]:
    async with GraphConnection(settings.neo4j_uri) as connection:
        await connection.execute(WIPE)
        await initialise(connection, CATALOGUE, TOPIC, 1)
    group = GroupSettings(bootstrap=[settings.kafka_bootstrap], group="bench", topic=TOPIC, dead_letter_topic=TOPIC)
    redis = connect(settings.redis_url.reveal(), timeout=5)
    apps = {
        "graph": SinkApp(group, lambda p: GraphSink(GraphConnection(settings.neo4j_uri), CATALOGUE, TOPIC, p)),
        "cache": SinkApp(group, lambda p: InvalidationSink(redis, "bench-traces", value_ttl=60, tombstone_ttl=600)),
    }
    figures: list[Figure] = []
    for name, app in apps.items():
        events = _Events()
        await app.sink.open()
        await app.sink.assign(TOPIC, 0, None)

        async def write(batch: Batch, app: SinkApp = app) -> int:
            assert not await app.follower._write_some([batch])
            return LIVE

        figures += await _compare(f"{name} sink, batches of {LIVE}", events.take, write, traces)
        await app.sink.close()
    return figures + await _reads(settings, traces)


async def _reads(settings: Settings, traces: Traces) -> list[Figure]:
    redis = connect(settings.redis_url.reveal(), timeout=5)
    sink = InvalidationSink(connect(settings.redis_url.reveal(), timeout=5), "bench-reads", grace_period=0.0)
    await sink.open()
    await sink.assign(TOPIC, 0, None)  # without a floor no value is cached
    log = PostgresEventStore(settings.log_dsn, CATALOGUE)
    async with GraphConnection(settings.neo4j_uri) as connection:
        reads = CachedGraphStore(Neo4jGraphStore(connection, CATALOGUE, TOPIC), redis, "bench-reads")
        plain, traced = Client(reads, log, CATALOGUE), TracedClient(reads, log, CATALOGUE)

        async def read(client: Client) -> int:
            for _ in range(SEVERAL):
                assert await client.get_holon("t-0000001") is not None
            return SEVERAL

        figures = await _compare("get_holon from the cache", lambda share: traced if share else plain, read, traces)
        assert reads.counters.hits > 1000
        await reads.close()
    await sink.close()
    log.close()
    return figures


def measure(bench: Bench) -> list[Figure]:
    """Events and reads per second of processor time, with traces beside without."""
    provider = TracerProvider()
    held = 1 << 17  # spans: what the processor would send by itself would fall into a slice without traces
    processor = BatchSpanProcessor(
        EncodingExporter(), max_queue_size=held, max_export_batch_size=held, schedule_delay_millis=3_600_000
    )
    provider.add_span_processor(processor)
    trace.set_tracer_provider(provider)
    try:
        shares = SHARES[:1] if bench.quick else SHARES
        return asyncio.run(_measure(bench.settings, Traces(provider, batch_spans(provider, processor), shares)))
    finally:
        provider.shutdown()
