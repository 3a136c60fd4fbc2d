"""The cache while Redis is stopped, hangs, restarts empty, or has too little memory."""

from __future__ import annotations

import asyncio
import random
import signal
from collections.abc import Iterator
from time import monotonic

import pytest
from redis.asyncio import Redis

from holonstream.local.redis_server import RedisServer
from holonstream.sinks.cache.driver import connect
from holonstream.sinks.cache.reader import HolonCache
from holonstream.sinks.cache.sink import InvalidationSink
from holonstream.sinks.errors import CacheUnavailable
from tests.integration.cache_kit import TOPIC, MemoryGraph, batch_of, in_loop, own_redis, start, url_of

NAMESPACE = "outage-test"


@pytest.fixture
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with own_redis(tmp_path_factory.mktemp("redis")) as running:
        yield running


def new_sink(server: RedisServer, timeout: float = 5) -> InvalidationSink:
    return InvalidationSink(connect(url_of(server), timeout=timeout), NAMESPACE, grace_period=0, floor_interval=3600)


@in_loop
async def test_a_redis_that_is_down_costs_time_and_no_answer_and_comes_back_empty(server: RedisServer) -> None:
    graph = MemoryGraph()
    graph.apply("p-1", 5)
    sink = new_sink(server)
    await sink.open()
    await sink.assign(TOPIC, 0, 5)
    async with HolonCache(graph, connect(url_of(server), timeout=5), NAMESPACE, retry_after=0) as store:
        for _ in range(2):
            assert await store.get_holon("p-1") is not None
        assert store.counters.hits == 1

        server.kill()
        for _ in range(20):
            assert await store.get_holon("p-1") is graph.holons["p-1"]
        assert store.counters.errors >= 20
        with pytest.raises(CacheUnavailable, match="invalidating 1 holons of partition 0"):
            await sink.write(batch_of(("holon/p-1", 8)))

        start(server)
        before = store.counters.fills
        assert await store.get_holon("p-1") is not None
        assert store.counters.fills == before, "the floor went with Redis: nothing may be filled"
        assert store.counters.refused["no_floor"] == 1
        await sink.write(batch_of(("holon/p-1", 8)))
        assert await store.get_holon("p-1") is not None
        assert store.counters.refused["floor"] == 1, "the graph has not heard of 8"
        graph.apply("p-1", 8)
        assert await store.get_holon("p-1") == await store.get_holon("p-1") == graph.holons["p-1"]
        assert store.counters.hits == 2
    await sink.close()


@in_loop
async def test_a_redis_that_hangs_is_left_alone_for_a_while(server: RedisServer) -> None:
    graph = MemoryGraph()
    graph.apply("p-1", 5)
    async with HolonCache(graph, connect(url_of(server), timeout=0.5), NAMESPACE, retry_after=60) as store:
        await store.get_holon("p-1")
        server.send_signal(signal.SIGSTOP)
        try:
            began = monotonic()
            for _ in range(50):
                assert await store.get_holon("p-1") is graph.holons["p-1"]
            assert monotonic() - began < 10, "half a second once, and not for each of 50 reads"
            assert store.counters.errors == 1
            assert store.counters.bypassed == 49
        finally:
            server.send_signal(signal.SIGCONT)


@in_loop
async def test_reads_that_wait_for_a_connection_do_not_wait_for_a_redis_that_hangs(server: RedisServer) -> None:
    """Hundreds of reads share a few connections: when those have found out, the others need not."""
    graph = MemoryGraph()
    for n in range(100):
        graph.apply(f"p-{n}", n + 1)
    redis = connect(url_of(server), timeout=0.5, connections=2)
    async with HolonCache(graph, redis, NAMESPACE, retry_after=60) as store:
        await store.get_holon("p-0")
        server.send_signal(signal.SIGSTOP)
        try:
            began = monotonic()
            found = await asyncio.gather(*(store.get_holon(f"p-{n}") for n in range(100)))
            assert monotonic() - began < 10, "not half a second for each two of 100 reads"
            assert found == [graph.holons[f"p-{n}"] for n in range(100)]
            assert (store.counters.errors, store.counters.bypassed) == (2, 98)
        finally:
            server.send_signal(signal.SIGCONT)


@in_loop
async def test_a_read_that_is_given_up_leaves_no_answer_for_the_next(server: RedisServer) -> None:
    """A connection with an answer still to come must not be used for another question."""
    graph = MemoryGraph()
    sink = new_sink(server)
    await sink.open()
    await sink.assign(TOPIC, 0, 0)
    async with HolonCache(graph, connect(url_of(server), timeout=5, connections=1), NAMESPACE) as store:
        for name, position in (("p-1", 5), ("p-2", 6)):
            await sink.write(batch_of((f"holon/{name}", position)))
            graph.apply(name, position)
            await store.get_holon(name)
        server.send_signal(signal.SIGSTOP)
        given_up = asyncio.create_task(store.get_holon("p-1"))
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(given_up, 0.1)
        server.send_signal(signal.SIGCONT)
        found = await store.get_holon("p-2")
        assert found is not None
        assert found.id == "p-2"
        assert store.counters.hits == 1
    await sink.close()


