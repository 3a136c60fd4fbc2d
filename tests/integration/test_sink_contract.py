"""The suite that every sink must pass, over the graph's and the cache's sinks, on real servers."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from typing import Any

import pytest
from msgspec.structs import replace

from holonstream.schemas.catalogue import Catalogue
from holonstream.schemas.event import RecordedEvent
from holonstream.schemas.projection import fold
from holonstream.schemas.state import canonical_graph
from holonstream.sinks.base import PublishDeadLetters
from holonstream.sinks.cache.driver import connect
from holonstream.sinks.cache.entry import Keys, position_of
from holonstream.sinks.cache.sink import InvalidationSink
from holonstream.sinks.graph.driver import GraphConnection
from holonstream.sinks.graph.read.store import Neo4jGraphStore
from holonstream.sinks.graph.schema import initialise
from holonstream.sinks.graph.write.sink import GraphSink
from holonstream.testing.sinks import PARTITIONS, TOPIC, SinkContract

CATALOGUE = Catalogue.load()


class TestGraph(SinkContract):
    """Neo4j: exactly once. Redrives have tests of their own."""

    redrives = False

    @pytest.fixture(autouse=True)
    def graph(self, neo4j_uri: str) -> None:
        self.uri = neo4j_uri

        async def make_ready() -> None:
            async with GraphConnection(neo4j_uri) as connection:
                await initialise(connection, CATALOGUE, TOPIC, PARTITIONS)

        asyncio.run(make_ready())

    def make_writer(self, publish: PublishDeadLetters) -> GraphSink:
        return GraphSink(GraphConnection(self.uri), CATALOGUE, TOPIC, publish)

    async def contents(self) -> Any:
        async with GraphConnection(self.uri) as connection:
            store = Neo4jGraphStore(connection, CATALOGUE, TOPIC)
            return canonical_graph([state async for state in store.export()], [])  # type: ignore[misc]

    def expected(self, events: Sequence[RecordedEvent]) -> Any:
        return canonical_graph(fold(CATALOGUE, events).values(), [])  # type: ignore[arg-type]

    def refuse(self, event: RecordedEvent) -> Iterable[RecordedEvent]:
        yield replace(event, schema_version=99)  # newer than the catalogue


class TestCache(SinkContract):
    """Redis: at least once, idempotent by position. It parks nothing: a tombstone needs no more than a position."""

    keeps_checkpoint = False
    parks = redrives = False

    @pytest.fixture(autouse=True)
    def cache(self, redis_url: str, redis_prefix: str) -> None:
        self.url, self.namespace = redis_url, redis_prefix.rstrip(":")

    def make_writer(self, publish: PublishDeadLetters) -> InvalidationSink:
        return InvalidationSink(connect(self.url, timeout=5.0), self.namespace)

    async def contents(self) -> Any:
        redis = connect(self.url, timeout=5.0)
        try:
            prefix = Keys(self.namespace).holon
            keys = [key async for key in redis.scan_iter(match=f"{prefix}*", count=10_000)]
            values: list[Any] = await redis.mget(keys) if keys else []
            ids = [key.decode().removeprefix(prefix) for key in keys]
            return {f"holon/{name}": position_of(value) for name, value in zip(ids, values, strict=True)}
        finally:
            await redis.aclose()

    def expected(self, events: Sequence[RecordedEvent]) -> Any:
        return {event.stream: event.position for event in events}
