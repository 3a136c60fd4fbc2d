"""Two Redis that take each other's place, and a load whose readers are held against what was acknowledged."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from time import monotonic
from typing import Any

import pytest
from redis.asyncio import Redis

from holonstream.local.redis_server import RedisServer
from holonstream.sinks.cache.driver import connect
from holonstream.sinks.cache.reader import HolonCache
from holonstream.sinks.cache.sink import InvalidationSink
from holonstream.sinks.errors import CacheUnavailable
from tests.integration.cache_kit import (
    TOPIC,
    MemoryGraph,
    batch_of,
    own_redis,
    start,
    url_of,
)
from tests.support.proxy import LOOPBACK

NAMESPACE = "failover"
PATIENCE = 240.0  # seconds


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[RedisServer, RedisServer]]:
    with own_redis(tmp_path_factory.mktemp("a")) as first, own_redis(tmp_path_factory.mktemp("b")) as second:
        yield first, second


@pytest.fixture
def servers(pair: tuple[RedisServer, RedisServer]) -> tuple[RedisServer, RedisServer]:
    """Two empty masters."""
    asyncio.run(_reset(pair))
    return pair


async def _reset(servers: tuple[RedisServer, RedisServer]) -> None:
    for server in servers:
        if server.status().state != "running":
            start(server)
        async with Redis.from_url(url_of(server)) as redis:
            await redis.replicaof("NO", "ONE")
            await redis.config_set("repl-diskless-sync-delay", 0)
            await redis.flushall()
        (server.home / "dump.rdb").unlink(missing_ok=True)


async def pause(seconds: float) -> None:
    """Let the other tasks run."""
    with suppress(TimeoutError):
        await asyncio.wait_for(asyncio.Event().wait(), seconds)


async def wait_for(condition: Callable[[], Awaitable[bool]], what: str) -> None:
    until = monotonic() + PATIENCE
    while not await condition():
        assert monotonic() < until, f"not within {PATIENCE:g} s: {what}"
        await pause(0.01)


async def replicate(replica: RedisServer, master: RedisServer) -> None:
    """Make a replica, and wait until it has everything."""
    async with Redis.from_url(url_of(replica)) as redis, Redis.from_url(url_of(master)) as other:
        await redis.replicaof(LOOPBACK, str(master.port))

        async def has_everything() -> bool:
            known, there = await redis.info("replication"), await other.info("replication")
            return bool(
                known["role"] == "slave"
                and known["master_link_status"] == "up"
                and known["master_replid"] == there["master_replid"]
                and known["slave_repl_offset"] == there["master_repl_offset"]
            )

        await wait_for(has_everything, "the replica is in step")


async def promote(server: RedisServer) -> None:
    async with Redis.from_url(url_of(server)) as redis:
        await redis.replicaof("NO", "ONE")


async def holds_a_value(redis: Redis) -> bool:
    first = await redis.getrange(f"{NAMESPACE}:holon:p-1", 0, 0)
    return bool(first == b"V")


def new_sink(url: str, **options: Any) -> InvalidationSink:
    return InvalidationSink(
        connect(url, timeout=5), NAMESPACE, **{"grace_period": 0, "floor_interval": 3600, "lease": 3600, **options}
    )


def new_store(graph: MemoryGraph, url: str) -> HolonCache:
    return HolonCache(graph, connect(url, timeout=5), NAMESPACE, retry_after=0)


@dataclass
class Load:
    """A worker whose invalidations are acknowledged one batch after the other, a graph that lags, and readers."""

    connect: Callable[[], Redis]
    dice: random.Random
    graph: MemoryGraph = field(default_factory=MemoryGraph)
    acknowledged: dict[str, int] = field(default_factory=dict)
    position: int = 0
    stale: list[str] = field(default_factory=list)
    hits: int = 0
    stopping: bool = False

    async def write(self) -> None:
        sink = InvalidationSink(self.connect(), NAMESPACE, grace_period=0, floor_interval=0.05)
        await sink.open()
        await sink.assign(TOPIC, 0, 0)
        behind: list[tuple[str, int]] = []
        try:
            while not self.stopping:
                events = [(f"p-{self.dice.randrange(40)}", self.position + n + 1) for n in range(5)]
                behind += events
                for holon_id, position in behind[: self.dice.randrange(len(behind))]:
                    self.graph.apply(holon_id, position)
                    behind.pop(0)
                await self._acknowledge(sink, events)
                self.graph.answers = self.graph.answers[-500:]
        finally:
            await sink.close()

    async def _acknowledge(self, sink: InvalidationSink, events: list[tuple[str, int]]) -> None:
        while not self.stopping:
            try:
                await sink.write(batch_of(*[(f"holon/{h}", p) for h, p in events]))
            except CacheUnavailable:
                await pause(0.01)
                continue
            self.acknowledged.update(events)
            self.position = events[-1][1]
            return

    async def read(self) -> None:
        async with HolonCache(self.graph, self.connect(), NAMESPACE, retry_after=0) as store:
            while not self.stopping:
                holon_id = f"p-{self.dice.randrange(40)}"
                known = self.acknowledged.get(holon_id, 0)
                found = await store.get_holon(holon_id)
                await pause(0)
                if found is None or self.graph.gave(found):
                    continue
                self.hits += 1
                if found.position < known:
                    self.stale.append(f"{holon_id}: {found.position}, acknowledged was {known}")

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        tasks = [asyncio.create_task(self.write()), *[asyncio.create_task(self.read()) for _ in range(3)]]
        try:
            yield
        finally:
            self.stopping = True
            results = await asyncio.gather(*tasks, return_exceptions=True)
        assert results == [None] * 4

    async def more(self, events: int, hits: int = 0) -> None:
        """Wait for so many more acknowledged events and hits."""
        position, before = self.position + events, self.hits + hits

        async def done() -> bool:
            return self.position >= position and self.hits >= before

        await wait_for(done, f"{events} more events and {hits} more hits")


async def replicate_under_load(replica: RedisServer, master: RedisServer) -> None:
    async with Redis.from_url(url_of(replica)) as redis:
        await redis.replicaof(LOOPBACK, str(master.port))

        async def linked() -> bool:
            return (await redis.info("replication")).get("master_link_status") == "up"

        await wait_for(linked, "the replica is linked")
