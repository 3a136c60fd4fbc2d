"""Settings to what a client needs: the catalogue, the log, the graph, the cache."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

from holonstream.client.lazy import LazyGraph, LazyReads
from holonstream.client.settings import ClientSettings
from holonstream.schemas.catalogue import Catalogue

if TYPE_CHECKING:
    from redis.asyncio import Redis

    from holonstream.producers.log.store import PostgresEventStore
    from holonstream.sinks.cache.counters import CacheCounters
    from holonstream.sinks.cache.reader import CachedGraphStore
    from holonstream.sinks.graph.driver import GraphConnection

READ_TIMEOUT = 0.05  # seconds that a reader waits for a reply of Redis, before it asks the graph instead


def catalogue(settings: ClientSettings) -> Catalogue:
    """The event types that ship and those of the folder in the settings, or a domain of its own in that folder."""
    return Catalogue.load(*([settings.schemas] if settings.schemas else []))


def event_store(
    settings: ClientSettings,
    known: Catalogue,
    *,
    max_connections: int = 4,
    on_append: Callable[[int, float], None] | None = None,
) -> PostgresEventStore:
    """The event log, which its first call connects to; `on_append` is as PostgresEventStore takes it."""
    from holonstream.producers.log.store import PostgresEventStore

    return PostgresEventStore(settings.log_dsn, known, max_connections=max_connections, on_append=on_append)


def reads(settings: ClientSettings, known: Catalogue, counters: CacheCounters) -> LazyReads:
    """The graph and the cache, which the first call that needs them connects to; the cache counts in `counters`."""

    def make() -> tuple[CachedGraphStore, LazyGraph]:
        import structlog

        from holonstream.sinks.cache.reader import CachedGraphStore
        from holonstream.sinks.graph.read.store import Neo4jGraphStore

        if not structlog.is_configured():  # else warnings would stand among what the program prints
            structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
        graph = LazyGraph(Neo4jGraphStore(graph_connection(settings), known, settings.topic))
        redis = redis_client(settings)
        cached = CachedGraphStore(graph, redis, settings.namespace, value_ttl=settings.value_ttl, counters=counters)
        return cached, graph

    return LazyReads(make)


def graph_connection(settings: ClientSettings) -> GraphConnection:
    """The graph's database; open it before use."""
    from holonstream.sinks.graph.driver import GraphConnection

    password = settings.neo4j_password
    return GraphConnection(
        settings.neo4j_uri,
        user=settings.neo4j_user if password else None,
        password=password.reveal() if password else None,
        database=settings.neo4j_database,
        ca=settings.neo4j_ca,
    )


def redis_client(settings: ClientSettings, *, timeout: float = READ_TIMEOUT) -> Redis:
    """The cache; every reply is waited for `timeout` seconds at most."""
    from holonstream.sinks.cache.driver import connect

    password, sentinel_password = settings.redis_password, settings.redis_sentinel_password
    return connect(
        settings.redis_url.reveal(),
        timeout=timeout,
        password=password.reveal() if password else None,
        sentinel_password=sentinel_password.reveal() if sentinel_password else None,
        ca=settings.redis_ca,
    )