@in_loop
async def test_assignment_and_opening_say_that_redis_is_down(server: RedisServer) -> None:
    sink = new_sink(server, timeout=0.5)
    await sink.open()
    server.kill()
    with pytest.raises(CacheUnavailable, match="of an earlier version"):
        await sink.assign(TOPIC, 0, 5)
    await sink.close()
    other = new_sink(server, timeout=0.5)
    with pytest.raises(CacheUnavailable, match="reading its settings"):
        await other.open()
    await other.close()


@in_loop
async def test_a_replica_without_its_master_is_unavailable_and_takes_the_run_later(server: RedisServer) -> None:
    """Its refusal's code is no part of redis-py's message."""
    sink = new_sink(server)
    await sink.open()
    await sink.assign(TOPIC, 0, 5)
    async with Redis.from_url(url_of(server)) as redis:
        await redis.config_set("replica-serve-stale-data", "no")
        await redis.replicaof("127.0.0.1", "1")
        with pytest.raises(CacheUnavailable, match="invalidating 1 holons of partition 0: MASTERDOWN "):
            await sink.write(batch_of(("holon/p-1", 8)))
        await redis.replicaof("NO", "ONE")
    await sink.write(batch_of(("holon/p-1", 8)))
    await sink.close()


@in_loop
async def test_connections_that_a_restart_closed_are_not_used_again(server: RedisServer) -> None:
    redis = connect(url_of(server), timeout=5)
    await asyncio.gather(*[redis.ping() for _ in range(5)])
    idle = [c._reader for c in redis.connection_pool._available_connections if c._reader is not None]
    assert len(idle) > 1
    server.kill()
    for reader in idle:
        while not reader.at_eof():  # the loop hears of it in its own time
            await asyncio.wait([asyncio.create_task(reader.read(1))])
    start(server)
    assert await asyncio.gather(*[redis.ping() for _ in range(5)]) == [True] * 5
    await redis.aclose()


@in_loop
async def test_under_memory_pressure_no_hit_is_older_than_an_acknowledged_invalidation(server: RedisServer) -> None:
    """Far more holons than memory, a graph that lags by up to 60 events, readers beside the writer."""
    rng = random.Random(11)
    graph, sink = MemoryGraph(), new_sink(server)
    history: list[tuple[str, int]] = []
    acknowledged: dict[str, int] = {}
    padding = "x" * 2000
    stale: list[str] = []
    await sink.open()
    await sink.assign(TOPIC, 0, 0)
    async with (
        Redis.from_url(url_of(server)) as redis,
        HolonCache(graph, connect(url_of(server), timeout=5), NAMESPACE) as store,
    ):
        used = (await redis.info("memory"))["used_memory"]
        await redis.config_set("maxmemory", str(used + 1_500_000))

        async def read(holon_id: str) -> None:
            known = acknowledged.get(holon_id, 0)
            found = await store.get_holon(holon_id)
            if found is not None and not graph.gave(found) and found.position < known:
                stale.append(f"{holon_id}: {found.position}, acknowledged was {known}")

        async def write(events: list[tuple[str, int]]) -> None:
            await sink.write(batch_of(*[(f"holon/{h}", p) for h, p in events]))
            acknowledged.update(dict(events))

        applied = 0
        for _ in range(250):
            events = []
            for _ in range(20):
                holon_id = f"p-{rng.randrange(rng.choice([50, 1000, 4000]))}"
                history.append((holon_id, len(history) + 1))
                events.append(history[-1])
            upto = max(applied, len(history) - rng.randrange(60))
            for h, p in history[applied:upto]:
                graph.apply(h, p, padding=padding)
            applied = upto
            graph.answers = graph.answers[-200:]
            readers = [read(rng.choice(history)[0]) for _ in range(30)]
            await asyncio.gather(write(events), *readers)

        evicted = (await redis.info("stats"))["evicted_keys"]
        assert stale == []
        assert evicted > 500, "there was no pressure"
        assert store.counters.hits > 500, store.counters
        assert store.counters.fills > 500, store.counters
        assert store.counters.refused["slot"] > 0, store.counters
        assert store.counters.refused["tombstone"] > 0, store.counters
        assert await redis.exists(f"{NAMESPACE}:watermarks:0"), "watermarks are never evicted"
    await sink.close()
