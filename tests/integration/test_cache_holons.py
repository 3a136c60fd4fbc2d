"""Reading holons through the cache, on a real Redis."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest
from redis.asyncio import Redis

from holonstream.local.redis_server import RedisServer
from holonstream.schemas.errors import InvalidToken
from holonstream.schemas.token import Token
from holonstream.sinks.cache.driver import connect
from holonstream.sinks.cache.reader import HolonCache
from holonstream.sinks.cache.sink import InvalidationSink
from holonstream.sinks.errors import GraphUnavailable, NotYetVisible
from holonstream.sinks.store import HolonRead
from tests.integration.cache_kit import (
    TOPIC,
    MemoryGraph,
    batch_of,
    entry_of,
    generation_of,
    holon,
    in_loop,
    own_redis,
    url_of,
)

NAMESPACE = "store-test"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with own_redis(tmp_path_factory.mktemp("redis")) as running:
        yield running


@dataclass
class Setup:
    graph: MemoryGraph
    store: HolonCache
    sink: InvalidationSink
    redis: Redis

    async def append(self, holon_id: str, position: int) -> None:
        """An event that both sinks have handled."""
        await self.sink.write(batch_of((f"holon/{holon_id}", position)))
        self.graph.apply(holon_id, position)


@asynccontextmanager
async def setup(server: RedisServer) -> AsyncIterator[Setup]:
    graph = MemoryGraph()
    async with Redis.from_url(url_of(server)) as redis:
        await redis.flushall()
        sink = InvalidationSink(connect(url_of(server), timeout=5), NAMESPACE, grace_period=0, floor_interval=3600)
        await sink.open()
        await sink.assign(TOPIC, 0, None)
        try:
            async with HolonCache(graph, connect(url_of(server), timeout=5), NAMESPACE) as store:
                yield Setup(graph, store, sink, redis)
        finally:
            await sink.close()


def token(holon_id: str, position: int) -> Token:
    return Token({f"holon/{holon_id}": position})


@in_loop
async def test_a_miss_fills_and_the_next_read_hits(server: RedisServer) -> None:
    async with setup(server) as s:
        await s.append("p-1", 5)
        s.graph.apply("p-1", 5, big=2**90, none=None, text="Zoë", ratio=2.5, nested={"a": [1, None, {"b": False}]})
        first = await s.store.get_holon("p-1")
        second = await s.store.get_holon("p-1")
        assert first == second == s.graph.holons["p-1"]
        assert second is not None
        assert not s.graph.gave(second)
        assert (s.store.counters.misses, s.store.counters.fills, s.store.counters.hits) == (1, 1, 1)
        assert s.graph.reads == 1
        assert 3590 < await s.redis.ttl(f"{NAMESPACE}:holon:p-1") <= 3600


@in_loop
async def test_an_invalidated_holon_is_read_from_the_graph_again(server: RedisServer) -> None:
    async with setup(server) as s:
        await s.append("p-1", 5)
        await s.store.get_holon("p-1")
        await s.append("p-1", 8)
        found = await s.store.get_holon("p-1")
        assert found is not None
        assert found.position == 8
        assert s.graph.reads == 2


@in_loop
async def test_a_holon_that_is_not_there_is_not_cached(server: RedisServer) -> None:
    async with setup(server) as s:
        assert await s.store.get_holon("nobody") is None
        assert await s.store.get_holon("nobody") is None
        assert s.graph.reads == 2
        await s.append("nobody", 5)
        assert await s.store.get_holon("nobody") is not None


@in_loop
async def test_a_token_is_answered_from_the_cache_when_that_is_new_enough(server: RedisServer) -> None:
    async with setup(server) as s:
        await s.append("p-1", 5)
        await s.store.get_holon("p-1")
        for asked in (token("p-1", 5), str(token("p-1", 4)), token("p-2", 99), Token()):
            assert await s.store.get_holon("p-1", at_least=asked, deadline=0) is not None
        assert s.graph.reads == 1


@in_loop
async def test_a_token_beyond_the_cached_value_goes_to_the_graph(server: RedisServer) -> None:
    """The cache group lags here: it has not yet heard of event 8."""
    async with setup(server) as s:
        await s.append("p-1", 5)
        await s.store.get_holon("p-1")
        s.graph.apply("p-1", 8)
        found = await s.store.get_holon("p-1", at_least=token("p-1", 8), deadline=0)
        assert found is not None
        assert found.position == 8
        again = await s.store.get_holon("p-1")
        assert again is not None
        assert again.position == 8, "the newer value has replaced the older one"
        assert s.graph.reads == 2


@in_loop
async def test_a_token_waits_for_the_graph(server: RedisServer) -> None:
    async with setup(server) as s:
        await s.append("p-1", 5)

        def third_time() -> None:
            if s.graph.reads == 3:
                s.graph.apply("p-1", 8)

        s.graph.before_read = third_time
        found = await s.store.get_holon("p-1", at_least=token("p-1", 8))
        assert found is not None
        assert found.position == 8
        assert s.store.counters.waits == 2


@in_loop
async def test_a_token_is_reached_when_the_partition_has_reached_it(server: RedisServer) -> None:
    """A merged token may be ahead of the holon: the graph's checkpoint says that nothing is missing."""
    async with setup(server) as s:
        await s.append("p-1", 5)
        s.graph.checkpoint = 9
        found = await s.store.get_holon("p-1", at_least=token("p-1", 8), deadline=0)
        assert found is not None
        assert found.position == 5
        assert await s.store.get_holon("gone", at_least=token("gone", 9), deadline=0) is None


