"""How Neo4jGraphStore reads: by index seeks, prefilters, and the filters of `sinks.store`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar

from holonstream.schemas.catalogue import Catalogue
from holonstream.schemas.json_limits import is_unicode
from holonstream.schemas.partition import partition_of
from holonstream.schemas.state import Holon, Relationship, State
from holonstream.sinks.errors import GraphUnavailable
from holonstream.sinks.freshness import StreamReach
from holonstream.sinks.graph.checkpoint import checkpoints, missing_checkpoints
from holonstream.sinks.graph.driver import GraphConnection
from holonstream.sinks.graph.parking import hidden_from
from holonstream.sinks.graph.read.load import holon_rows, occurring_types
from holonstream.sinks.graph.read.pages import FetchedPage, page
from holonstream.sinks.graph.read.pattern import compile_pattern, is_known, match_of
from holonstream.sinks.graph.read.prefilter import holon_prefilter, is_exact, relationship_prefilter
from holonstream.sinks.graph.read.whole import ChangedWhileRead, read_holons, read_relationships
from holonstream.sinks.graph.statements import statement
from holonstream.sinks.store import Direction, HolonFilter, Pattern, PatternMatch, RelationshipFilter, other_ends

EXPORT_PAGE = 2000  # states
CHANGED_ATTEMPTS = 20
CHANGED_PAUSE = 0.01  # seconds

T = TypeVar("T")


class Neo4jReads:
    """`sinks.store.GraphReads` on Neo4j."""

    def __init__(self, connection: GraphConnection, catalogue: Catalogue, topic: str) -> None:
        self._connection, self._catalogue, self._topic = connection, catalogue, topic
        self._partitions = 0
        """of the topic, as far as checkpoints were seen"""

    async def reached(self, streams: Collection[str]) -> Mapping[str, StreamReach]:
        """The visible position of each stream's partition; of a parked stream the position before the parked event.

        Raises NotInitialised when a checkpoint is gone, GraphUnavailable.
        """
        there = await checkpoints(self._connection, self._topic)
        self._partitions = max(self._partitions, len(there))
        if len(there) < self._partitions:  # of which partition a stream is would be taken from a wrong number
            raise missing_checkpoints(self._connection, self._topic, there)
        reached = {stream: StreamReach(there[partition_of(stream, len(there))].visible_position) for stream in streams}
        # Read after the checkpoints: a stream that was parked before they were reached is seen.
        for stream, (since, is_parked) in (await hidden_from(self._connection, streams)).items():
            if since <= reached[stream].position:
                reached[stream] = StreamReach(since - 1, is_parked)
        return reached

    async def holons_of(self, ids: Sequence[str], limit: int | None) -> list[Holon]:
        """In chunks, as most ids are holons and a limit is then reached by the first."""
        ids = _possible(ids)
        found: list[Holon] = []
        size = len(ids) if limit is None else min(limit + 10, len(ids))
        for start in range(0, len(ids), max(size, 1)):
            rows = await holon_rows(self._connection, ids[start : start + size])
            holons, _ = await read_holons(self._connection, self._catalogue, rows)
            found += sorted(holons.values(), key=lambda holon: holon.id)
            if limit is not None and len(found) >= limit:
                break
        return found[:limit]

    async def holons(
        self, holon_type: str | None, filters: HolonFilter | None, after: str | None, limit: int | None
    ) -> list[Holon]:
        if holon_type is not None and holon_type not in self._catalogue.holon_types:
            return []
        query = statement("holons_query", self._catalogue, holon_type=holon_type)
        prefilter = holon_prefilter(filters)

        async def fetch(floor: str, size: int) -> FetchedPage[Holon]:
            rows = await self._connection.execute(query, after=floor, limit=size, filter=prefilter)
            holons, _ = await read_holons(self._connection, self._catalogue, rows)
            return FetchedPage(len(rows), holons.values(), rows[-1][1]["_id"] if rows else None)

        return await page(partial(_unchanged, fetch), filters.matches if filters else _any, after, limit)

    async def relationships(
        self, relationship_type: str | None, filters: RelationshipFilter | None, after: str | None, limit: int | None
    ) -> list[Relationship]:
        """Of any type: one query, which takes a page of each type."""
        if relationship_type is None:
            name, names = "relationships_all", tuple(self._catalogue.relationship_types)
        else:
            name, names = "relationships_query", self._known([relationship_type]) or ()
        if not names:
            return []
        query = statement(name, self._catalogue, relationship_types=names)
        return await self._relationship_page(query, {}, filters, after, limit)

    async def relationships_of(
        self,
        holon_id: str,
        types: Sequence[str] | None,
        direction: Direction,
        filters: RelationshipFilter | None,
        after: str | None,
        limit: int | None,
    ) -> list[Relationship]:
        if (known := self._known(types)) is None or not is_unicode(holon_id):
            return []
        query = statement("relationships_of", self._catalogue, relationship_types=known, direction=direction)
        return await self._relationship_page(query, {"id": holon_id}, filters, after, limit)

    async def neighbours(
        self,
        ids: Collection[str],
        types: Sequence[str] | None,
        direction: Direction,
        filters: RelationshipFilter | None,
    ) -> set[str]:
        if (known := self._known(types)) is None:
            return set()
        parameters: dict[str, Any] = {"ids": _possible(ids), "filter": relationship_prefilter(filters)}
        if is_exact(filters):
            query = statement("hop", self._catalogue, relationship_types=known, direction=direction)
            found = (await self._connection.execute(query, **parameters))[0][0]
            return {identity for identity in found if isinstance(identity, str)}  # a node of others may have any
        assert filters is not None
        query = statement("hop_relationships", self._catalogue, relationship_types=known, direction=direction)
        passing = filter(filters.matches, (await _unchanged(self._read_edges, query, parameters)).values())
        return other_ends(passing, set(ids), direction)

    async def matches(self, pattern: Pattern, limit: int | None) -> list[PatternMatch]:
        return await _unchanged(self._matches, pattern, limit) if is_known(self._catalogue, pattern) else []

    async def export(self) -> AsyncIterator[State]:
        last: str | None = None
        while holons := await self.holons(None, None, last, EXPORT_PAGE):
            last = holons[-1].id
            for holon in holons:
                yield holon
        for name in await occurring_types(self._connection, self._catalogue):
            last = None
            while relationships := await self.relationships(name, None, last, EXPORT_PAGE):
                last = relationships[-1].id
                for relationship in relationships:
                    yield relationship

    def _known(self, types: Collection[str] | None) -> tuple[str, ...] | None:
        """The types that the catalogue knows, of all or of those given; None when there is none.

        Named one by one: another program may connect holons by types of its own.
        """
        known = self._catalogue.relationship_types
        return tuple(known if types is None else (name for name in types if name in known)) or None

    async def _matches(self, pattern: Pattern, limit: int | None) -> list[PatternMatch]:
        query, parameters = compile_pattern(self._catalogue, pattern)
        matches: list[PatternMatch] = []
        aliases = len(pattern.aliases())
        async with self._connection.stream(query, **parameters) as rows:
            async for row in rows:
                if limit is not None and len(matches) >= limit:
                    break
                holons, _ = await read_holons(self._connection, self._catalogue, row[:aliases])
                relationships = await read_relationships(self._connection, self._catalogue, row[aliases:])
                if (match := match_of(pattern, row, holons, relationships)) is not None:
                    matches.append(match)
        return matches

    async def _relationship_page(
        self,
        query: str,
        parameters: dict[str, Any],
        filters: RelationshipFilter | None,
        after: str | None,
        limit: int | None,
    ) -> list[Relationship]:
        prefilter = relationship_prefilter(filters)

        async def fetch(floor: str, size: int) -> FetchedPage[Relationship]:
            rows = await self._connection.execute(query, after=floor, limit=size, filter=prefilter, **parameters)
            found = await read_relationships(self._connection, self._catalogue, [row[:4] for row in rows])
            return FetchedPage(len(rows), found.values(), rows[-1][3]["_id"] if rows else None)

        return await page(partial(_unchanged, fetch), filters.matches if filters else _any, after, limit)

    async def _read_edges(self, query: str, parameters: dict[str, Any]) -> dict[str, Relationship]:
        rows = await self._connection.execute(query, **parameters)
        return await read_relationships(self._connection, self._catalogue, rows)


async def _unchanged(read: Callable[..., Awaitable[T]], *arguments: Any) -> T:
    """The result of a read, repeated when an entity was made again meanwhile. Raises GraphUnavailable."""
    for _ in range(CHANGED_ATTEMPTS):
        try:
            return await read(*arguments)
        except ChangedWhileRead:
            await asyncio.sleep(CHANGED_PAUSE)
    raise GraphUnavailable("Entities change faster than they can be read, or are damaged: `holonstream verify graph`")


def _possible(ids: Collection[str]) -> list[str]:
    """Those of some ids that a graph can hold: the driver cannot ask for the others."""
    return [identity for identity in ids if is_unicode(identity)]


def _any(state: State) -> bool:
    return True
