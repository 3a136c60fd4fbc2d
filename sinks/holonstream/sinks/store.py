"""The graph's query interface (docs/domain.md, Queries): filters, patterns, and the methods of every graph store.

`SemanticGraphStore` spells the methods once, for the stores and the clients. A store says how it reads (`GraphReads`);
waiting for a token, walking several hops and paging are the same for all. Whether a filter lets a state pass is
decided here too, by `matches`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, get_args

from holonstream.schemas import instant
from holonstream.schemas.errors import BadData
from holonstream.schemas.operation import ABSENT
from holonstream.schemas.state import Holon, Relationship, State
from holonstream.schemas.token import Token
from holonstream.sinks.freshness import StreamReach

Direction = Literal["outgoing", "incoming", "both"]


@dataclass(frozen=True, slots=True, kw_only=True)
class HolonFilter:
    """All parts that are given must hold. Instants are ISO-8601 text; both ends of the range belong to it."""

    status: str | None = None
    created_after: str | None = None
    created_before: str | None = None
    properties: Mapping[str, Any] = field(default_factory=dict)

    def matches(self, holon: Holon) -> bool:
        """Whether the holon passes."""
        if self.status is not None and holon.status != self.status:
            return False
        if self.created_after or self.created_before:
            created = instant.parse(holon.created_at)
            if self.created_after and created < instant.parse(self.created_after):
                return False
            if self.created_before and created > instant.parse(self.created_before):
                return False
        return properties_match(self.properties, holon.properties)


@dataclass(frozen=True, slots=True, kw_only=True)
class RelationshipFilter:
    """All parts that are given must hold.

    Without `include_ended` every relationship that has an end is left out, wherever that end lies, also together with
    `effective_at` (ISO-8601 text; both ends of a relationship's time belong to it). No filter leaves out nothing.
    """

    include_ended: bool = False
    effective_at: str | None = None
    authority_level: str | None = None
    source: str | None = None
    target: str | None = None
    properties: Mapping[str, Any] = field(default_factory=dict)

    def matches(self, relationship: Relationship) -> bool:
        """Whether the relationship passes."""
        if relationship.effective_end is not None and not self.include_ended:
            return False
        if self.authority_level is not None and relationship.authority_level != self.authority_level:
            return False
        if self.source is not None and relationship.source != self.source:
            return False
        if self.target is not None and relationship.target != self.target:
            return False
        if self.effective_at is not None:
            at, end = instant.parse(self.effective_at), relationship.effective_end
            if instant.parse(relationship.effective_start) > at or (end is not None and instant.parse(end) < at):
                return False
        return properties_match(self.properties, relationship.properties)


@dataclass(frozen=True, slots=True, kw_only=True)
class HolonPattern:
    """A holon of a pattern. Without alias it is bound to its place in the list: ``"0"``, ``"1"`` ..."""

    type: str | None = None
    properties: Mapping[str, Any] = field(default_factory=dict)
    alias: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RelationshipPattern:
    """A relationship of a pattern, from the holon bound to `source_alias` to the one bound to `target_alias`.

    Without `source_alias` it goes out from the first holon of the pattern; without `target_alias` it may lead anywhere,
    also to an end that is no holon. An alias that no holon pattern has stands for any holon.
    """

    type: str | None = None
    source_alias: str | None = None
    target_alias: str | None = None
    properties: Mapping[str, Any] = field(default_factory=dict)
    include_ended: bool = True


@dataclass(frozen=True, slots=True)
class Pattern:
    """All of it must hold at once; an alias used twice is the same holon. Without holon patterns nothing matches.

    Different aliases may be bound to one holon, and two relationship patterns to one relationship.
    """

    holons: tuple[HolonPattern, ...] = ()
    relationships: tuple[RelationshipPattern, ...] = ()

    def holon_aliases(self) -> list[str]:
        """The alias of each holon pattern."""
        return [str(number) if h.alias is None else h.alias for number, h in enumerate(self.holons)]

    def aliases(self) -> list[str]:
        """Every alias once, in order of appearance: holon patterns first."""
        ends = (alias for r in self.relationships for alias in self.ends(r) if alias is not None)
        return list(dict.fromkeys([*self.holon_aliases(), *ends]))

    def ends(self, relationship: RelationshipPattern) -> tuple[str, str | None]:
        """The aliases of a relationship pattern's source and target."""
        source = relationship.source_alias
        return (self.holon_aliases()[0] if source is None else source), relationship.target_alias


@dataclass(frozen=True, slots=True)
class PatternMatch:
    """One way to fit a pattern: the holon of every alias, a relationship per relationship pattern."""

    holons: dict[str, Holon]
    relationships: tuple[Relationship, ...]

    def order(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """What matches are ordered by: ids of the holons in the order of the aliases, then of the relationships."""
        return tuple(h.id for h in self.holons.values()), tuple(r.id for r in self.relationships)


@dataclass(frozen=True, slots=True)
class Reached:
    """A holon that a traversal reached, and in how many hops at least."""

    holon: Holon
    depth: int


@dataclass(frozen=True, slots=True)
class HolonRead:
    """A holon as the graph holds it, and how far the graph had come before it was read."""

    holon: Holon | None
    partition: int
    """of the stream ``holon/<id>``"""
    checkpoint_position: int
    """Every event of the holon up to here is in what was read. It is the visible position of the partition, read BEFORE
    the holon; below the first parked event when the holon's stream is parked; 0 when the graph has nothing of it."""
    is_whole: bool = True
    """False when another program has changed the holon in the store: no cache may keep it"""
    is_parked: bool = False
    """whether the holon's next event is parked"""


class GraphReads(Protocol):
    """How a store reads. Tokens have been waited for before; `SemanticGraphStore` makes the answers of these.

    `types` are relationship types, None for any. A type that the catalogue does not know has no entities. Every method
    raises GraphUnavailable.
    """

    async def reached(self, streams: Collection[str]) -> Mapping[str, StreamReach]:
        """How far a reader sees each of these streams."""

    async def holons_of(self, ids: Sequence[str], limit: int | None) -> list[Holon]:
        """The first `limit` holons of these ids, which are sorted; an id without a holon is left out."""

    async def holons(
        self, holon_type: str | None, filters: HolonFilter | None, after: str | None, limit: int | None
    ) -> list[Holon]:
        """A page of the holons of a type (None: of any) that pass the filter, by id."""

    async def relationships(
        self, relationship_type: str | None, filters: RelationshipFilter | None, after: str | None, limit: int | None
    ) -> list[Relationship]:
        """A page of the relationships of a type (None: of any) that pass the filter, by id."""

    async def relationships_of(
        self,
        holon_id: str,
        types: Sequence[str] | None,
        direction: Direction,
        filters: RelationshipFilter | None,
        after: str | None,
        limit: int | None,
    ) -> list[Relationship]:
        """A page of the relationships that have the id at an end, by id, each once."""

    async def neighbours(
        self,
        ids: Collection[str],
        types: Sequence[str] | None,
        direction: Direction,
        filters: RelationshipFilter | None,
    ) -> set[str]:
        """The ids one hop away from any of these, whether they are holons or not."""

    async def matches(self, pattern: Pattern, limit: int | None) -> list[PatternMatch]:
        """The first `limit` ways to fit a pattern that has holons, by `PatternMatch.order`."""

    def export(self) -> AsyncIterator[State]:
        """All states, in no order; those that change meanwhile come as they were or as they are."""


class SemanticGraphStore(ABC):
    """The present state of all holons and relationships: of any status, ended ones too.

    Lists come ordered by id (code point order) unless a method says otherwise; where an answer has no bound, `limit`
    and `after` (the last id of the page before) page through it. A type that the catalogue does not know has no
    entities, and a text that no log can hold (half of a surrogate pair, U+0000) is found nowhere. Every method takes

    - `at_least`, a consistency token: the answer reflects everything that the token names. Without one the answer is as
      fresh as the sink's lag;
    - `deadline`, the seconds to wait for that, by default 5 or what the client was made with.

    Every method raises NotYetVisible when the deadline passes, and at once when an event that the token names is
    parked; InvalidToken, GraphUnavailable, and where a direction is asked for, BadData when there is no such.
    """

    @abstractmethod
    async def _fresh(self, at_least: Token | str | None, deadline: float | None) -> GraphReads:
        """What the store reads by, once it reflects the token. Raises NotYetVisible, InvalidToken, GraphUnavailable."""

    async def get_holon(
        self, holon_id: str, *, at_least: Token | str | None = None, deadline: float | None = None
    ) -> Holon | None:
        """The holon, of any status; None when there is none."""
        found = await (await self._fresh(at_least, deadline)).holons_of([holon_id], None)
        return found[0] if found else None

    async def query_holons_by_type(
        self,
        holon_type: str,
        filters: HolonFilter | None = None,
        *,
        after: str | None = None,
        limit: int | None = None,
        at_least: Token | str | None = None,
        deadline: float | None = None,
    ) -> list[Holon]:
        """The holons of exactly this type, of any status unless the filter says otherwise; none of an unknown type."""
        return await (await self._fresh(at_least, deadline)).holons(holon_type, filters, after, _whole(limit))

    async def get_all_holons(
        self,
        *,
        after: str | None = None,
        limit: int | None = None,
        at_least: Token | str | None = None,
        deadline: float | None = None,
    ) -> list[Holon]:
        """All holons, of any status. `export` needs less memory."""
        return await (await self._fresh(at_least, deadline)).holons(None, None, after, _whole(limit))

    async def get_holon_relationships(
        self,
        holon_id: str,
        *,
        after: str | None = None,
        limit: int | None = None,
        at_least: Token | str | None = None,
        deadline: float | None = None,
    ) -> list[Relationship]:
        """Every relationship, ended or not, that has the id at either end, each once; the holon need not exist."""
        reads = await self._fresh(at_least, deadline)
        return await reads.relationships_of(holon_id, None, "both", None, after, _whole(limit))

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
        deadline: float | None = None,
    ) -> list[Relationship]:
        """The relationships of one hop: outgoing ones have the id as their source, incoming ones as their target.

        Each comes once, also a self-loop. Without a filter ended ones are among them; `as_of` gives those of a date,
        `RelationshipFilter()` the open ones.
        """
        _check(direction)
        reads = await self._fresh(at_least, deadline)
        types = _types(relationship_type)
        return await reads.relationships_of(holon_id, types, direction, filters, after, _whole(limit))

    async def query_relationships_by_type(
        self,
        relationship_type: str,
        filters: RelationshipFilter | None = None,
        *,
        after: str | None = None,
        limit: int | None = None,
        at_least: Token | str | None = None,
        deadline: float | None = None,
    ) -> list[Relationship]:
        """The relationships of exactly this type; without a filter ended ones are among them."""
        return await (await self._fresh(at_least, deadline)).relationships(
            relationship_type, filters, after, _whole(limit)
        )

    async def get_all_relationships(
        self,
        *,
        after: str | None = None,
        limit: int | None = None,
        at_least: Token | str | None = None,
        deadline: float | None = None,
    ) -> list[Relationship]:
        """All relationships, ended ones too. `export` needs less memory."""
        return await (await self._fresh(at_least, deadline)).relationships(None, None, after, _whole(limit))

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
        deadline: float | None = None,
    ) -> list[Holon]:
        """The holons at the other end of what `traverse_relationships` answers, each once, as they are now.

        A self-loop gives the holon itself.
        """
        _check(direction)
        reads = await self._fresh(at_least, deadline)
        ids = await reads.neighbours([holon_id], _types(relationship_type), direction, filters)
        return await reads.holons_of(sorted(i for i in ids if after is None or i > after), _whole(limit))

    async def traverse(
        self,
        holon_id: str,
        relationship_types: str | tuple[str, ...] | None = None,
        direction: Direction = "both",
        filters: RelationshipFilter | None = None,
        *,
        max_depth: int,
        limit: int | None = None,
        at_least: Token | str | None = None,
        deadline: float | None = None,
    ) -> list[Reached]:
        """The holons within `max_depth` hops, each once at its least depth, without the start; by depth, then id.

        The way may lead through ends that are no holons; these are not reported.
        """
        _check(direction)
        types = _types(relationship_types)
        reads = await self._fresh(at_least, deadline)
        reached: list[Reached] = []
        seen = {holon_id}
        border = {holon_id}
        depth = 0
        while border and depth < max_depth and (limit is None or len(reached) < limit):
            depth += 1
            border = await reads.neighbours(sorted(border), types, direction, filters) - seen
            seen |= border
            left = None if limit is None else limit - len(reached)
            reached += [Reached(holon, depth) for holon in await reads.holons_of(sorted(border), left)]
        return reached

    async def match_pattern(
        self,
        pattern: Pattern,
        *,
        limit: int | None = None,
        at_least: Token | str | None = None,
        deadline: float | None = None,
    ) -> list[PatternMatch]:
        """Every way to fit the pattern, each once: ordered by the ids of the holons, then of the relationships.

        All of a pattern must hold at once; what it may say is in `Pattern`, `HolonPattern` and `RelationshipPattern`.
        """
        reads = await self._fresh(at_least, deadline)
        return await reads.matches(pattern, _whole(limit)) if pattern.holons else []

    async def export(self) -> AsyncIterator[State]:
        """All holons and relationships, in no order; those that change meanwhile come as they were or as they are."""
        reads = await self._fresh(None, None)
        async for state in reads.export():
            yield state


