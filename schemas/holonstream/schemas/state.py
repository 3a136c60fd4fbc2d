"""The two kinds of entity (docs/domain.md, State), as the fold makes them and readers get them.

States are values: neither they nor their properties are ever changed in place. Instants are canonical text.
``version`` and ``position`` are those of the last event of the entity's stream, effect or not.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

HOLON = "holon"
RELATIONSHIP = "relationship"


class Holon(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A node."""

    id: str
    type: str
    properties: dict[str, Any]
    status: str
    created_at: str
    created_by: str
    source_documents: tuple[str, ...]
    last_modified: str
    version: int
    position: int


class Relationship(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """An edge. Its ends need not exist as holons. ``effective_end`` is None while it is open."""

    id: str
    type: str
    source: str
    target: str
    properties: dict[str, Any]
    effective_start: str
    effective_end: str | None
    authority_level: str
    confidence_score: Any
    source_system: str
    source_documents: tuple[str, ...]
    created_by: str
    last_modified: str
    version: int
    position: int


State = Holon | Relationship


def stream_of(kind: str, entity_id: str) -> str:
    """The name of an entity's stream: ``holon/org-1``."""
    return f"{kind}/{entity_id}"


def holon_document(holon: Holon) -> dict[str, Any]:
    """A holon as canonical JSON values."""
    return {
        "id": holon.id,
        "type": holon.type,
        "properties": holon.properties,
        "status": holon.status,
        "createdAt": holon.created_at,
        "createdBy": holon.created_by,
        "sourceDocuments": list(holon.source_documents),
        "lastModified": holon.last_modified,
        "version": holon.version,
    }


def relationship_document(relationship: Relationship) -> dict[str, Any]:
    """A relationship as canonical JSON values."""
    return {
        "id": relationship.id,
        "type": relationship.type,
        "source": relationship.source,
        "target": relationship.target,
        "properties": relationship.properties,
        "effectiveStart": relationship.effective_start,
        "effectiveEnd": relationship.effective_end,
        "authorityLevel": relationship.authority_level,
        "confidenceScore": relationship.confidence_score,
        "sourceSystem": relationship.source_system,
        "sourceDocuments": list(relationship.source_documents),
        "createdBy": relationship.created_by,
        "lastModified": relationship.last_modified,
        "version": relationship.version,
    }


def canonical_graph(holons: Iterable[Holon], relationships: Iterable[Relationship]) -> dict[str, list[dict[str, Any]]]:
    """The whole state as JSON values, sorted by id.

    Positions are left out: they are the log's, and `fold` of a file has no log.
    """
    return {
        "holons": [holon_document(h) for h in sorted(holons, key=lambda h: h.id)],
        "relationships": [relationship_document(r) for r in sorted(relationships, key=lambda r: r.id)],
    }
