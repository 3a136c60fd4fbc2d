"""The consumer group that invalidates the cache."""

from __future__ import annotations

from redis.asyncio import Redis

from holonstream.sinks.cache.sink import InvalidationSink
from holonstream.streams.app import GroupSettings, SinkApp


def cache_app(settings: GroupSettings, redis: Redis, namespace: str, *, value_ttl: int, tombstone_ttl: int) -> SinkApp:
    """A worker of the cache group; closes the client when it stops. Lives in seconds."""
    sink = InvalidationSink(redis, namespace, value_ttl=value_ttl, tombstone_ttl=tombstone_ttl)
    return SinkApp(settings, sink)
