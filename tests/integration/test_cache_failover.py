"""A Redis that is not the one it was: promoted, restored, swapped, split. No reader sees what it should not know."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial

import pytest
from redis.asyncio import Redis

from holonstream.local.redis_server import RedisServer
from holonstream.sinks.cache.driver import connect
from holonstream.sinks.cache.reader import HolonCache
from holonstream.sinks.cache.sink import InvalidationSink
from holonstream.sinks.errors import CacheUnavailable
from tests.integration.cache_failover_kit import (
    NAMESPACE,
    Load,
    new_sink,
    new_store,
    pair,
    promote,
    replicate,
    replicate_under_load,
    servers,
    wait_for,
)
from tests.integration.cache_kit import (
    TOPIC,
    MemoryGraph,
    batch_of,
    generation_of,
    in_loop,
    start,
    url_of,
)
from tests.support.proxy import LOOPBACK, FaultProxy

__all__ = ["pair", "servers"]


async def holds_a_value(redis: Redis) -> bool:
    return bool(await redis.getrange(f"{NAMESPACE}:holon:p-1", 0, 0) == b"V")


@dataclass
class Warm:
    """A worker, a reader, and a graph that lacks event 6; the cache holds ``p-1`` at 5, and Redis was copied then."""

    sink: InvalidationSink
    store: HolonCache
    graph: MemoryGraph

    async def reads_the_graph(self) -> bool:
        hits = self.store.counters.hits
        assert await self.store.get_holon("p-1") == self.graph.holons["p-1"]
        return self.store.counters.hits == hits


@asynccontextmanager
async def warm(server: RedisServer, partition: int = 0) -> AsyncIterator[Warm]:
    graph, sink = MemoryGraph(partition), new_sink(url_of(server))
    await sink.assign(TOPIC, partition, 0)
    async with new_store(graph, url_of(server)) as store:
        await sink.write(batch_of(("holon/p-1", 5), partition=partition))
        graph.apply("p-1", 5)
        await store.get_holon("p-1")
        await store.get_holon("p-1")
        assert store.counters.hits == 1
        try:
            yield Warm(sink, store, graph)
        finally:
            await sink.close()


# --- what a copy without the last invalidations does ------------------------------------------------------------------


@in_loop
async def test_a_reader_of_a_promoted_replica_trusts_nothing_that_came_from_the_old_master(
    servers: tuple[RedisServer, RedisServer],
) -> None:
    """The reader is there before the worker."""
    first, second = servers
    async with warm(first) as w:
        await replicate(second, first)
        await promote(second)
        await w.sink.write(batch_of(("holon/p-1", 6)))
        async with new_store(w.graph, url_of(second)) as store, Redis.from_url(url_of(second)) as redis:
            assert await holds_a_value(redis), "the replica has it"
            old = await generation_of(redis, NAMESPACE)
            await store.get_holon("p-1")
            assert (store.counters.hits, store.counters.errors) == (0, 0)
            assert store.counters.refused == {"no_floor": 1}
            worker = new_sink(url_of(second))
            await worker.assign(TOPIC, 0, 6)
            assert await generation_of(redis, NAMESPACE) != old
            await store.get_holon("p-1")
            assert (store.counters.hits, store.counters.refused["floor"]) == (0, 1), "the graph lacks 6"
            w.graph.apply("p-1", 6)
            for _ in range(2):
                assert await store.get_holon("p-1") == w.graph.holons["p-1"]
            assert store.counters.hits == 1
            await worker.close()


@in_loop
async def test_a_server_restored_from_its_snapshot_starts_cold(servers: tuple[RedisServer, RedisServer]) -> None:
    server, _ = servers
    async with warm(server) as w:
        async with Redis.from_url(url_of(server)) as redis:
            await redis.save()
        await w.sink.write(batch_of(("holon/p-1", 6)))
        server.kill()
        start(server)
        async with Redis.from_url(url_of(server)) as redis:
            assert await holds_a_value(redis), "the old value is back"
        assert await w.reads_the_graph()
        assert w.store.counters.refused["no_floor"] == 1
        await w.sink.make_floors()
        assert await w.reads_the_graph()
        assert w.store.counters.refused["floor"] == 1


@in_loop
async def test_a_master_that_was_a_replica_meanwhile_starts_cold_also_for_connections_that_stayed(
    servers: tuple[RedisServer, RedisServer],
) -> None:
    first, second = servers
    async with warm(first) as w:
        await replicate(second, first)
        await promote(second)
        await w.sink.write(batch_of(("holon/p-1", 6)))  # the second lacks it
        await replicate(first, second)
        assert await w.reads_the_graph(), "a replica answers no reader"
        with pytest.raises(CacheUnavailable, match="READONLY"):
            await w.sink.make_floors()
        await promote(first)
        async with Redis.from_url(url_of(first)) as redis:
            assert await holds_a_value(redis), "the old value is back"
        assert await w.reads_the_graph()
        await w.sink.make_floors()
        assert await w.reads_the_graph()


@in_loop
async def test_a_database_that_was_swapped_out_and_in_again_starts_cold_at_the_next_check(
    servers: tuple[RedisServer, RedisServer],
) -> None:
    """The server is the same: the worker knows that it has written more than the watermarks say."""
    server, _ = servers
    async with warm(server) as w, Redis.from_url(url_of(server)) as redis:
        await redis.swapdb(0, 1)
        await w.sink.write(batch_of(("holon/p-1", 6)))
        assert await w.reads_the_graph()
        await redis.swapdb(0, 1)
        await w.sink.make_floors()
        assert await w.reads_the_graph()
        await redis.swapdb(0, 1)  # both databases have been this one
        await w.sink.write(batch_of(("relationship/r-1", 7)))
        assert await w.reads_the_graph()


@in_loop
async def test_a_worker_that_comes_finds_out_that_the_watermarks_are_older_than_its_group(
    servers: tuple[RedisServer, RedisServer],
) -> None:
    server, _ = servers
    async with warm(server) as w:
        other = new_sink(url_of(server))
        await other.assign(TOPIC, 0, 5)
        assert other.counters.floors == 0
        assert not await w.reads_the_graph(), "what was confirmed before stays"
        await other.assign(TOPIC, 0, 6)
        assert other.counters.floors == 1
        assert await w.reads_the_graph()
        await other.close()


@in_loop
async def test_a_topic_that_was_made_again_begins_a_generation(servers: tuple[RedisServer, RedisServer]) -> None:
    """Its log was restored: what is cached may be of events that are lost."""
    server, _ = servers
    async with warm(server) as w:
        worker = new_sink(url_of(server))
        await worker.assign(TOPIC, 0, 5, "first")
        assert await w.reads_the_graph()
        assert not await w.reads_the_graph()
        await worker.assign(TOPIC, 0, 5, "first")
        await worker.write(batch_of(("relationship/r-1", 6)))
        assert not await w.reads_the_graph()
        again = new_sink(url_of(server))
        await again.assign(TOPIC, 0, 2, "second")
        assert await w.reads_the_graph()
        assert (worker.counters.floors, again.counters.floors) == (1, 1)
        for sink in (worker, again):
            await sink.close()


@in_loop
async def test_lost_watermarks_end_the_trust_in_their_partition_and_in_no_other(
    servers: tuple[RedisServer, RedisServer],
) -> None:
    server, _ = servers
    async with warm(server) as w, warm(server, 1) as other, Redis.from_url(url_of(server)) as redis:
        # Both have a holon p-1; its entry is of the partition that came last.
        assert not await other.reads_the_graph()
        await redis.delete(f"{NAMESPACE}:watermarks:0")
        assert not await other.reads_the_graph()
        await redis.delete(f"{NAMESPACE}:watermarks:1")
        assert await other.reads_the_graph()
        await w.sink.make_floors()
        assert await other.reads_the_graph()


@in_loop
async def test_an_invalidation_without_holons_counts_as_written(servers: tuple[RedisServer, RedisServer]) -> None:
    """Or the next worker would take the watermarks for old."""
    server, _ = servers
    async with warm(server) as w:
        await w.sink.write(batch_of(("relationship/r-1", 6)))
        other = new_sink(url_of(server))
        await other.assign(TOPIC, 0, 6)
        assert other.counters.floors == 0
        await other.close()
        assert not await w.reads_the_graph()


@in_loop
async def test_a_master_that_no_worker_reaches_is_trusted_until_its_lease_ends(
    servers: tuple[RedisServer, RedisServer],
) -> None:
    """Two masters, the worker at one and the reader at the other."""
    first, second = servers
    async with warm(first) as w:
        assert not await w.reads_the_graph()
        left = new_sink(url_of(first), lease=0.2)
        await left.assign(TOPIC, 0, 5)
        await left.close()
        there = new_sink(url_of(second))
        await there.assign(TOPIC, 0, 5)
        await there.write(batch_of(("holon/p-1", 6)))
        await wait_for(w.reads_the_graph, "the lease has ended")
        assert w.store.counters.refused["lease"] > 0
        await w.sink.make_floors()
        assert not await w.reads_the_graph(), "the worker has come back"
        await there.close()


@in_loop
async def test_a_replica_serves_neither_readers_nor_the_worker(servers: tuple[RedisServer, RedisServer]) -> None:
    first, second = servers
    async with warm(first) as w:
        await replicate(second, first)
        worker = new_sink(url_of(second))
        with pytest.raises(CacheUnavailable, match="READONLY this server is no master"):
            await worker.write(batch_of(("holon/p-1", 6)))
        await worker.close()
        async with new_store(w.graph, url_of(second)) as store:
            assert await store.get_holon("p-1") == w.graph.holons["p-1"]
            assert (store.counters.hits, store.counters.fills) == (0, 0)
            assert store.counters.errors == 2, "reading and filling"


# --- the same under load ----------------------------------------------------------------------------------------------


Fault = Callable[[Load, FaultProxy, RedisServer, RedisServer], Awaitable[None]]


async def a_replica_that_lacks_the_last_events_is_promoted(
    load: Load, proxy: FaultProxy, first: RedisServer, second: RedisServer
) -> None:
    await replicate_under_load(second, first)
    await promote(second)
    await load.more(100)
    first.kill()
    proxy.lead_to(second.port)


async def a_snapshot_comes_back_after_a_kill(
    load: Load, proxy: FaultProxy, first: RedisServer, second: RedisServer
) -> None:
    async with Redis.from_url(url_of(first)) as redis:
        await redis.save()
    await load.more(100)
    first.kill()
    await asyncio.to_thread(start, first)
    async with Redis.from_url(url_of(first)) as redis:
        assert (await redis.info("persistence"))["rdb_last_load_keys_loaded"] > 0


async def roles_are_exchanged_and_exchanged_back(
    load: Load, proxy: FaultProxy, first: RedisServer, second: RedisServer
) -> None:
    """No connection is broken by it."""
    await replicate_under_load(second, first)
    await promote(second)
    await load.more(100)
    proxy.lead_to(second.port)
    await replicate_under_load(first, second)
    await load.more(100, hits=20)
    await promote(first)
    proxy.lead_to(first.port)
    await replicate_under_load(second, first)


@pytest.mark.parametrize(
    "fault",
    [
        a_replica_that_lacks_the_last_events_is_promoted,
        a_snapshot_comes_back_after_a_kill,
        roles_are_exchanged_and_exchanged_back,
    ],
)
@in_loop
async def test_under_load_no_hit_is_older_than_an_acknowledged_invalidation(
    servers: tuple[RedisServer, RedisServer], fault: Fault
) -> None:
    first, second = servers
    with FaultProxy(first.port) as proxy:
        load = Load(partial(connect, f"redis://{LOOPBACK}:{proxy.port}/0", timeout=5), random.Random(5))
        async with load.running():
            await load.more(200, hits=50)
            await fault(load, proxy, first, second)
            await load.more(200, hits=50)
        assert load.stale == []


@in_loop
async def test_under_load_no_hit_is_stale_when_everything_may_be_evicted(
    servers: tuple[RedisServer, RedisServer],
) -> None:
    """A policy that was set under a running worker evicts tombstones and watermarks like anything else."""
    server, _ = servers
    load = Load(partial(connect, url_of(server), timeout=5), random.Random(7))
    async with Redis.from_url(url_of(server)) as redis:
        usual = await redis.config_get("maxmemory*")
        try:
            async with load.running():
                await load.more(50, hits=10)
                await redis.config_set("maxmemory-policy", "allkeys-random")
                for rounds in range(20):
                    used = (await redis.info("memory"))["used_memory"]
                    evicted = (await redis.info("stats"))["evicted_keys"]
                    await redis.config_set("maxmemory", 1 if rounds % 4 == 0 else used - 2_000)

                    async def evicts(before: int = evicted) -> bool:
                        return bool((await redis.info("stats"))["evicted_keys"] > before)

                    await wait_for(evicts, "keys are evicted")
                    await redis.config_set("maxmemory", 0)
                    await load.more(20, hits=2)
        finally:
            for name in ("maxmemory", "maxmemory-policy"):
                await redis.config_set(name, usual[name] or "0")
    assert load.stale == []
