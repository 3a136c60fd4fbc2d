"""The graph store on Neo4j: every query of `sinks.store`, by seeks, prefilters and the same filters as in memory."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from holonstream.schemas.catalogue import Catalogue
from holonstream.schemas.errors import NotInitialised
from holonstream.schemas.partition import partition_of
from holonstream.schemas.state import HOLON, Holon, Relationship, State, stream_of
from holonstream.schemas.token import Token
from holonstream.sinks.errors import GraphUnavailable
from holonstream.sinks.graph import schema
from holonstream.sinks.graph.driver import GraphConnection
from holonstream.sinks.graph.mapping import parked_key
from holonstream.sinks.graph.read import freshness
from holonstream.sinks.graph.read.freshness import Checkpoint
from holonstream.sinks.graph.read.pages import Fetched, page
from holonstream.sinks.graph.read.pattern import compile_pattern, is_known, match_of
from holonstream.sinks.graph.read.prefilter import holon_prefilter, is_exact, relationship_prefilter
from holonstream.sinks.graph.read.whole import Moved, read_holons, read_relationships
from holonstream.sinks.graph.statements import statement, text
from holonstream.sinks.store import DEADLINE, Direction, HolonFilter, Pattern, PatternMatch, Reached, RelationshipFilter

EXPORT_PAGE = 2000  # states
MOVED_ATTEMPTS = 20
MOVED_PAUSE = 0.01  # seconds

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class HolonRead:
    """A holon, and the position that the graph had reached in its partition before it was read."""

    holon: Holon | None
    partition: int
    checkpoint_position: int
    is_whole: bool = True
    """False when somebody else has changed the holon in Neo4j: not to be kept"""


class Neo4jGraphStore:
    """Reads the graph that GraphSink writes; see SemanticGraphStore for the contract of each query."""

    def __init__(self, connection: GraphConnection, catalogue: Catalogue, topic: str) -> None:
        self._connection, self._catalogue, self._topic = connection, catalogue, topic
        self._partitions: int | None = None

    async def open(self) -> None:
        """Connect and check that the graph is ready. Raises NotInitialised, GraphUnavailable, GraphRefused."""
        await self._connection.open()
        self._partitions = await schema.check(self._connection, self._catalogue, self._topic)

    async def close(self) -> None:
        """Let go of all connections; closing twice is fine."""
        await self._connection.close()

    async def checkpoints(self) -> list[Checkpoint]:
        """How far the graph has come, per partition. Raises NotInitialised, GraphUnavailable."""
        return await freshness.checkpoints(self._connection, self._topic)

    async def read_holon(self, holon_id: str) -> HolonRead:
        """A holon with the checkpoint that was read before it: the holon is at least as new as that position.

        Raises NotInitialised, GraphUnavailable.
        """
        if self._partitions is None:
            self._partitions = len(await self.checkpoints())
        stream = stream_of(HOLON, holon_id)
        partition = partition_of(stream, self._partitions)
        rows = await self._connection.rows(
            text("holon_read"), topic=self._topic, partition=partition, id=holon_id, key=parked_key(stream)
        )
        if not rows:
            raise NotInitialised(f"{self._connection}: {self._topic}[{partition}] has no checkpoint")
        position, labels, properties = rows[0]
        holons, whole = await read_holons(self._connection, [] if labels is None else [(labels, properties)])
        return HolonRead(holons.get(holon_id), partition, position, whole)

    async def get_holon(
        self, holon_id: str, *, at_least: Token | str | None = None, deadline: float = DEADLINE
    ) -> Holon | None:
        """See SemanticGraphStore."""
        await self._reach(at_least, deadline)
        rows = await self._connection.rows(text("holon_get"), id=holon_id)
        holons, _ = await read_holons(self._connection, rows)
        return holons.get(holon_id)

    async def query_holons_by_type(
        self,
        holon_type: str,
        filters: HolonFilter | None = None,
        *,
        after: str | None = None,
        limit: int | None = None,
        at_least: Token | str | None = None,
        deadline: float = DEADLINE,
    ) -> list[Holon]:
        """See SemanticGraphStore."""
        await self._reach(at_least, deadline)
        if holon_type not in self._catalogue.holon_types:
            return []
        return await self._holons(holon_type, filters, after, limit)

    async def get_all_holons(
        self,
        *,
        after: str | None = None,
        limit: int | None = None,
        at_least: Token | str | None = None,
        deadline: float = DEADLINE,
    ) -> list[Holon]:
        """See SemanticGraphStore."""
        await self._reach(at_least, deadline)
        return await self._holons(None, None, after, limit)

    async def get_holon_relationships(
        self,
        holon_id: str,
        *,
        after: str | None = None,
        limit: int | None = None,
        at_least: Token | str | None = None,
        deadline: float = DEADLINE,
    ) -> list[Relationship]:
        """See SemanticGraphStore."""
        await self._reach(at_least, deadline)
        return await self._relationships_of(holon_id, (), "both", None, after, limit)

    async def traverse_relationships(
        self,
        holon_id: str,
        relationship_type: str | None = None,
        direction: Direction = "both",
        filters: RelationshipFilter | None = None,
        *,
        after: str | None = None,
        limit: int | None = None,
        at_least: Token | str | None = None,
        deadline: float = DEADLINE,
    ) -> list[Relationship]:
        """See SemanticGraphStore."""
        await self._reach(at_least, deadline)
        types = self._known(None if relationship_type is None else (relationship_type,))
        return [] if types is None else await self._relationships_of(holon_id, types, direction, filters, after, limit)

    async def query_relationships_by_type(
        self,
        relationship_type: str,
        filters: RelationshipFilter | None = None,
        *,
        after: str | None = None,
        limit: int | None = None,
        at_least: Token | str | None = None,
        deadline: float = DEADLINE,
    ) -> list[Relationship]:
        """See SemanticGraphStore."""
        await self._reach(at_least, deadline)
        if relationship_type not in self._catalogue.relationship_types:
            return []
        return await self._relationships(relationship_type, filters, after, limit)

    async def get_all_relationships(
        self,
        *,
        after: str | None = None,
        limit: int | None = None,
        at_least: Token | str | None = None,
        deadline: float = DEADLINE,
    ) -> list[Relationship]:
        """See SemanticGraphStore."""
        await self._reach(at_least, deadline)
        # Each type has an index that orders its ids, all types together have none.
        found: list[Relationship] = []
        for name in sorted(self._catalogue.relationship_types):
            found += await self._relationships(name, None, after, limit)
        found.sort(key=lambda relationship: relationship.id)
        return found[:limit]

    async def get_connected_holons(
        self,
        holon_id: str,
        relationship_type: str | None = None,
        direction: Direction = "both",
        filters: RelationshipFilter | None = None,
        *,
        after: str | None = None,
        limit: int | None = None,
        at_least: Token | str | None = None,
        deadline: float = DEADLINE,
    ) -> list[Holon]:
        """See SemanticGraphStore."""
        await self._reach(at_least, deadline)
        types = self._known(None if relationship_type is None else (relationship_type,))
        if types is None:
            return []
        ids = sorted(await self._hop([holon_id], types, direction, filters))
        return await self._existing([i for i in ids if after is None or i > after], limit)

    async def traverse(
        self,
        holon_id: str,
        relationship_types: tuple[str, ...] | None = None,
        direction: Direction = "both",
        filters: RelationshipFilter | None = None,
        *,
        max_depth: int,
        limit: int | None = None,
        at_least: Token | str | None = None,
        deadline: float = DEADLINE,
    ) -> list[Reached]:
        """See SemanticGraphStore."""
        await self._reach(at_least, deadline)
        types = self._known(relationship_types)
        reached: list[Reached] = []
        seen = {holon_id}
        frontier = [holon_id]
        depth = 0
        while frontier and types is not None and depth < max_depth and (limit is None or len(reached) < limit):
            depth += 1
            frontier = sorted(await self._hop(frontier, types, direction, filters) - seen)
            seen.update(frontier)
            left = None if limit is None else limit - len(reached)
            reached += [Reached(holon, depth) for holon in await self._existing(frontier, left)]
        return reached

    async def match_pattern(
        self,
        pattern: Pattern,
        *,
        limit: int | None = None,
        at_least: Token | str | None = None,
        deadline: float = DEADLINE,
    ) -> list[PatternMatch]:
        """See SemanticGraphStore."""
        await self._reach(at_least, deadline)
        if not pattern.holons or not is_known(self._catalogue, pattern):
            return []
        return await _asked(self._matches, pattern, limit)

    async def _matches(self, pattern: Pattern, limit: int | None) -> list[PatternMatch]:
        query, parameters = compile_pattern(self._catalogue, pattern)
        matches: list[PatternMatch] = []
        aliases = len(pattern.aliases())
        async with self._connection.stream(query, **parameters) as rows:
            async for row in rows:
                if limit is not None and len(matches) >= limit:
                    break
                holons, _ = await read_holons(self._connection, row[:aliases])
                relationships = await read_relationships(self._connection, self._catalogue, row[aliases:])
                if (match := match_of(pattern, row, holons, relationships)) is not None:
                    matches.append(match)
        return matches

    async def export(self) -> AsyncIterator[State]:
        """See SemanticGraphStore."""
        last: str | None = None
        while holons := await self._holons(None, None, last, EXPORT_PAGE):
            last = holons[-1].id
            for holon in holons:
                yield holon
        for name in sorted(self._catalogue.relationship_types):
            last = None
            while relationships := await self._relationships(name, None, last, EXPORT_PAGE):
                last = relationships[-1].id
                for relationship in relationships:
                    yield relationship

    async def _reach(self, at_least: Token | str | None, deadline: float) -> None:
        await freshness.reach(self._connection, self._topic, at_least, deadline)

    def _known(self, types: tuple[str, ...] | None) -> tuple[str, ...] | None:
        """The types that the catalogue knows, () for any; None when types are asked for and none is known."""
        if types is None:
            return ()
        return tuple(name for name in types if name in self._catalogue.relationship_types) or None

    async def _holons(
        self, holon_type: str | None, filters: HolonFilter | None, after: str | None, limit: int | None
    ) -> list[Holon]:
        query = statement("holons_query", self._catalogue, holon_type=holon_type)
        prefilter = holon_prefilter(filters)

        async def fetch(floor: str, size: int) -> Fetched[Holon]:
            rows = await self._connection.rows(query, after=floor, limit=size, filter=prefilter)
            holons, _ = await read_holons(self._connection, rows)
            return Fetched(len(rows), holons.values())

        return await page(partial(_asked, fetch), filters.matches if filters else _any, after, limit)

    async def _relationships(
        self, relationship_type: str, filters: RelationshipFilter | None, after: str | None, limit: int | None
    ) -> list[Relationship]:
        query = statement("relationships_query", self._catalogue, relationship_types=(relationship_type,))
        return await self._relationship_page(query, {}, filters, after, limit)

    async def _relationships_of(
        self,
        holon_id: str,
        types: tuple[str, ...],
        direction: Direction,
        filters: RelationshipFilter | None,
        after: str | None,
        limit: int | None,
    ) -> list[Relationship]:
        query = statement("relationships_of", self._catalogue, relationship_types=types, direction=direction)
        return await self._relationship_page(query, {"id": holon_id}, filters, after, limit)

    async def _relationship_page(
        self,
        query: str,
        parameters: dict[str, Any],
        filters: RelationshipFilter | None,
        after: str | None,
        limit: int | None,
    ) -> list[Relationship]:
        prefilter = relationship_prefilter(filters)

        async def fetch(floor: str, size: int) -> Fetched[Relationship]:
            rows = await self._connection.rows(query, after=floor, limit=size, filter=prefilter, **parameters)
            found = await read_relationships(self._connection, self._catalogue, [row[:4] for row in rows])
            return Fetched(len(rows), found.values())

        return await page(partial(_asked, fetch), filters.matches if filters else _any, after, limit)

    async def _hop(
        self, ids: list[str], types: tuple[str, ...], direction: Direction, filters: RelationshipFilter | None
    ) -> set[str]:
        """The ids one hop away from any of `ids`."""
        parameters = {"ids": ids, "filter": relationship_prefilter(filters)}
        if is_exact(filters):
            query = statement("hop", self._catalogue, relationship_types=types, direction=direction)
            return set((await self._connection.rows(query, **parameters))[0][0])
        assert filters is not None
        query = statement("hop_relationships", self._catalogue, relationship_types=types, direction=direction)
        starts = set(ids)
        reached: set[str] = set()
        for relationship in (await _asked(self._read_edges, query, parameters)).values():
            if filters.matches(relationship):
                if direction != "incoming" and relationship.source in starts:
                    reached.add(relationship.target)
                if direction != "outgoing" and relationship.target in starts:
                    reached.add(relationship.source)
        return reached

    async def _read_edges(self, query: str, parameters: dict[str, Any]) -> dict[str, Relationship]:
        rows = await self._connection.rows(query, **parameters)
        return await read_relationships(self._connection, self._catalogue, rows)

    async def _existing(self, ids: list[str], limit: int | None) -> list[Holon]:
        """The first `limit` holons of these ids, in their order; ends that are no holons are left out."""
        found: list[Holon] = []
        size = len(ids) if limit is None else min(limit + 10, len(ids))
        for start in range(0, len(ids), max(size, 1)):
            rows = (await self._connection.rows(text("holons_load"), ids=ids[start : start + size]))[0][0]
            holons, _ = await read_holons(self._connection, rows)
            found += sorted(holons.values(), key=lambda holon: holon.id)
            if limit is not None and len(found) >= limit:
                break
        return found[:limit]


async def _asked(ask: Callable[..., Awaitable[T]], *arguments: Any) -> T:
    """The answer, asked for again when an entity was made anew while it was read. Raises GraphUnavailable."""
    for _ in range(MOVED_ATTEMPTS):
        try:
            return await ask(*arguments)
        except Moved:
            await asyncio.sleep(MOVED_PAUSE)
    raise GraphUnavailable(
        "Entities are made anew faster than they can be read, or damaged: `holonstream verify graph`"
    )


def _any(state: State) -> bool:
    return True
