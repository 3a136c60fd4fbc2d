"""The graph and the cache before it, each connected to by the first call that needs it.

A program that only appends needs neither, nor the packages that talk to them. Concurrent first calls wait for one of
them to connect; when it fails, the call raises the error and the next call connects again. A child that was forked
connects for itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

from holonstream.schemas.extras import extras_needed
from holonstream.schemas.fork import forget_after_fork
from holonstream.schemas.state import Holon
from holonstream.schemas.token import Token
from holonstream.sinks.store import GraphReads, HolonRead, SemanticGraphStore

if TYPE_CHECKING:
    from holonstream.sinks.cache.reader import CachedGraphStore
    from holonstream.sinks.graph.read.store import Neo4jGraphStore


class LazyGraph:
    """The graph, for the cache's misses and for all other queries (`sinks.cache.reader.ReadableGraph`)."""

    def __init__(self, store: Neo4jGraphStore) -> None:
        self._store = store
        self._opening = asyncio.Lock()
        self._is_open = False

    async def _opened(self) -> Neo4jGraphStore:
        if not self._is_open:
            async with self._opening:
                if not self._is_open:
                    await self._store.open()
                    self._is_open = True
        return self._store

    async def read_holon(self, holon_id: str) -> HolonRead:
        """See `Neo4jGraphStore.read_holon`."""
        return await (await self._opened()).read_holon(holon_id)

    async def _fresh(self, at_least: Token | str | None, deadline: float | None) -> GraphReads:
        return await (await self._opened())._fresh(at_least, deadline)

    async def close(self) -> None:
        """Close all connections; closing twice is fine."""
        await self._store.close()


class LazyReads(SemanticGraphStore):
    """`get_holon` through the cache, all else from the graph; made by `make` when something is first read."""

    def __init__(self, make: Callable[[], tuple[CachedGraphStore, LazyGraph]]) -> None:
        self._make = make
        self._made: tuple[CachedGraphStore, LazyGraph] | None = None
        forget_after_fork(self)

    def _cached(self) -> CachedGraphStore:
        if self._made is None:
            with extras_needed():
                self._made = self._make()
        return self._made[0]

    async def get_holon(
        self, holon_id: str, *, at_least: Token | str | None = None, deadline: float | None = None
    ) -> Holon | None:
        """See `SemanticGraphStore.get_holon`. Raises MissingExtra too, as every read does."""
        return await self._cached().get_holon(holon_id, at_least=at_least, deadline=deadline)

    async def _fresh(self, at_least: Token | str | None, deadline: float | None) -> GraphReads:
        return await self._cached()._fresh(at_least, deadline)

    async def close(self) -> None:
        """Close all connections; the next read would connect again."""
        made, self._made = self._made, None
        if made is not None:
            cached, graph = made
            await cached.close()
            await graph.close()

    def _forget(self) -> object:
        """Start without connections in a child that was forked."""
        dropped, self._made = self._made, None
        return dropped
