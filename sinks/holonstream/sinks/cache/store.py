"""The whole query interface, its `get_holon` through the cache."""

from __future__ import annotations

from typing import Protocol

from redis.asyncio import Redis

from holonstream.sinks.cache.counters import CacheCounters
from holonstream.sinks.cache.holons import HolonCache, HolonReader
from holonstream.sinks.store import SemanticGraphStore


class ReadableGraph(SemanticGraphStore, HolonReader, Protocol):
    """A graph store that also tells how far it had come when it read a holon."""


class CachedGraphStore(HolonCache):
    """A `sinks.store.SemanticGraphStore`: `get_holon` goes through Redis (see `HolonCache`), all else to the graph.

    The graph stays its maker's to close.
    """

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
        self.query_holons_by_type = graph.query_holons_by_type
        self.get_all_holons = graph.get_all_holons
        self.get_holon_relationships = graph.get_holon_relationships
        self.traverse_relationships = graph.traverse_relationships
        self.query_relationships_by_type = graph.query_relationships_by_type
        self.get_all_relationships = graph.get_all_relationships
        self.get_connected_holons = graph.get_connected_holons
        self.traverse = graph.traverse
        self.match_pattern = graph.match_pattern
        self.export = graph.export
