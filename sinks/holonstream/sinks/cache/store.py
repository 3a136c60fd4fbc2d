"""The whole query interface, its `get_holon` through the cache."""

from __future__ import annotations

from typing import Protocol

from redis.asyncio import Redis

from holonstream.schemas.token import Token
from holonstream.sinks.cache.counters import CacheCounters
from holonstream.sinks.cache.holons import HolonCache, HolonReader
from holonstream.sinks.store import GraphReads, SemanticGraphStore


class ReadableGraph(HolonReader, Protocol):
    """A `SemanticGraphStore` that also says how far it had come when it read a holon."""

    async def _fresh(self, at_least: Token | str | None, deadline: float | None) -> GraphReads: ...


class CachedGraphStore(HolonCache, SemanticGraphStore):
    """`get_holon` goes through Redis (see `HolonCache`), all else to the graph, which stays its maker's to close."""

    def __init__(
        self,
        graph: ReadableGraph,
        redis: Redis,
        namespace: str = "holonstream",
        *,
        value_ttl: int = 3_600,
        retry_after: float = 1.0,
        counters: CacheCounters | None = None,
    ) -> None:
        super().__init__(graph, redis, namespace, value_ttl=value_ttl, retry_after=retry_after, counters=counters)
        self._queried = graph

    async def _fresh(self, at_least: Token | str | None, deadline: float | None) -> GraphReads:
        return await self._queried._fresh(at_least, deadline)
