"""The part of the client that asks the graph."""

from __future__ import annotations

from collections.abc import AsyncIterator

from holonstream.schemas.state import Holon, Relationship, State
from holonstream.schemas.token import Token
from holonstream.sinks.store import (
    DEADLINE,
    Direction,
    HolonFilter,
    Pattern,
    PatternMatch,
    Reached,
    RelationshipFilter,
    SemanticGraphStore,
)


class GraphQueries:
    """Questions about what is so now.

    Lists come ordered by id unless a method says otherwise; where an answer has no bound, `limit` and `after` (the last
    id of the page before) page through it. Every method takes `at_least`, a token that the answer must reflect, and
    `deadline`, the seconds to wait for that (by default the client's); and raises NotYetVisible when it passes,
    InvalidToken, and GraphUnavailable.
    """

    def __init__(self, graph: SemanticGraphStore, deadline: float = DEADLINE) -> None:
        self._graph = graph
        self._deadline = deadline

    def _patience(self, deadline: float | None) -> float:
        return self._deadline if deadline is None else deadline

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
        return await self._graph.query_holons_by_type(
            holon_type, filters, after=after, limit=limit, at_least=at_least, deadline=self._patience(deadline)
        )

    async def get_all_holons(
        self,
        *,
        after: str | None = None,
        limit: int | None = None,
        at_least: Token | str | None = None,
        deadline: float | None = None,
    ) -> list[Holon]:
        """All holons, of any status. `export` needs less memory."""
        return await self._graph.get_all_holons(
            after=after, limit=limit, at_least=at_least, deadline=self._patience(deadline)
        )

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
        return await self._graph.get_holon_relationships(
            holon_id, after=after, limit=limit, at_least=at_least, deadline=self._patience(deadline)
        )

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

        Without a filter ended ones are among them; `as_of` gives those of a date, `RelationshipFilter()` the open ones.
        """
        return await self._graph.traverse_relationships(
            holon_id,
            relationship_type,
            direction,
            filters,
            after=after,
            limit=limit,
            at_least=at_least,
            deadline=self._patience(deadline),
        )

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
        return await self._graph.query_relationships_by_type(
            relationship_type, filters, after=after, limit=limit, at_least=at_least, deadline=self._patience(deadline)
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
        return await self._graph.get_all_relationships(
            after=after, limit=limit, at_least=at_least, deadline=self._patience(deadline)
        )

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
        """The holons at the other end of what `traverse_relationships` answers, each once, as they are now."""
        return await self._graph.get_connected_holons(
            holon_id,
            relationship_type,
            direction,
            filters,
            after=after,
            limit=limit,
            at_least=at_least,
            deadline=self._patience(deadline),
        )

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
        deadline: float | None = None,
    ) -> list[Reached]:
        """The holons within `max_depth` hops, each once at its least depth, without the start; by depth, then id."""
        return await self._graph.traverse(
            holon_id,
            relationship_types,
            direction,
            filters,
            max_depth=max_depth,
            limit=limit,
            at_least=at_least,
            deadline=self._patience(deadline),
        )

    async def match_pattern(
        self,
        pattern: Pattern,
        *,
        limit: int | None = None,
        at_least: Token | str | None = None,
        deadline: float | None = None,
    ) -> list[PatternMatch]:
        """Every way to fit the pattern, each once: ordered by the ids of the holons, then of the relationships.

        A pattern is a conjunction; what it may say is in `Pattern`, `HolonPattern` and `RelationshipPattern`.
        """
        return await self._graph.match_pattern(
            pattern, limit=limit, at_least=at_least, deadline=self._patience(deadline)
        )

    def export(self) -> AsyncIterator[State]:
        """All holons and relationships, in no order; those that change meanwhile come as they were or as they are."""
        return self._graph.export()
