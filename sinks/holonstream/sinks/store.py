"""The graph's query interface (domain catalogue, section 4): the protocol, its filters and patterns, and what matches.

Answers come ordered by id (code point order of the text) unless a method says otherwise. A method whose answer has no
bound takes `limit` and `after`, the last id of the page before. Every method takes

- `at_least`, a consistency token: the answer reflects everything that the token names;
- `deadline`, the seconds to wait for that before NotYetVisible is raised.

Without a token an answer is as fresh as the sink's lag. Filters are held here, by `matches`, for every implementation.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from holonstream.schemas import instant
from holonstream.schemas.operation import ABSENT
from holonstream.schemas.state import Holon, Relationship, State
from holonstream.schemas.token import Token

Direction = Literal["outgoing", "incoming", "both"]

DEADLINE = 5.0  # seconds that a read with a token waits


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


class SemanticGraphStore(Protocol):
    """The present state of all holons and relationships.

    Holons of any status and relationships that ended are part of it. A type that the catalogue does not know has no
    entities. Every method raises NotYetVisible (see the module) and GraphUnavailable.
    """

    async def get_holon(
        self, holon_id: str, *, at_least: Token | str | None = None, deadline: float = DEADLINE
    ) -> Holon | None:
        """The holon, None when there is none."""

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
        """The holons of exactly this type that pass the filter."""

    async def get_all_holons(
        self,
        *,
        after: str | None = None,
        limit: int | None = None,
        at_least: Token | str | None = None,
        deadline: float = DEADLINE,
    ) -> list[Holon]:
        """All holons."""

    async def get_holon_relationships(
        self,
        holon_id: str,
        *,
        after: str | None = None,
        limit: int | None = None,
        at_least: Token | str | None = None,
        deadline: float = DEADLINE,
    ) -> list[Relationship]:
        """Every relationship that has the id at either end, each once; the holon need not exist."""

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
        """The relationships of one hop, each once (also a self-loop); outgoing ones have the id as their source."""

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
        """The relationships of exactly this type that pass the filter."""

    async def get_all_relationships(
        self,
        *,
        after: str | None = None,
        limit: int | None = None,
        at_least: Token | str | None = None,
        deadline: float = DEADLINE,
    ) -> list[Relationship]:
        """All relationships, ended ones too."""

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
        """The holons at the other end of `traverse_relationships`, each once; a self-loop gives the holon itself."""

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
        """The holons within `max_depth` hops, each once at its least depth, without the start; by depth, then id.

        The way may lead through ends that are no holons; these are not reported.
        """

    async def match_pattern(
        self,
        pattern: Pattern,
        *,
        limit: int | None = None,
        at_least: Token | str | None = None,
        deadline: float = DEADLINE,
    ) -> list[PatternMatch]:
        """Every way to fit the pattern, each once, ordered by `PatternMatch.order`."""

    def export(self) -> AsyncIterator[State]:
        """All states, in no order; those that change meanwhile come as they were or as they are."""


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