@in_loop
async def test_a_deadline_that_passes_names_what_was_reached(server: RedisServer) -> None:
    async with setup(server) as s:
        await s.append("p-1", 5)
        with pytest.raises(NotYetVisible) as late:
            await s.store.get_holon("p-1", at_least=token("p-1", 8), deadline=0.05)
        assert (late.value.stream, late.value.wanted, late.value.reached) == ("holon/p-1", 8, 5)
        assert 0.05 <= late.value.waited < 2
        with pytest.raises(NotYetVisible) as unknown:
            await s.store.get_holon("nobody", at_least=token("nobody", 8), deadline=0)
        assert unknown.value.reached == 5


@in_loop
async def test_a_text_that_is_no_token_is_refused_before_anything_is_read(server: RedisServer) -> None:
    async with setup(server) as s:
        with pytest.raises(InvalidToken):
            await s.store.get_holon("p-1", at_least="yesterday")
        assert s.graph.reads == 0


@in_loop
async def test_an_entry_of_another_release_is_replaced(server: RedisServer) -> None:
    async with setup(server) as s:
        await s.append("p-1", 5)
        header = entry_of(5, await generation_of(s.redis, NAMESPACE)).replace(b"T", b"V", 1)
        await s.redis.set(f"{NAMESPACE}:holon:p-1", header + b'{"name":"of another shape"}')
        assert await s.store.get_holon("p-1") == s.graph.holons["p-1"]
        assert await s.store.get_holon("p-1") == s.graph.holons["p-1"]
        assert s.graph.reads == 1


class SlowGraph:
    """A graph whose reads happen at once and answer when the test says so."""

    def __init__(self, graph: MemoryGraph) -> None:
        self.graph = graph
        self.gates: list[asyncio.Event] = []
        self.asked = asyncio.Condition()

    async def read_holon(self, holon_id: str) -> HolonRead:
        read = await self.graph.read_holon(holon_id)
        gate = asyncio.Event()
        async with self.asked:
            self.gates.append(gate)
            self.asked.notify_all()
        await gate.wait()
        return read

    async def reads(self, count: int) -> None:
        async with asyncio.timeout(10), self.asked:
            await self.asked.wait_for(lambda: len(self.gates) >= count)


async def misses(redis: Redis, store: HolonCache, count: int) -> None:
    """Wait until so many readers have found nothing and gone on to the graph."""
    async with asyncio.timeout(10):
        while store.counters.misses < count:
            await redis.ping()


