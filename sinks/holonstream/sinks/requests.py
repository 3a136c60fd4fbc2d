"""Queries of the graph store as JSON: ``{"method": "queryHolonsByType", "args": ["Person", {"status": "active"}]}``.

Names and argument order are those of docs/domain.md, Queries, so that a query can be kept in a file and sent to any
store. Unknown names raise BadData: a misspelt filter would otherwise match everything.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from holonstream.schemas import instant
from holonstream.schemas.errors import BadData, InvalidEvent
from holonstream.schemas.state import Holon, Relationship
from holonstream.sinks.store import (
    HolonFilter,
    HolonPattern,
    Pattern,
    PatternMatch,
    Reached,
    RelationshipFilter,
    RelationshipPattern,
    SemanticGraphStore,
)

Answer = Sequence[Holon | Relationship | Reached | PatternMatch]

_HOLON_FILTER = {
    "status": "status",
    "createdAfter": "created_after",
    "createdBefore": "created_before",
    "properties": "properties",
}
_RELATIONSHIP_FILTER = {
    "includeEnded": "include_ended",
    "effectiveAt": "effective_at",
    "authorityLevel": "authority_level",
    "sourceHolonID": "source",
    "targetHolonID": "target",
    "properties": "properties",
}
_HOLON_PATTERN = {"type": "type", "properties": "properties", "alias": "alias"}
_RELATIONSHIP_PATTERN = {
    "type": "type",
    "sourceAlias": "source_alias",
    "targetAlias": "target_alias",
    "properties": "properties",
    "includeEnded": "include_ended",
}
_INSTANTS = {"createdAfter", "createdBefore", "effectiveAt"}
_KINDS: dict[str, type] = {"properties": dict, "includeEnded": bool}


def holon_filter(document: Mapping[str, Any] | None) -> HolonFilter | None:
    """A holon filter; None stays None. Raises BadData."""
    return None if document is None else HolonFilter(**_fields(document, _HOLON_FILTER, "holon filter"))


def relationship_filter(document: Mapping[str, Any] | None) -> RelationshipFilter | None:
    """A relationship filter; None stays None. Raises BadData."""
    if document is None:
        return None
    return RelationshipFilter(**_fields(document, _RELATIONSHIP_FILTER, "relationship filter"))


def pattern(document: Mapping[str, Any]) -> Pattern:
    """A pattern. Raises BadData."""
    parts = _fields(document, {"holonPatterns": "holons", "relationshipPatterns": "relationships"}, "pattern")
    return Pattern(
        tuple(HolonPattern(**_fields(h, _HOLON_PATTERN, "holon pattern")) for h in parts.get("holons", ())),
        tuple(
            RelationshipPattern(**_fields(r, _RELATIONSHIP_PATTERN, "relationship pattern"))
            for r in parts.get("relationships", ())
        ),
    )


async def ask(store: SemanticGraphStore, method: str, args: Sequence[Any]) -> Answer:
    """A store's answer to a query given as JSON values; that of ``getHolon`` is a list of one or none.

    Raises BadData when there is no such query, and what the store raises.
    """
    given = [*args, None, None, None, None]

    async def one() -> Answer:
        holon = await store.get_holon(given[0])
        return [] if holon is None else [holon]

    queries: dict[str, Callable[[], Awaitable[Answer]]] = {
        "getHolon": one,
        "queryHolonsByType": lambda: store.query_holons_by_type(given[0], holon_filter(given[1])),
        "getAllHolons": store.get_all_holons,
        "getHolonRelationships": lambda: store.get_holon_relationships(given[0]),
        "traverseRelationships": lambda: store.traverse_relationships(
            given[0], given[1], given[2] or "both", relationship_filter(given[3])
        ),
        "queryRelationshipsByType": lambda: store.query_relationships_by_type(given[0], relationship_filter(given[1])),
        "getAllRelationships": store.get_all_relationships,
        "getConnectedHolons": lambda: store.get_connected_holons(
            given[0], given[1], given[2] or "both", relationship_filter(given[3])
        ),
        "matchPattern": lambda: store.match_pattern(pattern(given[0] or {})),
    }
    if method not in queries:
        raise BadData(f"Unknown query: {method!r} (there are {', '.join(queries)})")
    return await queries[method]()


def ids(answer: Answer) -> list[str]:
    """The ids of an answer, in order: of a pattern's matches those of the first holons, each once."""
    return list(dict.fromkeys(_id(item) for item in answer))


def _id(item: Holon | Relationship | Reached | PatternMatch) -> str:
    match item:
        case Reached(holon=holon):
            return holon.id
        case PatternMatch(holons=holons):
            return next(iter(holons.values())).id
        case _:
            return item.id


def _fields(document: Any, names: Mapping[str, str], what: str) -> dict[str, Any]:
    if not isinstance(document, Mapping):
        raise BadData(f"Not a {what}: {document!r} is no JSON object")
    fields: dict[str, Any] = {}
    for name, value in document.items():
        if name not in names:
            raise BadData(f"Unknown part of a {what}: {name!r} (there are {', '.join(names)})")
        kind: type = list if name.endswith("Patterns") else _KINDS.get(name, str)
        if value is None:
            continue
        if not isinstance(value, kind):
            raise BadData(f"Invalid {what}: {name} is {value!r}, expected {kind.__name__}")
        if name in _INSTANTS:
            try:
                value = instant.canonical(str(value))
            except InvalidEvent as error:
                raise BadData(f"Invalid {what}: {name}: {error}") from None
        fields[names[name]] = value
    return fields