def _types(types: str | tuple[str, ...] | None) -> tuple[str, ...] | None:
    return (types,) if isinstance(types, str) else types


def _whole(limit: int | None) -> int | None:
    """No page has less than nothing: a negative limit would count from the end."""
    return None if limit is None else max(limit, 0)


def _check(direction: str) -> None:
    """Raises BadData for what is no direction."""
    if direction not in get_args(Direction):
        raise BadData(f"Unknown direction: {direction!r} (there are {', '.join(get_args(Direction))})")


def other_ends(relationships: Iterable[Relationship], ids: Collection[str], direction: Direction) -> set[str]:
    """Where these relationships lead from any of the ids."""
    reached = set()
    for relationship in relationships:
        if direction != "incoming" and relationship.source in ids:
            reached.add(relationship.target)
        if direction != "outgoing" and relationship.target in ids:
            reached.add(relationship.source)
    return reached


def properties_match(wanted: Mapping[str, Any], properties: Mapping[str, Any]) -> bool:
    """Whether each wanted top-level key is there with an equal value."""
    return all(equal(value, properties.get(name, ABSENT)) for name, value in wanted.items())


def equal(a: Any, b: Any) -> bool:
    """Deep equality of JSON values: same JSON type and value. 1 and 1.0 are one number, 1 and true are not equal."""
    if isinstance(a, bool) or isinstance(b, bool):
        return a is b
    if isinstance(a, Mapping):
        return isinstance(b, Mapping) and a.keys() == b.keys() and all(equal(v, b[k]) for k, v in a.items())
    if isinstance(a, list | tuple):
        return isinstance(b, list | tuple) and len(a) == len(b) and all(map(equal, a, b))
    return bool(a == b)
