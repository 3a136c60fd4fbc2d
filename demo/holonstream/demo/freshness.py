"""How long events take from their commit to the topic, to the cache's tombstone, and into the graph.

Anyone who watches every event disturbs what it measures: each poll is a query, and each fetch from the topic costs a
broker. With `sample` only some events are watched, on some partitions, and nothing is polled between them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from statistics import quantiles
from time import perf_counter

from confluent_kafka import Consumer, TopicPartition
from redis.asyncio import Redis

from holonstream.client import connections
from holonstream.ops import wiring
from holonstream.ops.kafka import client
from holonstream.ops.settings import Settings
from holonstream.producers.log.append import Appended
from holonstream.producers.log.store import PostgresEventStore
from holonstream.schemas import wire
from holonstream.schemas.event import Event
from holonstream.schemas.partition import partition_of
from holonstream.sinks.cache.entry import Keys, position_of
from holonstream.sinks.graph.read.store import Neo4jGraphStore

POLL = 0.005  # seconds between two polls of a view; half of it is in every latency
DEADLINE = 120.0  # seconds for one event


@dataclass(frozen=True)
class Latency:
    """Milliseconds from commit to view."""

    view: str
    p50: float
    p99: float
    values: tuple[float, ...] = ()
    """of all events watched, sorted"""
    course: tuple[tuple[float, float], ...] = ()
    """the same in order of commit, each with its seconds of perf_counter"""


@dataclass(frozen=True)
class Sent:
    """An event that was appended, and may not be visible yet."""

    stream: str
    partition: int
    position: int
    at: float
    """when its append was committed, in seconds of perf_counter"""


Visible = Callable[[Sequence[Sent]], Awaitable[set[int]]]
"""Of some events, the positions of those that the view shows."""


async def measure(
    settings: Settings,
    log: PostgresEventStore,
    graph: Neo4jGraphStore,
    batches: Iterable[list[Event]],
    interval: float,
    sample: float | None = None,
    watched: Collection[int] | None = None,
) -> list[Latency]:
    """Append a batch every `interval` seconds and watch each view for its events; these must change holons.

    `sample`: watch one event every so many seconds. `watched`: only events of these partitions. Raises TimeoutError
    when a view lacks one.
    """
    partitions = len(await graph.checkpoints())
    watched = range(partitions) if watched is None else watched
    sent: list[Sent] = []
    all_sent = asyncio.Event()

    def watch(appended: Iterable[Appended]) -> None:
        now = perf_counter()
        for a in appended:
            partition = partition_of(a.stream, partitions)
            due = sample is None or not sent or now - sent[-1].at >= sample
            if due and partition in watched:
                sent.append(Sent(a.stream, partition, a.position, now))

    async def send() -> None:
        began = perf_counter()
        for number, batch in enumerate(batches):
            await asyncio.sleep(began + number * interval - perf_counter())
            watch(await asyncio.to_thread(log.append, batch))
        all_sent.set()

    async def in_graph(pending: Sequence[Sent]) -> set[int]:
        reached = {c.partition: c.visible_position for c in await graph.checkpoints()}
        return {event.position for event in pending if reached[event.partition] >= event.position}

    redis = connections.redis_client(settings, timeout=wiring.SINK_TIMEOUT)
    consumer = _tail(settings, watched)
    views = {
        "on the topic": _on_topic(consumer),
        "invalidated": _in_cache(redis, Keys(settings.namespace)),
        "in the graph": in_graph,
    }
    try:
        latencies, _ = await asyncio.gather(
            asyncio.gather(*(_watch(name, visible, sent, all_sent) for name, visible in views.items())), send()
        )
    finally:
        consumer.close()
        await redis.aclose()
    return latencies


def _tail(settings: Settings, partitions: Iterable[int]) -> Consumer:
    """A consumer of what comes from now on."""
    consumer = Consumer(
        {
            **client(settings),
            "group.id": settings.group("freshness"),
            "isolation.level": "read_committed",
            "enable.auto.commit": False,
            "fetch.wait.max.ms": 100,
        }
    )
    ends = {p: consumer.get_watermark_offsets(TopicPartition(settings.topic, p))[1] for p in partitions}
    consumer.assign([TopicPartition(settings.topic, p, end) for p, end in ends.items()])
    return consumer


def _on_topic(consumer: Consumer) -> Visible:
    arrived: set[int] = set()

    async def visible(pending: Sequence[Sent]) -> set[int]:
        for message in await asyncio.to_thread(consumer.consume, 1000, 0.001):
            if message.error() is None:
                arrived.add(wire.decode_position(message.value()).position)
        return {event.position for event in pending if event.position in arrived}

    return visible


def _in_cache(redis: Redis, keys: Keys) -> Visible:
    async def visible(pending: Sequence[Sent]) -> set[int]:
        entries = await redis.mget([keys.holon + event.stream.partition("/")[2] for event in pending])
        known = [position_of(entry) or 0 if isinstance(entry, bytes) else 0 for entry in entries]
        return {event.position for event, reached in zip(pending, known, strict=True) if reached >= event.position}

    return visible


async def _watch(name: str, visible: Visible, sent: Sequence[Sent], all_sent: asyncio.Event) -> Latency:
    """Watch one view until it shows every event of `sent`, which grows until `all_sent` is set."""
    taken = 0
    pending: list[Sent] = []
    latencies: list[float] = []
    course: list[tuple[float, float]] = []
    while True:
        complete = all_sent.is_set()
        pending += sent[taken:]
        taken = len(latencies) + len(pending)
        if not pending and complete:
            break
        shown = await visible(pending) if pending else set()
        now = perf_counter()
        seen = [(event.at, (now - event.at) * 1000) for event in pending if event.position in shown]
        course += seen
        latencies += [milliseconds for _, milliseconds in seen]
        pending = [event for event in pending if event.position not in shown]
        if pending and now - pending[0].at > DEADLINE:
            raise TimeoutError(f"{name}: {len(pending)} of {taken} events not visible after {DEADLINE:g} s")
        await asyncio.sleep(POLL)
    cuts = quantiles(latencies, n=100, method="inclusive")
    return Latency(name, round(cuts[49], 2), round(cuts[98], 2), tuple(sorted(latencies)), tuple(sorted(course)))
