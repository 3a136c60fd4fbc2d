"""The graph store in memory, over folded states: the simplest implementation of `sinks.store`.

For tests and small data; Neo4jGraphStore is tested against it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Iterable, Iterator, Mapping, Sequence
from typing import TypeVar

from holonstream.schemas.state import Holon, Relationship, State
from holonstream.schemas.token import Token
from holonstream.sinks.freshness import reach
from holonstream.sinks.store import (
    Direction,
    GraphReads,
    HolonFilter,
    Pattern,
    PatternMatch,
    RelationshipFilter,
    RelationshipPattern,
    SemanticGraphStore,
    other_ends,
    properties_match,
)

S = TypeVar("S", Holon, Relationship)


class MemoryGraphStore(SemanticGraphStore):
    """A graph that holds some states, up to a log position."""

    def __init__(self, states: Iterable[State] = (), position: int = 0) -> None:
        self._reads = MemoryReads()
        self.put(states, position)

    def put(self, states: Iterable[State], position: int) -> None:
        """Replace states; the graph then reflects the log up to `position`."""
        reads = self._reads
        for state in states:
            if isinstance(state, Holon):
                reads.holon_by_id[state.id] = state
            else:
                reads.relationship_by_id[state.id] = state
        reads.position = max(position, reads.position)

    async def _fresh(self, at_least: Token | str | None, deadline: float | None) -> GraphReads:
        await reach(self._reads.reached, at_least, deadline)
        return self._reads


class MemoryReads:
    """`sinks.store.GraphReads` over dictionaries: every read goes through all of them."""

    def __init__(self) -> None:
        self.holon_by_id: dict[str, Holon] = {}
        self.relationship_by_id: dict[str, Relationship] = {}
        self.position = 0

    async def reached(self, streams: Collection[str]) -> Mapping[str, int]:
        return dict.fromkeys(streams, self.position)

    async def holons_of(self, ids: Sequence[str], limit: int | None) -> list[Holon]:
        return [self.holon_by_id[i] for i in ids if i in self.holon_by_id][:limit]

    async def holons(
        self, holon_type: str | None, filters: HolonFilter | None, after: str | None, limit: int | None
    ) -> list[Holon]:
        of_type = (h for h in self.holon_by_id.values() if holon_type in (None, h.type))
        return _page((h for h in of_type if filters is None or filters.matches(h)), after, limit)

    async def relationships(
        self, relationship_type: str | None, filters: RelationshipFilter | None, after: str | None, limit: int | None
    ) -> list[Relationship]:
        return _page(self._passing(None if relationship_type is None else [relationship_type], filters), after, limit)

    async def relationships_of(
        self,
        holon_id: str,
        types: Sequence[str] | None,
        direction: Direction,
        filters: RelationshipFilter | None,
        after: str | None,
        limit: int | None,
    ) -> list[Relationship]:
        passing = self._passing(types, filters)
        return _page((r for r in passing if other_ends([r], [holon_id], direction)), after, limit)

    async def neighbours(
        self,
        ids: Collection[str],
        types: Sequence[str] | None,
        direction: Direction,
        filters: RelationshipFilter | None,
    ) -> set[str]:
        return other_ends(self._passing(types, filters), ids, direction)

    async def matches(self, pattern: Pattern, limit: int | None) -> list[PatternMatch]:
        found = self._bind(pattern, pattern.aliases(), {}, ())
        return sorted(found, key=PatternMatch.order)[:limit]

    async def export(self) -> AsyncIterator[State]:
        states: list[State] = [*self.holon_by_id.values(), *self.relationship_by_id.values()]
        for state in states:
            yield state

    def _passing(self, types: Sequence[str] | None, filters: RelationshipFilter | None) -> Iterator[Relationship]:
        for r in self.relationship_by_id.values():
            if (types is None or r.type in types) and (filters is None or filters.matches(r)):
                yield r

    def _bind(
        self, pattern: Pattern, aliases: list[str], bound: dict[str, Holon], chosen: tuple[Relationship, ...]
    ) -> Iterator[PatternMatch]:
        if len(bound) < len(aliases):
            alias = aliases[len(bound)]
            wanted = [h for h, name in zip(pattern.holons, pattern.holon_aliases(), strict=True) if name == alias]
            for holon in self.holon_by_id.values():
                if all(
                    w.type in (None, holon.type) and properties_match(w.properties, holon.properties) for w in wanted
                ):
                    yield from self._bind(pattern, aliases, {**bound, alias: holon}, chosen)
        elif len(chosen) < len(pattern.relationships):
            wish = pattern.relationships[len(chosen)]
            source, target = pattern.ends(wish)
            for r in self.relationship_by_id.values():
                if r.source == bound[source].id and (target is None or r.target == bound[target].id) and _fits(wish, r):
                    yield from self._bind(pattern, aliases, bound, (*chosen, r))
        else:
            yield PatternMatch(bound, chosen)


def _page(states: Iterable[S], after: str | None, limit: int | None) -> list[S]:
    return sorted((s for s in states if after is None or s.id > after), key=lambda s: s.id)[:limit]


def _fits(wish: RelationshipPattern, r: Relationship) -> bool:
    if wish.type is not None and r.type != wish.type:
        return False
    return (wish.include_ended or r.effective_end is None) and properties_match(wish.properties, r.properties)
