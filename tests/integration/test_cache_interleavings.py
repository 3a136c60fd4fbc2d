"""Every order of the steps that matter: invalidations, graph writes, readers between their steps, evictions, flushes.

The real sink, store and scripts run on a real Redis; only the graph is in memory, so that a reader can be held between
its read of the cache, its read of the graph and its fill. After EVERY step of every schedule it holds that Redis
shows no value older than an acknowledged invalidation. The same harness shows that simpler protocols break it.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol, cast

import pytest
from redis.asyncio import Redis

from holonstream.local.redis_server import RedisServer
from holonstream.schemas.state import Holon
from holonstream.schemas.token import Token
from holonstream.sinks.base import Batch
from holonstream.sinks.cache.counters import CacheCounters
from holonstream.sinks.cache.driver import Script, connect
from holonstream.sinks.cache.entry import Keys, decode_value, position_of
from holonstream.sinks.cache.reader import HolonCache
from holonstream.sinks.cache.sink import InvalidationSink
from holonstream.sinks.errors import NotYetVisible
from holonstream.sinks.store import HolonRead
from tests.integration.cache_kit import TOPIC, batch_of, entry_of, holon, in_loop, own_redis, url_of

NAMESPACE = "interleaved"
KEYS = Keys(NAMESPACE)
READER = ("read cache", "read graph", "fill")
Schedule = tuple[str, ...]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with own_redis(tmp_path_factory.mktemp("redis")) as running:
        yield running


def reader(name: str) -> Schedule:
    return tuple(f"{name}: {step}" for step in READER)


def orders(*pipelines: Schedule) -> Iterator[Schedule]:
    """Every order of the pipelines' steps that keeps each pipeline's own order."""
    left = [p for p in pipelines if p]
    if not left:
        yield ()
    for i, pipeline in enumerate(left):
        for rest in orders(*left[:i], pipeline[1:], *left[i + 1 :]):
            yield (pipeline[0], *rest)


def some(count: int, *pipelines: Schedule) -> list[Schedule]:
    """`count` of the orders, the same ones each time."""
    return random.Random(7).sample(list(orders(*pipelines)), count)


class Store(Protocol):
    async def get_holon(
        self, holon_id: str, *, at_least: Token | str | None = None, deadline: float = 2.0
    ) -> Holon | None: ...


class Sink(Protocol):
    async def assign(self, topic: str, partition: int, committed_position: int | None) -> int | None: ...
    async def write(self, batch: Batch) -> object: ...
    async def make_floors(self) -> None: ...
    def revoke(self, topic: str, partition: int) -> None: ...


@dataclass
class World:
    """One schedule's holon, alone in its partition: event 1 is everywhere when it begins."""

    number: int
    redis: Redis
    protected: bool = True
    """whether the protocol under test is ours: then an entry counts if its script gives it to readers"""
    position: int = 1
    acknowledged: int = 1
    broken: list[str] = field(default_factory=list)

    @property
    def holon_id(self) -> str:
        return f"holon-{self.number}"

    @property
    def key(self) -> str:
        return KEYS.holon + self.holon_id

    def read(self) -> HolonRead:
        return HolonRead(holon(self.holon_id, self.position), self.number, self.position)

    async def entry(self) -> bytes | None:
        """What a reader is given."""
        reading = Script("read", writes=False).run(self.redis, [self.key], KEYS.watermark) if self.protected else None
        return cast("bytes | None", await (reading or self.redis.get(self.key)))

    async def check(self, step: str) -> None:
        entry = await self.entry()
        if entry and entry[:1] == b"V" and (position_of(entry) or 0) < self.acknowledged:
            self.broken.append(
                f"after {step!r} the cache shows {position_of(entry)}, acknowledged is {self.acknowledged}"
            )


class HeldGraph:
    """A graph on which one reader at a time can be held, before it reads and after."""

    def __init__(self) -> None:
        self.world: World | None = None
        self.hold()

    def hold(self) -> None:
        self.asked, self.go, self.done, self.answer = (asyncio.Event() for _ in range(4))

    def let_go(self) -> None:
        self.go.set()
        self.answer.set()

    async def read_holon(self, holon_id: str) -> HolonRead:
        assert self.world is not None
        self.asked.set()
        await self.go.wait()
        read = self.world.read()
        self.done.set()
        await self.answer.wait()
        return read


