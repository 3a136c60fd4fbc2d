"""Clear the cache: delete everything of a namespace.

Resetting the group's offsets instead would not do: invalidations that are read again find tombstones and values at or
beyond their positions, and leave them.

The order matters. *First the watermarks*: without a floor no fill is accepted until a worker has made a new one, at
what it has processed, and its grace period is over. So nothing gets in because of an old floor. *Then the entries*: a
scan returns every key that was there when it began, so everything that was filled under the old floors is deleted. What
comes in meanwhile was accepted by the new ones. For the protocol this is a FLUSHALL, which its proof covers
(`sinks.cache`). If it is interrupted, run it again.

Readers see no stale value after it: reads go to the graph until fills are accepted again.
"""

from __future__ import annotations

from redis.asyncio import Redis

from holonstream.sinks.cache.driver import redis_errors

SCANNED = 1_000  # keys that one step of a scan visits: about a millisecond in which Redis serves nobody else


async def clear_cache(redis: Redis, namespace: str) -> int:
    """Delete all watermarks, values and tombstones of a namespace. Returns the number of values and tombstones.

    Raises CacheUnavailable: some may be left.
    """
    await _delete(redis, f"{namespace}:watermarks:*")
    return await _delete(redis, f"{namespace}:holon:*")


async def count_entries(redis: Redis, namespace: str) -> int:
    """About how many values and tombstones a namespace has. Raises CacheUnavailable."""
    count = 0
    with redis_errors("counting entries"):
        async for _ in redis.scan_iter(match=f"{namespace}:holon:*", count=SCANNED):
            count += 1
    return count


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
