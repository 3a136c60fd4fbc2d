"""Reading holons through the cache (protocol: `sinks.cache`)."""

from __future__ import annotations

import asyncio
from time import monotonic
from typing import Protocol, Self

import structlog
from redis.asyncio import Redis

from holonstream.schemas.errors import HolonstreamError
from holonstream.schemas.incident import incident
from holonstream.schemas.json_limits import is_unicode
from holonstream.schemas.state import HOLON, Holon, stream_of
from holonstream.schemas.token import Token
from holonstream.sinks.cache.counters import CacheCounters
from holonstream.sinks.cache.driver import Script, redis_errors
from holonstream.sinks.cache.entry import (
    Keys,
    decode_value,
    encode_holon,
    is_value,
    partition_text,
    position_of,
    position_text,
    slot_of,
)
from holonstream.sinks.errors import CacheUnavailable, NotYetVisible
from holonstream.sinks.freshness import Patience
from holonstream.sinks.store import GraphReads, HolonRead, SemanticGraphStore

log = structlog.get_logger(__name__)

_read = Script("read", writes=False)
_fill = Script("fill")


class HolonReader(Protocol):
    """Where misses are answered."""

    async def read_holon(self, holon_id: str) -> HolonRead: ...


class ReadableGraph(HolonReader, Protocol):
    """A `SemanticGraphStore` that also says how far it had come when it read a holon."""

    async def _fresh(self, at_least: Token | str | None, deadline: float | None) -> GraphReads: ...