@dataclass
class Reader:
    """One process that reads: its store, and the graph that it is held on."""

    make: Callable[[HeldGraph], Store]
    graph: HeldGraph = field(default_factory=HeldGraph)

    def __post_init__(self) -> None:
        self.store = self.make(self.graph)

    async def step(self, step: str, world: World, token: Token | None) -> None:
        match step:
            case "read cache":
                self.graph.world = world
                self.graph.hold()
                self.reading = asyncio.create_task(self.store.get_holon(world.holon_id, at_least=token, deadline=0))
                asked = asyncio.create_task(self.graph.asked.wait())
                await asyncio.wait([self.reading, asked], return_when=asyncio.FIRST_COMPLETED)
                asked.cancel()
            case "read graph":
                self.graph.go.set()
                done = asyncio.create_task(self.graph.done.wait())
                await asyncio.wait([self.reading, done], return_when=asyncio.FIRST_COMPLETED)
                done.cancel()
            case "fill":
                self.graph.answer.set()
                try:
                    answer = await self.reading
                except NotYetVisible as error:
                    if error.reached is None or error.reached >= error.wanted:
                        world.broken.append(f"refused without need: {error}")
                else:
                    wanted = token.positions[f"holon/{world.holon_id}"] if token else 0
                    if answer is None or answer.position < wanted:
                        world.broken.append(f"a read with a token for {wanted} got {answer}")


@dataclass
class Harness:
    redis: Redis
    sinks: dict[str, Sink]
    readers: dict[str, Reader]
    numbers: Iterator[int]
    protected: bool = True
    saved: dict[str, bytes] = field(default_factory=dict)

    async def play(self, schedule: Schedule, *, warm: bool, with_token: int | None) -> list[str]:
        """Play one schedule and return what it broke."""
        world = World(next(self.numbers), self.redis, self.protected)
        token = Token({f"holon/{world.holon_id}": with_token}) if with_token else None
        stream = f"holon/{world.holon_id}"
        for sink in self.sinks.values():
            await sink.assign(TOPIC, world.number, 1)
        if warm:
            await self._read_undisturbed(world)
        for step in schedule:
            actor, _, what = step.partition(": ")
            if actor in self.readers:
                await self.readers[actor].step(what, world, token)
            elif what.startswith("invalidate"):
                position = int(what.split()[1])
                await self.sinks[actor].write(batch_of((stream, position), partition=world.number))
                world.acknowledged = max(world.acknowledged, position)
            elif actor == "graph":
                world.position = int(what.split()[1])
            elif step == "evict":
                await self.redis.delete(world.key)
            elif step == "flush":
                await self.redis.flushall()
            elif step == "save":
                keys = [world.key, KEYS.watermarks(world.number)]
                dumps = {key: await self.redis.dump(key) for key in keys}
                self.saved = {key: value for key, value in dumps.items() if value is not None}
            elif step == "fail over":
                await self._fail_over()
            elif step == "make floors":
                for sink in self.sinks.values():
                    await sink.make_floors()
            else:
                raise AssertionError(step)
            await world.check(step)
        await self._ends_well(world)
        for sink in self.sinks.values():
            sink.revoke(TOPIC, world.number)
        return world.broken

    async def _fail_over(self) -> None:
        """In one step: a master that has what was saved, and nothing since."""
        async with self.redis.pipeline(transaction=True) as pipeline:
            pipeline.flushall()
            for key, value in self.saved.items():
                pipeline.restore(key, 0, value)
            pipeline.replicaof("127.0.0.1", "1")
            pipeline.replicaof("NO", "ONE")
            await pipeline.execute()

    async def _read_undisturbed(self, world: World) -> Holon | None:
        someone = next(iter(self.readers.values()))
        someone.graph.world = world
        someone.graph.hold()
        someone.graph.let_go()
        return await someone.store.get_holon(world.holon_id)

    async def _ends_well(self, world: World) -> None:
        """Once all has arrived, a read fills and the next one hits: refusing everything would be safe and useless."""
        await self._read_undisturbed(world)
        entry = await world.entry()
        shown = entry and decode_value(entry, world.holon_id)
        if not shown or shown.position != world.position:
            world.broken.append(f"at the end the cache shows {entry!r}, the graph holds {world.position}")


@dataclass
class Outcome:
    played: int
    broken: dict[Schedule, list[str]]
    counters: CacheCounters

    def assert_sound(self) -> None:
        first = next(iter(self.broken.items()), None)
        assert first is None, f"{len(self.broken)} of {self.played} schedules broke; the first: {first}"


