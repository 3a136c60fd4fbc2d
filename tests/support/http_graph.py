"""A graph store that asks the read API, so that the suite of the graph stores can be run against it."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping
from typing import Any

import httpx

from holonstream.schemas import jsontext
from holonstream.schemas.errors import BadData, InvalidToken
from holonstream.schemas.state import Holon, Relationship, State
from holonstream.schemas.token import Token
from holonstream.sinks.errors import NotYetVisible
from holonstream.sinks.store import (
    Direction,
    GraphReads,
    HolonFilter,
    Pattern,
    PatternMatch,
    Reached,
    RelationshipFilter,
    SemanticGraphStore,
)

PAGE = 3  # small, so that the suite pages


class HttpGraphStore(SemanticGraphStore):
    """The queries over HTTP, each list in as many pages as it needs."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self._http = http

    async def _fresh(self, at_least: Token | str | None, deadline: float | None) -> GraphReads:
        raise NotImplementedError("every method asks by itself")

    async def get_holon(
        self, holon_id: str, *, at_least: Token | str | None = None, deadline: float | None = None
    ) -> Holon | None:
        found = await self._ask("/holon", {"id": holon_id}, at_least, deadline)
        return None if found is None else _holon(found)

    async def query_holons_by_type(
        self, holon_type: str, filters: HolonFilter | None = None, **more: Any
    ) -> list[Holon]:
        asked = {"type": holon_type, **_holon_filter(filters)}
        return [_holon(document) async for document in self._pages("/holons", asked, **more)]

    async def get_all_holons(self, **more: Any) -> list[Holon]:
        return [_holon(document) async for document in self._pages("/holons", {}, **more)]

    async def get_holon_relationships(self, holon_id: str, **more: Any) -> list[Relationship]:
        return [_relationship(d) async for d in self._pages("/holon/relationships", {"id": holon_id}, **more)]

    async def traverse_relationships(
        self,
        holon_id: str,
        relationship_type: str | None = None,
        direction: Direction = "both",
        filters: RelationshipFilter | None = None,
        **more: Any,
    ) -> list[Relationship]:
        asked = {"id": holon_id, "type": relationship_type, "direction": direction, **_relationship_filter(filters)}
        return [_relationship(document) async for document in self._pages("/holon/relationships", asked, **more)]

    async def query_relationships_by_type(
        self, relationship_type: str, filters: RelationshipFilter | None = None, **more: Any
    ) -> list[Relationship]:
        asked = {"type": relationship_type, **_relationship_filter(filters)}
        return [_relationship(document) async for document in self._pages("/relationships", asked, **more)]

    async def get_all_relationships(self, **more: Any) -> list[Relationship]:
        return [_relationship(document) async for document in self._pages("/relationships", {}, **more)]

    async def get_connected_holons(
        self,
        holon_id: str,
        relationship_type: str | None = None,
        direction: Direction = "both",
        filters: RelationshipFilter | None = None,
        **more: Any,
    ) -> list[Holon]:
        asked = {"id": holon_id, "type": relationship_type, "direction": direction, **_relationship_filter(filters)}
        return [_holon(document) async for document in self._pages("/holon/neighbours", asked, **more)]

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
        asked = {
            "id": holon_id,
            "type": [relationship_types] if isinstance(relationship_types, str) else list(relationship_types or ()),
            "direction": direction,
            "depth": min(max_depth, 8),
            "limit": limit,
            **_relationship_filter(filters),
        }
        if max_depth < 1 or (limit is not None and limit < 1):
            return []
        answer = await self._ask("/traverse", asked, at_least, deadline)
        return [Reached(_holon(item["holon"]), item["depth"]) for item in answer["items"]]

    async def match_pattern(
        self,
        pattern: Pattern,
        *,
        limit: int | None = None,
        at_least: Token | str | None = None,
        deadline: float | None = None,
    ) -> list[PatternMatch]:
        body = {
            "holonPatterns": [{"type": h.type, "properties": h.properties, "alias": h.alias} for h in pattern.holons],
            "relationshipPatterns": [
                {
                    "type": r.type,
                    "sourceAlias": r.source_alias,
                    "targetAlias": r.target_alias,
                    "properties": r.properties,
                    "includeEnded": r.include_ended,
                }
                for r in pattern.relationships
            ],
        }
        if limit is not None and limit < 1:
            return []
        answer = await self._ask("/match", {"limit": limit}, at_least, deadline, body)
        return [
            PatternMatch(
                {alias: _holon(holon) for alias, holon in match["holons"].items()},
                tuple(_relationship(r) for r in match["relationships"]),
            )
            for match in answer["items"]
        ]

    async def export(self) -> AsyncIterator[State]:
        for holon in await self.get_all_holons():
            yield holon
        for relationship in await self.get_all_relationships():
            yield relationship

    async def _pages(
        self,
        path: str,
        asked: Mapping[str, Any],
        *,
        after: str | None = None,
        limit: int | None = None,
        at_least: Token | str | None = None,
        deadline: float | None = None,
    ) -> AsyncIterator[dict[str, Any]]:
        left = limit
        while left is None or left > 0:
            size = PAGE if left is None else min(PAGE, left)
            page = await self._ask(path, {**asked, "after": after, "limit": size}, at_least, deadline)
            for document in page["items"]:
                yield document
            after = page["next"]
            if after is None:
                return
            left = None if left is None else left - size

    async def _ask(
        self,
        path: str,
        asked: Mapping[str, Any],
        at_least: Token | str | None,
        deadline: float | None,
        body: Any = None,
    ) -> Any:
        """The answer, None for a 404 without one. Raises NotYetVisible, InvalidToken."""
        parameters = {name: value for name, value in {**asked, "deadline": deadline}.items() if value is not None}
        headers = {} if at_least is None else {"Holonstream-Token": str(at_least)}
        url = f"/api/v1{path}"
        if body is None:
            answer = await self._http.get(url, params=parameters, headers=headers)
        else:
            content = {**headers, "Content-Type": "application/json"}
            answer = await self._http.post(url, params=parameters, headers=content, content=jsontext.encode(body))
        document = jsontext.decode(answer.content)
        match answer.status_code:
            case 200:
                return document
            case 404:
                return None
            case 409:
                stream, wanted, reached = (document[name] for name in ("stream", "wanted", "reached"))
                raise NotYetVisible(stream, wanted, reached, 0.0, document["parked"])
            case 400 if "oken" in document["detail"]:
                raise InvalidToken(document["detail"])
            case 400:
                raise BadData(document["detail"])
        raise AssertionError(f"{url} {parameters}: {answer.status_code} {document}")


def _holon(document: Mapping[str, Any]) -> Holon:
    return Holon(**_fields(document))


def _relationship(document: Mapping[str, Any]) -> Relationship:
    return Relationship(**_fields(document))


def _fields(document: Mapping[str, Any]) -> dict[str, Any]:
    named = {re.sub("[A-Z]", lambda capital: f"_{capital[0].lower()}", name): v for name, v in document.items()}
    return {**named, "source_documents": tuple(named["source_documents"])}


def _properties(properties: Mapping[str, Any]) -> str | None:
    return jsontext.encode(dict(properties)).decode() if properties else None


def _holon_filter(filters: HolonFilter | None) -> dict[str, Any]:
    if filters is None:
        return {}
    return {
        "status": filters.status,
        "createdAfter": filters.created_after,
        "createdBefore": filters.created_before,
        "properties": _properties(filters.properties),
    }


def _relationship_filter(filters: RelationshipFilter | None) -> dict[str, Any]:
    if filters is None:
        return {}
    return {
        "includeEnded": filters.include_ended,
        "effectiveAt": filters.effective_at,
        "authorityLevel": filters.authority_level,
        "sourceHolonID": filters.source,
        "targetHolonID": filters.target,
        "properties": _properties(filters.properties),
    }
