"""The graph in memory: the states that a log folds to."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from threading import Lock
from typing import TypeVar

from holonstream.producers.log.store import EventStore
from holonstream.schemas.catalogue import Catalogue
from holonstream.schemas.errors import CannotApply
from holonstream.schemas.projection import apply
from holonstream.schemas.state import Holon, Relationship, State
from holonstream.schemas.token import Token
from holonstream.sinks.freshness import StreamReach, reach
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
    """A graph that follows a log: before each read it folds the events that are new. Safe for several threads.

    So it never lags, unless a test asks for that (`lagging`). An event that cannot be applied parks its stream, as in
    the pipeline: reads give the state before it, and its token is not reached.
    """

    def __init__(self, log: EventStore, catalogue: Catalogue) -> None:
        """Folds a log, in memory or in PostgreSQL, which the caller closes."""
        self._log, self._catalogue = log, catalogue
        self._reads = MemoryReads({}, 0, {})
        self._dead_letters: dict[str, CannotApply] = {}
        self._until: int | None = None
        self._lock = Lock()

    @property
    def dead_letters(self) -> dict[str, CannotApply]:
        """By parked stream, why its next event cannot be applied."""
        self._follow()
        return dict(self._dead_letters)

    @contextmanager
    def lagging(self) -> Iterator[None]:
        """Inside the ``with`` the graph shows nothing that is appended there, as if the workers had stopped.

        A read whose token it has not reached then raises NotYetVisible at once, so that a test need not wait.
        """
        before, self._until = self._until, self._log.head()
        try:
            yield
        finally:
            self._until = before

    async def _fresh(self, at_least: Token | str | None, deadline: float | None) -> GraphReads:
        reads = await asyncio.to_thread(self._follow)
        await reach(self._reached, at_least, deadline if self._until is None else 0)
        return reads if at_least is None else self._reads

    async def _reached(self, streams: Collection[str]) -> Mapping[str, StreamReach]:
        return await (await asyncio.to_thread(self._follow)).reached(streams)

    def _follow(self) -> MemoryReads:
        """What there is to read, with the newest events in it."""
        with self._lock:
            events = list(self._log.read(self._reads.position, self._until))
            if not events:
                return self._reads
            states, parked = dict(self._reads.states), dict(self._reads.parked)
            for event in events:
                if event.stream in parked:
                    continue
                try:
                    state = apply(self._catalogue, states.get(event.stream), event)
                except CannotApply as error:
                    parked[event.stream] = event.position
                    self._dead_letters[event.stream] = error
                else:
                    if state is not None:
                        states[event.stream] = state
            self._reads = MemoryReads(states, events[-1].position, parked)
            return self._reads


class MemoryReads:
    """`sinks.store.GraphReads` over states that do not change: every read goes through all of them."""

    def __init__(self, states: Mapping[str, State], position: int, parked: Mapping[str, int]) -> None:
        """`states` by stream, after all events up to `position` but those of `parked` streams from a position on."""
        self.states, self.position, self.parked = states, position, parked
        self._holons = {state.id: state for state in states.values() if isinstance(state, Holon)}
        self._relationships = [state for state in states.values() if isinstance(state, Relationship)]

    async def reached(self, streams: Collection[str]) -> Mapping[str, StreamReach]:
        return {
            stream: StreamReach(self.parked.get(stream, self.position + 1) - 1, stream in self.parked)
            for stream in streams
        }

    async def holons_of(self, ids: Sequence[str], limit: int | None) -> list[Holon]:
        return [self._holons[i] for i in ids if i in self._holons][:limit]

    async def holons(
        self, holon_type: str | None, filters: HolonFilter | None, after: str | None, limit: int | None
    ) -> list[Holon]:
        of_type = (h for h in self._holons.values() if holon_type in (None, h.type))
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
        for state in self.states.values():
            yield state

    def _passing(self, types: Sequence[str] | None, filters: RelationshipFilter | None) -> Iterator[Relationship]:
        for r in self._relationships:
            if (types is None or r.type in types) and (filters is None or filters.matches(r)):
                yield r

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
            for r in self._relationships:
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