async def play_all(
    server: RedisServer,
    schedules: Sequence[Schedule],
    *,
    warm: bool = False,
    with_token: int | None = None,
    make: Callable[[HeldGraph], Store] | None = None,
    simple_sink: Callable[[Redis], Sink] | None = None,
) -> Outcome:
    counters = CacheCounters()
    redis = Redis.from_url(url_of(server))
    await redis.flushall()
    closing: list[Callable[[], Awaitable[None]]] = [redis.aclose]

    def protocol(graph: HeldGraph) -> HolonCache:
        store = HolonCache(graph, connect(url_of(server), timeout=5), NAMESPACE, counters=counters)
        closing.append(store.close)
        return store

    sinks: dict[str, Sink] = {}
    for name in ("sink", "old sink"):
        if not any(step.startswith(name) for step in schedules[0]):
            continue
        if simple_sink:
            sinks[name] = simple_sink(redis)
            continue
        sink = InvalidationSink(
            connect(url_of(server), timeout=5), NAMESPACE, grace_period=0, floor_interval=3600, counters=counters
        )
        await sink.open()
        closing.append(sink.close)
        sinks[name] = sink
    try:
        readers = {name: Reader(make or protocol) for name in ("A", "B")}
        harness = Harness(redis, sinks, readers, iter(range(len(schedules))), protected=not simple_sink)
        broken = {s: b for s in schedules if (b := await harness.play(s, warm=warm, with_token=with_token))}
    finally:
        for close in closing:
            await close()
    return Outcome(len(schedules), broken, counters)


INVALIDATE = ("sink: invalidate 2", "sink: invalidate 3")
APPLY = ("graph: apply 2", "graph: apply 3")
FLUSH = ("flush", "make floors")
FAIL_OVER = ("save", "fail over", "make floors")


@in_loop
async def test_two_readers_of_one_event(server: RedisServer) -> None:
    outcome = await play_all(server, list(orders(INVALIDATE[:1], APPLY[:1], reader("A"), reader("B"))))
    outcome.assert_sound()
    assert outcome.played == 1120
    assert outcome.counters.fills > outcome.played
    assert outcome.counters.refused["tombstone"] > 0
    assert outcome.counters.refused["value"] > 0


@in_loop
async def test_two_events_a_reader_and_an_eviction(server: RedisServer) -> None:
    outcome = await play_all(server, list(orders(INVALIDATE, APPLY, reader("A"), ("evict",))))
    outcome.assert_sound()
    assert outcome.played == 1680
    assert outcome.counters.refused["slot"] > 0


@in_loop
async def test_two_events_and_an_eviction_of_what_was_cached_before(server: RedisServer) -> None:
    outcome = await play_all(server, some(400, INVALIDATE, APPLY, reader("A"), ("evict",)), warm=True)
    outcome.assert_sound()


@in_loop
async def test_two_readers_and_an_eviction(server: RedisServer) -> None:
    schedules = some(500, INVALIDATE[:1], APPLY[:1], reader("A"), reader("B"), ("evict",))
    outcome = await play_all(server, schedules)
    outcome.assert_sound()
    assert outcome.counters.refused["slot"] > 0


@pytest.mark.parametrize("warm", [False, True])
@in_loop
async def test_a_flush_between_any_two_steps(server: RedisServer, warm: bool) -> None:
    outcome = await play_all(server, list(orders(INVALIDATE[:1], APPLY[:1], reader("A"), FLUSH)), warm=warm)
    outcome.assert_sound()
    assert outcome.played == 420
    assert outcome.counters.refused["no_floor"] > 0
    assert outcome.counters.refused["floor"] > 0


@pytest.mark.parametrize("warm", [False, True])
@in_loop
async def test_a_fail_over_to_what_was_saved_before_between_any_two_steps(server: RedisServer, warm: bool) -> None:
    schedules = some(200, INVALIDATE[:1], APPLY[:1], reader("A"), FAIL_OVER)
    outcome = await play_all(server, schedules, warm=warm)
    outcome.assert_sound()
    assert outcome.counters.refused["no_floor"] > 0
    assert outcome.counters.refused["floor"] > 0


@in_loop
async def test_a_fail_over_to_what_was_saved_before_among_two_events(server: RedisServer) -> None:
    schedules = some(200, INVALIDATE, APPLY, reader("A"), FAIL_OVER)
    (await play_all(server, schedules, warm=True)).assert_sound()


