"""The JSON of the read API: how answers are written, and their schemas for OpenAPI.

The models describe answers and are never filled: a state or an event becomes JSON values by the same functions as
everywhere else, so that numbers of any size stay what they are.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel
from starlette.responses import Response

from holonstream.schemas import jsontext
from holonstream.schemas.state import Holon, Relationship, State, holon_document, relationship_document

T = TypeVar("T")

AT = "2024-03-01T08:00:00.000Z"
ADA: dict[str, Any] = {
    "id": "ada",
    "type": "Person",
    "properties": {"name": "Ada", "rank": "O-3"},
    "status": "active",
    "createdAt": AT,
    "createdBy": "hr",
    "sourceDocuments": [],
    "lastModified": AT,
    "version": 1,
    "position": 17,
}
OCCUPIES: dict[str, Any] = {
    "id": "ada-chief",
    "type": "OCCUPIES",
    "source": "ada",
    "target": "chief",
    "properties": {},
    "effectiveStart": AT,
    "effectiveEnd": None,
    "authorityLevel": "authoritative",
    "confidenceScore": 1,
    "sourceSystem": "hr",
    "sourceDocuments": [],
    "createdBy": "hr",
    "lastModified": AT,
    "version": 1,
    "position": 18,
}
CREATED: dict[str, Any] = {
    "id": "0192f0c1-7c1e-7000-8000-000000000001",
    "type": "PersonCreated",
    "schemaVersion": 1,
    "occurredAt": AT,
    "recordedAt": AT,
    "actor": "hr",
    "subjects": ["ada"],
    "sourceSystem": "hr",
    "payload": {"name": "Ada", "rank": "O-3"},
    "stream": "holon/ada",
    "version": 1,
    "position": 17,
}


class Document(BaseModel):
    """Base of the schemas: names are camelCase."""

    model_config = ConfigDict(alias_generator=to_camel)


class HolonDocument(Document):
    """A holon: a node of the graph."""

    model_config = ConfigDict(json_schema_extra={"example": ADA})
    id: str
    type: str
    properties: dict[str, Any]
    status: str
    created_at: str
    created_by: str
    source_documents: list[str]
    last_modified: str
    version: int = Field(description="Of its last event: 1, 2, 3 ...")
    position: int = Field(description="Of its last event in the log.")


class RelationshipDocument(Document):
    """A relationship, ended or not. Its ends need not exist as holons."""

    model_config = ConfigDict(json_schema_extra={"example": OCCUPIES})
    id: str
    type: str
    source: str
    target: str
    properties: dict[str, Any]
    effective_start: str
    effective_end: str | None = Field(description="Null while it is open.")
    authority_level: str
    confidence_score: Any
    source_system: str
    source_documents: list[str]
    created_by: str
    last_modified: str
    version: int
    position: int


class EventDocument(Document):
    """An event of the log: its envelope, and its place. Optional fields that are absent are left out."""

    model_config = ConfigDict(json_schema_extra={"example": CREATED})
    id: str
    type: str
    schema_version: int
    occurred_at: str
    recorded_at: str
    actor: str
    subjects: list[str]
    source_system: str
    payload: dict[str, Any]
    stream: str
    version: int
    position: int
    source_document: str = ""
    validity_window: dict[str, str] = {}
    causal_links: dict[str, Any] = {}
    traceparent: str = ""


class ReachedDocument(Document):
    """A holon that a traversal reached."""

    holon: HolonDocument
    depth: int = Field(description="Hops from the start, at least 1.")


class MatchDocument(Document):
    """One way to fit a pattern."""

    holons: dict[str, HolonDocument] = Field(description="By alias.")
    relationships: list[RelationshipDocument] = Field(description="One for each relationship pattern, in order.")


class Holons(Document):
    """A page of holons."""

    items: list[HolonDocument]
    next: str | None = Field(description="`after` of the next page; null on the last one.")


class Modifications(Document):
    """A page of the ids of events, in log order."""

    items: list[str]
    next: str | None = Field(description="`after` of the next page; null on the last one.")


class Relationships(Document):
    """A page of relationships."""

    items: list[RelationshipDocument]
    next: str | None = Field(description="`after` of the next page; null on the last one.")


class ReachedHolons(Document):
    """What a traversal reached, by depth, then id."""

    items: list[ReachedDocument]


class Matches(Document):
    """The ways to fit a pattern."""

    items: list[MatchDocument]


class UnreadableDocument(Document):
    """An event that cannot be read."""

    position: int
    fault: str


class Events(Document):
    """A page of events, in log order."""

    items: list[EventDocument]
    unreadable: list[UnreadableDocument] = Field(description="Events of the page that cannot be read.")
    next: int | None = Field(description="`after` of the next page; null when there is no more now.")


class HolonPatternDocument(Document):
    """A holon of a pattern; without alias it is bound to its place in the list: "0", "1" ..."""

    model_config = ConfigDict(extra="forbid")
    type: str | None = None
    properties: dict[str, Any] | None = None
    alias: str | None = None


class RelationshipPatternDocument(Document):
    """A relationship of a pattern, between the holons bound to its aliases."""

    model_config = ConfigDict(extra="forbid")
    type: str | None = None
    source_alias: str | None = None
    target_alias: str | None = None
    properties: dict[str, Any] | None = None
    include_ended: bool | None = None


class PatternDocument(Document):
    """All of it must hold at once; an alias used twice is the same holon."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "example": {
                "holonPatterns": [{"type": "Person", "alias": "who"}, {"type": "Position", "alias": "post"}],
                "relationshipPatterns": [{"type": "OCCUPIES", "sourceAlias": "who", "targetAlias": "post"}],
            }
        },
    )
    holon_patterns: list[HolonPatternDocument] | None = Field(None, max_length=8)
    relationship_patterns: list[RelationshipPatternDocument] | None = Field(None, max_length=8)


class Problem(Document):
    """An error (RFC 9457)."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "type": "urn:holonstream:not-yet-visible",
                "title": "A read with a token reached its deadline before the view reached the token",
                "status": 409,
                "detail": "Not yet visible: holon/ada at position 17; the view has reached 12 after 2.000 s",
                "stream": "holon/ada",
                "wanted": 17,
                "reached": 12,
                "parked": False,
            }
        }
    )
    type: str
    title: str
    status: int
    detail: str
    reached: int | None = Field(None, description="Position that the view or the log has reached: 404 and 409.")
    parked: bool | None = Field(
        None, description="Whether the token's stream is parked, so that asking again does not help: 409."
    )


def state_document(state: State) -> dict[str, Any]:
    """A state as JSON values, with its position."""
    document = holon_document(state) if isinstance(state, Holon) else relationship_document(state)
    return {**document, "position": state.position}


def answer(document: Any) -> Response:
    """A JSON response."""
    return Response(jsontext.encode(document), media_type="application/json")


def page(states: list[Holon] | list[Relationship], limit: int) -> Response:
    """A page that was asked for with one state more than `limit`, to know whether there is another page."""
    shown = states[:limit]
    return answer({"items": documents(shown), "next": shown[-1].id if len(states) > limit else None})


def documents(states: Iterable[State]) -> list[dict[str, Any]]:
    """States as JSON values."""
    return [state_document(state) for state in states]