class HolonCache:
    """`get_holon` through Redis.

    A cache that is down, slow, empty or full of others' entries costs time, never an answer. If Redis refuses, or does
    not answer within the time limit of `redis` (a client of `sinks.cache.driver.connect`, which this store closes), the
    graph is asked, and Redis is not used for `retry_after` seconds. `value_ttl` is in whole seconds.
    """

    def __init__(
        self,
        graph: HolonReader,
        redis: Redis,
        namespace: str = "holonstream",
        *,
        value_ttl: int = 3_600,
        retry_after: float = 1.0,
        counters: CacheCounters | None = None,
    ) -> None:
        self.counters = counters or CacheCounters()
        self._graph = graph
        self._redis = redis
        # The client refuses, rather than waits, when all its connections are in use.
        self._free = asyncio.Semaphore(redis.connection_pool.max_connections)
        self._keys = Keys(namespace)
        self._prefix = self._keys.holon
        self._value_ttl = value_ttl
        self._retry_after = retry_after
        self._failed_at: float | None = None
        self._reads: dict[str, asyncio.Task[HolonRead]] = {}
        """reads of the graph under way; concurrent misses of one holon share one"""

    async def get_holon(
        self, holon_id: str, *, at_least: Token | str | None = None, deadline: float | None = None
    ) -> Holon | None:
        """The holon, or None; with a token, in a state that is at least as new as the token.

        Without a token the answer is as fresh as the sinks' lag. `deadline` is how long, in seconds, to wait for the
        graph to reach the token. Raises NotYetVisible when it passes, and at once when the event is parked;
        GraphUnavailable, InvalidToken.
        """
        if not is_unicode(holon_id):
            return None  # no log can hold it
        wanted = 0 if at_least is None else Token.of(at_least).positions.get(stream_of(HOLON, holon_id), 0)
        entry = await self._get_entry(holon_id)
        if entry is not None and is_value(entry):
            holon = decode_value(entry, holon_id)
            if holon is None:
                await self._delete_entry(holon_id)
                entry = None
            elif holon.position >= wanted:
                self.counters.hits += 1
                return holon
        self.counters.misses += 1
        known = None if entry is None else position_of(entry)
        return await self._from_graph(holon_id, wanted, known or 0, Patience(deadline))

    async def close(self) -> None:
        """Cancel reads under way and close all connections; closing twice is fine."""
        reads = list(self._reads.values())
        for read in reads:
            read.cancel()
        await asyncio.gather(*reads, return_exceptions=True)
        await self._redis.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def _get_entry(self, holon_id: str) -> bytes | None:
        if not self._failed_lately():
            try:
                async with self._free:
                    if not self._failed_lately():  # while this read waited for a connection
                        with redis_errors("reading a holon"):
                            key = self._prefix + holon_id
                            entry: bytes | None = await _read.run(self._redis, [key], self._keys.watermark)
                            return entry
            except CacheUnavailable as error:
                self._failed(error)
                return None
        self.counters.bypassed += 1
        return None

    async def _delete_entry(self, holon_id: str) -> None:
        """Delete a value that is not of this holon or release: it would keep fills out. Deleting is always safe."""
        try:
            async with self._free:
                with redis_errors("deleting an entry"):
                    await self._redis.delete(self._prefix + holon_id)
        except CacheUnavailable as error:
            self._failed(error)

    async def _from_graph(self, holon_id: str, wanted: int, known: int, patience: Patience) -> Holon | None:
        under_way = self._reads.get(holon_id)
        if under_way is not None:
            # It began before this one: it may be older than what this reader knows.
            read = await asyncio.shield(under_way)
            if _reached(read) >= max(wanted, known):
                return read.holon
        while True:
            read = await asyncio.shield(self._reads.get(holon_id) or self._start_read(holon_id))
            reached = _reached(read)
            if reached >= wanted:
                return read.holon
            if read.is_parked or not await patience.pause():
                raise NotYetVisible(stream_of(HOLON, holon_id), wanted, reached, patience.waited, read.is_parked)
            self.counters.waits += 1

    def _start_read(self, holon_id: str) -> asyncio.Task[HolonRead]:
        read = asyncio.create_task(self._read_and_fill(holon_id))
        self._reads[holon_id] = read
        # Every reader that waited for it may have gone; asyncio would then report its exception as never retrieved.
        read.add_done_callback(_retrieve_exception)
        return read

    async def _read_and_fill(self, holon_id: str) -> HolonRead:
        try:
            self.counters.graph_reads += 1
            read = await self._graph.read_holon(holon_id)
            if read.holon is not None and read.is_whole and not self._failed_lately():
                await self._fill(read.holon, read.partition, read.checkpoint_position)
            return read
        finally:
            # Before it counts as done: a reader that finds one here afterwards finds one that began later.
            del self._reads[holon_id]

    async def _fill(self, holon: Holon, partition: int, checkpoint: int) -> None:
        try:
            async with self._free:
                if self._failed_lately():  # while this fill waited for a connection
                    return
                with redis_errors("filling a holon"):
                    outcome: bytes = await _fill.run(
                        self._redis,
                        [self._prefix + holon.id, self._keys.watermarks(partition)],
                        position_text(holon.position),
                        position_text(checkpoint),
                        slot_of(holon.id),
                        partition_text(partition),
                        encode_holon(holon),
                        self._value_ttl,
                    )
        except CacheUnavailable as error:
            self._failed(error)
            return
        if outcome == b"filled":
            self.counters.fills += 1
        else:
            self.counters.refused[outcome.decode()] += 1

    def _failed_lately(self) -> bool:
        return self._failed_at is not None and monotonic() - self._failed_at < self._retry_after

    def _failed(self, error: HolonstreamError) -> None:
        self.counters.errors += 1
        if self._failed_at is None:
            log.warning("cache.unavailable", **incident(error))
        self._failed_at = monotonic()


class CachedGraphStore(HolonCache, SemanticGraphStore):
    """`get_holon` goes through Redis (see `HolonCache`), all else to the graph, which the caller closes."""

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


def _reached(read: HolonRead) -> int:
    """Every event of the holon up to this position is in what was read."""
    return max(read.holon.position if read.holon else 0, read.checkpoint_position)


def _retrieve_exception(read: asyncio.Task[HolonRead]) -> None:
    if not read.cancelled():
        read.exception()