@in_loop
async def test_a_flush_among_two_events(server: RedisServer) -> None:
    outcome = await play_all(server, some(500, INVALIDATE, APPLY, reader("A"), FLUSH))
    outcome.assert_sound()


@in_loop
async def test_a_worker_that_has_lost_its_partition_and_the_one_that_has_it_and_an_eviction(
    server: RedisServer,
) -> None:
    schedules = some(500, ("old sink: invalidate 3",), INVALIDATE, APPLY, reader("A"), ("evict",))
    outcome = await play_all(server, schedules)
    outcome.assert_sound()


@pytest.mark.parametrize("warm", [False, True])
@in_loop
async def test_a_read_with_a_token_is_never_older_than_the_token(server: RedisServer, warm: bool) -> None:
    schedules = [
        *orders(INVALIDATE[:1], APPLY[:1], reader("A"), ("evict",)),
        *orders(INVALIDATE[:1], APPLY[:1], reader("A"), FLUSH),
    ]
    (await play_all(server, schedules, warm=warm, with_token=2)).assert_sound()


# What simpler protocols come to in the same harness.


class DeletingSink:
    """Invalidates by deletion."""

    def __init__(self, redis: Redis) -> None:
        self.redis = redis

    async def assign(self, topic: str, partition: int, committed_position: int | None) -> int | None:
        return None

    def revoke(self, topic: str, partition: int) -> None: ...

    async def make_floors(self) -> None: ...

    async def write(self, batch: Batch) -> None:
        await self.redis.delete(f"{KEYS.holon}holon-{batch.partition}")


class TombstoneSink(DeletingSink):
    """Invalidates by a tombstone, and knows no watermarks."""

    async def write(self, batch: Batch) -> None:
        await self.redis.set(f"{KEYS.holon}holon-{batch.partition}", b"T%020d" % batch.records[-1].offset)


class PlainStore:
    """Fills with a plain SET, or, with a script, unless the key holds something newer."""

    def __init__(self, graph: HeldGraph, redis: Redis, script: str) -> None:
        self.graph, self.redis, self.script = graph, redis, script

    async def get_holon(self, holon_id: str, *, at_least: object = None, deadline: float = 0) -> Holon | None:
        entry = cast("bytes | None", await self.redis.get(KEYS.holon + holon_id))
        if entry and entry[:1] == b"V":
            return decode_value(entry, holon_id)
        read = await self.graph.read_holon(holon_id)
        assert read.holon is not None
        await self.redis.eval(self.script, 1, KEYS.holon + holon_id, entry_of(read.holon))
        return read.holon


PLAIN_SET = "return redis.call('SET', KEYS[1], ARGV[1])"
COMPARE_WITH_THE_KEY_ONLY = """
local present = redis.call('GETRANGE', KEYS[1], 0, 20)
if string.sub(present, 2) > string.sub(ARGV[1], 2, 21) then return 'refused' end
return redis.call('SET', KEYS[1], ARGV[1])
"""


async def play_simple(
    server: RedisServer, sink: Callable[[Redis], Sink], script: str, schedules: Sequence[Schedule]
) -> Outcome:
    redis = Redis.from_url(url_of(server))
    try:
        return await play_all(server, schedules, make=lambda graph: PlainStore(graph, redis, script), simple_sink=sink)
    finally:
        await redis.aclose()


@in_loop
async def test_deletion_and_a_plain_set_go_stale(server: RedisServer) -> None:
    schedules = list(orders(INVALIDATE[:1], APPLY[:1], reader("A")))
    outcome = await play_simple(server, DeletingSink, PLAIN_SET, schedules)
    sink_ahead_of_graph = ("sink: invalidate 2", *reader("A"), "graph: apply 2")
    assert sink_ahead_of_graph in outcome.broken
    assert len(outcome.broken) >= 5, outcome


@in_loop
async def test_tombstones_without_watermarks_hold_only_while_nothing_is_lost(server: RedisServer) -> None:
    undisturbed = list(orders(INVALIDATE[:1], APPLY[:1], reader("A"), reader("B")))
    (await play_simple(server, TombstoneSink, COMPARE_WITH_THE_KEY_ONLY, undisturbed)).assert_sound()
    for loss in (("evict",), ("flush", "make floors")):
        schedules = list(orders(INVALIDATE[:1], APPLY[:1], reader("A"), loss))
        outcome = await play_simple(server, TombstoneSink, COMPARE_WITH_THE_KEY_ONLY, schedules)
        assert outcome.broken, f"{loss} did no harm"
