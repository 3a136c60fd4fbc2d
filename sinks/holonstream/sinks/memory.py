"""The graph store in memory, over folded states: the plainest reading of the contract in `sinks.store`.

For tests, for small data, and as the measure that Neo4jGraphStore is held against.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator
from time import monotonic
from typing import TypeVar

from holonstream.schemas.state import Holon, Relationship, State
from holonstream.schemas.token import Token
from holonstream.sinks.errors import NotYetVisible
from holonstream.sinks.store import (
    DEADLINE,
    Direction,
    HolonFilter,
    Pattern,
    PatternMatch,
    Reached,
    RelationshipFilter,
    RelationshipPattern,
    properties_match,
)

S = TypeVar("S", Holon, Relationship)


class MemoryGraphStore:
    """A graph that holds some states, up to a log position."""

    def __init__(self, states: Iterable[State] = (), position: int = 0) -> None:
        self._holons: dict[str, Holon] = {}
        self._relationships: dict[str, Relationship] = {}
        self._position = position
        self._moved = asyncio.Event()
        self.put(states, position)

    def put(self, states: Iterable[State], position: int) -> None:
        """Replace states; the graph then reflects the log up to `position`."""
        for state in states:
            if isinstance(state, Holon):
                self._holons[state.id] = state
            else:
                self._relationships[state.id] = state
        self._position = max(position, self._position)
        moved, self._moved = self._moved, asyncio.Event()
        moved.set()

    async def get_holon(
        self, holon_id: str, *, at_least: Token | str | None = None, deadline: float = DEADLINE
    ) -> Holon | None:
        """See SemanticGraphStore."""
        await self._reach(at_least, deadline)
        return self._holons.get(holon_id)

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
        found = (h for h in self._holons.values() if h.type == holon_type and (filters is None or filters.matches(h)))
        return _page(found, after, limit)

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
        return _page(self._holons.values(), after, limit)

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
        return _page(self._hop(holon_id, None, "both", None), after, limit)

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
        types = None if relationship_type is None else (relationship_type,)
        return _page(self._hop(holon_id, types, direction, filters), after, limit)

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
        of_type = (r for r in self._relationships.values() if r.type == relationship_type)
        return _page((r for r in of_type if filters is None or filters.matches(r)), after, limit)

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
        return _page(self._relationships.values(), after, limit)

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
        types = None if relationship_type is None else (relationship_type,)
        ids = {_other_end(r, holon_id) for r in self._hop(holon_id, types, direction, filters)}
        return _page((self._holons[i] for i in ids if i in self._holons), after, limit)

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
        seen = {holon_id}
        frontier = {holon_id}
        reached: list[Reached] = []
        for depth in range(1, max_depth + 1):
            hops = ((start, r) for start in frontier for r in self._hop(start, relationship_types, direction, filters))
            frontier = {_other_end(r, start) for start, r in hops} - seen
            seen |= frontier
            reached += [Reached(self._holons[i], depth) for i in sorted(frontier) if i in self._holons]
        return reached[:limit]

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
        if not pattern.holons:
            return []
        found = self._bind(pattern, pattern.aliases(), {}, ())
        return sorted(found, key=PatternMatch.order)[:limit]

    async def export(self) -> AsyncIterator[State]:
        """See SemanticGraphStore."""
        states: list[State] = [*self._holons.values(), *self._relationships.values()]
        for state in states:
            yield state

    def _bind(
        self, pattern: Pattern, aliases: list[str], bound: dict[str, Holon], chosen: tuple[Relationship, ...]
    ) -> Iterator[PatternMatch]:
        if len(bound) < len(aliases):
            alias = aliases[len(bound)]
            wanted = [h for h, name in zip(pattern.holons, pattern.holon_aliases(), strict=True) if name == alias]
            for holon in self._holons.values():
                if all(
                    w.type in (None, holon.type) and properties_match(w.properties, holon.properties) for w in wanted
                ):
                    yield from self._bind(pattern, aliases, {**bound, alias: holon}, chosen)
        elif len(chosen) < len(pattern.relationships):
            wish = pattern.relationships[len(chosen)]
            source, target = pattern.ends(wish)
            for r in self._relationships.values():
                if r.source == bound[source].id and (target is None or r.target == bound[target].id) and _fits(wish, r):
                    yield from self._bind(pattern, aliases, bound, (*chosen, r))
        else:
            yield PatternMatch(bound, chosen)

    def _hop(
        self, holon_id: str, types: tuple[str, ...] | None, direction: Direction, filters: RelationshipFilter | None
    ) -> Iterator[Relationship]:
        for r in self._relationships.values():
            outgoing = direction != "incoming" and r.source == holon_id
            incoming = direction != "outgoing" and r.target == holon_id
            if (
                (outgoing or incoming)
                and (types is None or r.type in types)
                and (filters is None or filters.matches(r))
            ):
                yield r

    async def _reach(self, at_least: Token | str | None, deadline: float) -> None:
        if at_least is None:
            return
        wanted = Token.of(at_least).positions
        start = monotonic()
        while behind := {s: p for s, p in wanted.items() if p > self._position}:
            try:
                await asyncio.wait_for(self._moved.wait(), start + deadline - monotonic())
            except TimeoutError:
                stream, position = next(iter(behind.items()))
                raise NotYetVisible(stream, position, self._position, monotonic() - start) from None


def _page(states: Iterable[S], after: str | None, limit: int | None) -> list[S]:
    return sorted((s for s in states if after is None or s.id > after), key=lambda s: s.id)[:limit]


def _other_end(relationship: Relationship, holon_id: str) -> str:
    return relationship.target if relationship.source == holon_id else relationship.source


def _fits(wish: RelationshipPattern, r: Relationship) -> bool:
    if wish.type is not None and r.type != wish.type:
        return False
    return (wish.include_ended or r.effective_end is None) and properties_match(wish.properties, r.properties)
