"""Forget everything that is cached.

A flush of the namespace, and not the group's offsets reset: invalidations read again would find tombstones and values
at or beyond their positions and leave them as they are.

The order matters. *Fences first*: from then on no fill is accepted (no floor) until a worker has made a new floor at
what it has processed and that has settled, so that nothing gets in on the word of an old fence. *Then the entries*:
a scan returns every key that was there when it began, so whatever was filled under the old fences goes. What comes in
meanwhile has proven itself to the new ones. For the protocol this is a FLUSHALL, and its proof covers it
(`sinks.cache`). Interrupted, it is run again.

No reader sees stale values after it: reads go to the graph until fills are accepted again.
"""

from __future__ import annotations

from redis.asyncio import Redis

from holonstream.sinks.cache.driver import redis_errors

SCANNED = 5_000  # keys that one step of a scan looks at


async def forget(redis: Redis, namespace: str) -> int:
    """Delete all fences, values and tombstones of a namespace; returns how many entries that were.

    Raises CacheUnavailable: some may be there still.
    """
    await _delete(redis, f"{namespace}:fence:*")
    return await _delete(redis, f"{namespace}:holon:*")


async def _delete(redis: Redis, pattern: str) -> int:
    count = 0
    with redis_errors(f"deleting {pattern}"):
        cursor = 0
        while True:
            cursor, keys = await redis.scan(cursor, match=pattern, count=SCANNED)
            if keys:
                count += await redis.unlink(*keys)
            if cursor == 0:
                return count
