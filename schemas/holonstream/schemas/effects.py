"""What one operation of ``x-projection`` does to the state of an entity (docs/domain.md, Operations).

Pure: neither the state nor the payload is ever changed; new states share what did not change with the old.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, assert_never

from msgspec.structs import replace

from holonstream.schemas import instant, jsontext
from holonstream.schemas.catalogue import Catalogue
from holonstream.schemas.errors import CannotApply, InvalidEvent
from holonstream.schemas.event import RecordedEvent
from holonstream.schemas.operation import (
    ABSENT,
    AppendToList,
    Const,
    CorrectRelationship,
    CreateHolon,
    CreateRelationship,
    EndRelationship,
    EnvelopeField,
    Expression,
    FirstPresent,
    Object,
    Operation,
    PatchHolon,
    PayloadField,
    PutInMap,
    SetPresent,
    SetProperty,
    SetStatus,
    present,
)
from holonstream.schemas.state import Holon, Relationship, State

Report = Callable[[str], None]
"""Called with a line of text about an event that was applied in part."""


def silent(line: str) -> None:
    """Ignore the line."""


def perform(
    catalogue: Catalogue, operation: Operation, state: State | None, event: RecordedEvent, report: Report
) -> State | None:
    """The state after one operation. Only a new state has lastModified, version and position of the event.

    Raises CannotApply, naming the event and its stream.
    """
    match operation:
        case CreateHolon():
            return _create_holon(catalogue, operation, event)
        case CreateRelationship():
            return _create_relationship(catalogue, state, event)
        case SetPresent(otherwise=CreateHolon() as create) if state is None:
            return _create_holon(catalogue, create, event)
    if state is None:
        return None
    payload = event.payload
    match operation:
        case PatchHolon(sources):
            return _with_properties(state, _object(event, _first_present(payload, sources)))
        case SetStatus(status):
            assert isinstance(state, Holon)
            return replace(state, status=status)
        case SetPresent(keys):
            return _with_properties(state, {k: payload[k] for k in keys if present(payload.get(k))})
        case SetProperty(name, expression, if_present):
            value = _evaluate(expression, event)
            if value is ABSENT or (if_present and _first_present(payload, if_present) is ABSENT):
                return state
            return _with_properties(state, {name: value})
        case PutInMap(name, key_field, expression):
            return _put_in_map(state, event, name, payload.get(key_field), expression, report)
        case AppendToList(name, expression):
            return _append_to_list(state, event, name, expression)
        case EndRelationship():
            assert isinstance(state, Relationship)
            return replace(state, effective_end=_end(event))
        case CorrectRelationship():
            return _with_properties(state, _object(event, payload.get("corrections")))
        case _:
            assert_never(operation)


def _create_holon(catalogue: Catalogue, operation: CreateHolon, event: RecordedEvent) -> Holon:
    payload = event.payload
    if not event.subjects:
        raise CannotApply(f"Missing subject: {_named(event)} creates a holon without id")
    properties = {k: v for k, v in payload.items() if k not in ("holonType", "type", "properties")}
    holon_type = operation.type
    declared = payload.get("type")
    if isinstance(declared, str) and declared in catalogue.holon_types:
        holon_type = declared
    elif "type" in payload:
        properties["type"] = declared  # a subtype such as "squadron", not the holon's type
    named = payload.get("holonType")
    if present(named):
        if not isinstance(named, str) or named not in catalogue.holon_types:
            raise CannotApply(f"Unknown holon type: {named!r} in {_named(event)}")
        holon_type = named
    properties |= _object(event, payload.get("properties"))
    return Holon(
        id=event.subjects[0],
        type=holon_type,
        properties=properties,
        status="active",
        created_at=event.occurred_at,
        created_by=event.id,
        source_documents=_source_documents(event),
        last_modified=event.occurred_at,
        version=event.version,
        position=event.position,
    )


def _create_relationship(catalogue: Catalogue, state: State | None, event: RecordedEvent) -> State | None:
    payload = event.payload
    identity = payload.get("relationshipId")
    if not present(identity):
        return state
    relationship_type = payload.get("relationshipType")
    if not isinstance(relationship_type, str) or relationship_type not in catalogue.relationship_types:
        raise CannotApply(f"Unknown relationship type: {relationship_type!r} in {_named(event)}")
    if len(event.subjects) < 2:
        raise CannotApply(f"Missing end: {_named(event)} has subjects {list(event.subjects)}")
    authority = payload.get("authorityLevel")
    confidence = payload.get("confidenceScore")
    if not isinstance(identity, str) or (present(authority) and not isinstance(authority, str)):
        raise CannotApply(f"Not a string: relationshipId {identity!r}, authorityLevel {authority!r} in {_named(event)}")
    if isinstance(confidence, dict | list):
        raise CannotApply(f"Not a number: confidenceScore {confidence!r} in {_named(event)}")
    return Relationship(
        id=identity,
        type=relationship_type,
        source=event.subjects[0],
        target=event.subjects[1],
        properties=dict(_object(event, payload.get("properties"))),
        effective_start=event.occurred_at,
        effective_end=None,
        authority_level=authority or "authoritative",
        confidence_score=confidence,
        source_system=event.source_system,
        source_documents=_source_documents(event),
        created_by=event.id,
        last_modified=event.occurred_at,
        version=event.version,
        position=event.position,
    )


def _put_in_map(
    state: State, event: RecordedEvent, name: str, key: Any, expression: Expression, report: Report
) -> State:
    entries = state.properties.get(name)
    if present(entries) and not isinstance(entries, dict):
        report(f"Left {name!r} as it is: no object but {type(entries).__name__}, at {_named(event)}")
        return state
    entries = dict(entries or {})
    if present(key):
        if isinstance(key, dict | list):
            raise CannotApply(f"Not a key for {name!r}: {key!r} in {_named(event)}")
        value = _evaluate(expression, event)
        if value is not ABSENT:
            entries[key if isinstance(key, str) else jsontext.encode(key).decode()] = value
    return _with_properties(state, {name: entries})


def _append_to_list(state: State, event: RecordedEvent, name: str, expression: Expression) -> State:
    entries = state.properties.get(name)
    if present(entries) and not isinstance(entries, list):
        raise CannotApply(f"Cannot append to {name!r}: no list but {type(entries).__name__}, at {_named(event)}")
    value = _evaluate(expression, event)
    added = () if value is ABSENT else (value,)
    return _with_properties(state, {name: [*(entries or ()), *added]})


def _with_properties(state: State, changes: dict[str, Any]) -> State:
    return replace(state, properties={**state.properties, **changes})


def _first_present(payload: dict[str, Any], names: Iterable[str]) -> Any:
    return next((payload[name] for name in names if present(payload.get(name))), ABSENT)


def _object(event: RecordedEvent, value: Any) -> dict[str, Any]:
    """The value as an object, empty when it is not present."""
    if isinstance(value, dict):
        return value
    if present(value):
        raise CannotApply(f"Not an object: {str(value)[:80]!r} in {_named(event)}")
    return {}


def _end(event: RecordedEvent) -> str:
    end: Any = event.payload.get("endDate")
    if not present(end):
        return event.occurred_at
    try:
        return instant.canonical(end)
    except InvalidEvent as error:
        raise CannotApply(f"{error} in endDate of {_named(event)}") from None


def _source_documents(event: RecordedEvent) -> tuple[str, ...]:
    return () if event.source_document is None else (event.source_document,)


def _named(event: RecordedEvent) -> str:
    """The event in a message."""
    return f"{event.type} (event {event.id}, {event.stream} version {event.version})"


def _evaluate(expression: Expression, event: RecordedEvent) -> Any:
    match expression:
        case Const(value):
            return value
        case EnvelopeField(field):
            return {"id": event.id, "type": event.type, "occurredAt": event.occurred_at}[field]
        case PayloadField(field):
            return event.payload.get(field, ABSENT)
        case FirstPresent(fields, otherwise):
            value = _first_present(event.payload, fields)
            return _evaluate(otherwise, event) if value is ABSENT and otherwise is not None else value
        case Object(members):
            values = ((key, _evaluate(member, event)) for key, member in members)
            return {key: value for key, value in values if value is not ABSENT}
        case _:
            assert_never(expression)
