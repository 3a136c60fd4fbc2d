"""The graph store with a cache in front holds the graph stores' contract: at the first question, and at the second."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest
from redis.asyncio import Redis

from holonstream.local.redis_server import RedisServer
from holonstream.schemas.event import Event
from holonstream.sinks.cache.driver import connect
from holonstream.sinks.cache.reader import CachedGraphStore
from holonstream.sinks.cache.sink import InvalidationSink
from holonstream.sinks.store import HolonRead, SemanticGraphStore
from holonstream.testing import MemoryGraphStore
from tests.conformance.graph_store import CATALOGUE, GraphStoreContract, RecordedLog, in_loop, log_of, person, states_of
from tests.integration.cache_kit import TOPIC, Record, batch_of, own_redis, record, url_of

NAMESPACE = "contract-test"


class ReadableMemoryGraph(MemoryGraphStore):
    """In one partition; it reflects the whole log."""

    position = 0

    async def read_holon(self, holon_id: str) -> HolonRead:
        return HolonRead(await self.get_holon(holon_id), 0, self.position)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with own_redis(tmp_path_factory.mktemp("redis")) as running:
        yield running


class TestCachedGraphStore(GraphStoreContract):
    @pytest.fixture(autouse=True)
    def _use(self, server: RedisServer) -> None:
        self.server = server

    @asynccontextmanager
    async def holding(self, *events: Event) -> AsyncIterator[SemanticGraphStore]:
        log = log_of(*events)
        graph = ReadableMemoryGraph(RecordedLog(log), CATALOGUE)
        graph.position = log[-1].position
        async with Redis.from_url(url_of(self.server)) as redis:
            await redis.flushall()
        sink = InvalidationSink(connect(url_of(self.server), timeout=5), NAMESPACE, grace_period=0, floor_interval=3600)
        await sink.open()
        try:
            await sink.assign(TOPIC, 0, None)
            records: list[Record] = [record(e.stream, e.position) for e in log]
            await sink.write(batch_of(*records))
            async with CachedGraphStore(graph, connect(url_of(self.server), timeout=5), NAMESPACE) as store:
                for state in states_of(log).values():
                    await store.get_holon(state.id)
                yield store
        finally:
            await sink.close()

    @in_loop
    async def test_what_was_asked_before_comes_from_the_cache(self) -> None:
        async with self.holding(person("a")) as store:
            assert isinstance(store, CachedGraphStore)
            assert store.counters.fills == 1
            assert await store.get_holon("a") is not None
            assert store.counters.hits == 1