@in_loop
async def test_concurrent_misses_share_one_read_of_the_graph(server: RedisServer) -> None:
    async with setup(server) as s:
        await s.append("p-1", 5)
        slow = SlowGraph(s.graph)
        async with HolonCache(slow, connect(url_of(server), timeout=5), NAMESPACE) as store:
            readers = [asyncio.create_task(store.get_holon("p-1")) for _ in range(200)]
            await slow.reads(1)
            await misses(s.redis, store, 200)
            slow.gates[0].set()
            answers = await asyncio.gather(*readers)
            assert answers == [s.graph.holons["p-1"]] * 200
            assert s.graph.reads == 1
            assert store.counters.fills == 1


@in_loop
async def test_a_reader_with_a_newer_token_does_not_take_an_older_flights_answer(server: RedisServer) -> None:
    async with setup(server) as s:
        await s.append("p-1", 5)
        slow = SlowGraph(s.graph)
        async with HolonCache(slow, connect(url_of(server), timeout=5), NAMESPACE) as store:
            without = asyncio.create_task(store.get_holon("p-1"))
            await slow.reads(1)
            s.graph.apply("p-1", 8)
            with_token = asyncio.create_task(store.get_holon("p-1", at_least=token("p-1", 8), deadline=0))
            slow.gates[0].set()
            old = await without
            await slow.reads(2)
            slow.gates[1].set()
            new = await with_token
            assert old is not None
            assert new is not None
            assert (old.position, new.position) == (5, 8)


@in_loop
async def test_a_reader_that_saw_a_tombstone_does_not_take_an_older_flights_answer(server: RedisServer) -> None:
    async with setup(server) as s:
        await s.append("p-1", 5)
        slow = SlowGraph(s.graph)
        async with HolonCache(slow, connect(url_of(server), timeout=5), NAMESPACE) as store:
            early = asyncio.create_task(store.get_holon("p-1"))
            await slow.reads(1)
            await s.append("p-1", 8)
            late = asyncio.create_task(store.get_holon("p-1"))
            await misses(s.redis, store, 2)
            slow.gates[0].set()
            await early
            await slow.reads(2)
            slow.gates[1].set()
            answer = await late
            assert answer is not None
            assert answer.position == 8
            assert store.counters.refused == {"tombstone": 1}


@in_loop
async def test_a_reader_that_gives_up_does_not_take_the_others_with_it(server: RedisServer) -> None:
    async with setup(server) as s:
        await s.append("p-1", 5)
        slow = SlowGraph(s.graph)
        async with HolonCache(slow, connect(url_of(server), timeout=5), NAMESPACE) as store:
            first, second = (asyncio.create_task(store.get_holon("p-1")) for _ in range(2))
            await slow.reads(1)
            await misses(s.redis, store, 2)
            first.cancel()
            slow.gates[0].set()
            assert await second == s.graph.holons["p-1"]
            assert s.graph.reads == 1


@in_loop
async def test_an_unavailable_graph_is_said_to_every_reader_and_asked_again(server: RedisServer) -> None:
    class Failing(MemoryGraph):
        down = True

        async def read_holon(self, holon_id: str) -> HolonRead:
            if self.down:
                raise GraphUnavailable("no graph")
            return await super().read_holon(holon_id)

    graph = Failing()
    async with setup(server), HolonCache(graph, connect(url_of(server), timeout=5), NAMESPACE) as store:
        answers = await asyncio.gather(*[store.get_holon("p-1") for _ in range(3)], return_exceptions=True)
        assert [type(a) for a in answers] == [GraphUnavailable] * 3
        graph.down = False
        graph.apply("p-1", 5)
        assert await store.get_holon("p-1") == holon("p-1", 5)


@in_loop
async def test_more_readers_than_connections_wait_for_one(server: RedisServer) -> None:
    async with setup(server) as s:
        await s.append("p-1", 5)
        await s.store.get_holon("p-1")
        async with HolonCache(s.graph, connect(url_of(server), timeout=5, connections=2), NAMESPACE) as store:
            await asyncio.gather(*[store.get_holon("p-1") for _ in range(100)])
            assert (store.counters.hits, store.counters.errors) == (100, 0)
