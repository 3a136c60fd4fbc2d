"""The fold: ``apply(catalogue, state, event) -> state``, pure and deterministic for a given log.

The graph sink, `verify`, as-of reads and ``holonstream fold`` all use this one function. It follows the domain
catalogue, section 3, with "ours" where the reference is broken:

- events are folded in the order of the log's positions;
- an event outside its validityWindow has no effect; the window is held against the event's own occurredAt, or against
  the asked instant in an as-of fold;
- an event for an entity that is not there, and that does not create it, has no effect;
- an event of a type that the catalogue does not know has no effect.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Any, assert_never

from schemas import instant
from schemas.catalogue import Catalogue
from schemas.errors import CannotApply, InvalidEvent, UnknownEventType
from schemas.event import Event, RecordedEvent
from schemas.operation import (
    ABSENT,
    AppendToList,
    Const,
    CorrectRelationship,
    CreateHolon,
    CreateRelationship,
    EndRelationship,
    Envelope,
    Expression,
    FirstPresent,
    Object,
    Operation,
    PatchHolon,
    Payload,
    PutInMap,
    SetPresent,
    SetProperty,
    SetStatus,
    present,
)
from schemas.state import Holon, Relationship, State

Report = Callable[[str], None]
"""Takes one line about an event that was applied in part."""


def _silent(line: str) -> None:
    pass


def apply(
    catalogue: Catalogue, state: State | None, event: RecordedEvent, *, at: str | None = None, report: Report = _silent
) -> State | None:
    """The state of an entity after one more event of its stream; `state` is left as it was.

    `at` is the asked instant of an as-of fold. `report` is told what was left out of an event that applies in part.
    Raises CannotApply, naming event and state, when the event does not fit the state.
    """
    try:
        event_type = catalogue.get(event.type, event.schema_version)
    except UnknownEventType:
        return _placed(state, event)
    if not _valid(event, at):
        return _placed(state, event)
    before = state
    for operation in event_type.operations:
        state = _perform(catalogue, operation, state, event, report)
    if event_type.operations and state is before and state is not None:
        state = replace(state, last_modified=event.occurred_at)  # it was reached, though nothing changed
    return _placed(state, event)


def fold(
    catalogue: Catalogue, events: Iterable[RecordedEvent], *, at: str | None = None, report: Report = _silent
) -> dict[str, State]:
    """The state of every entity, by stream, after `events` in log order."""
    states: dict[str, State] = {}
    for event in events:
        after = apply(catalogue, states.get(event.stream), event, at=at, report=report)
        if after is not None:
            states[event.stream] = after
    return states


def recorded(catalogue: Catalogue, events: Iterable[Event], *, recorded_at: str | None = None) -> Iterator[RecordedEvent]:
    """Events as a log that took them in this order would keep them, without a log: positions count from 1.

    Raises UnknownEventType or InvalidEvent as the log would.
    """
    versions: dict[str, int] = {}
    for position, event in enumerate(events, 1):
        stream = catalogue.validate(event)
        versions[stream] = version = versions.get(stream, 0) + 1
        yield RecordedEvent(
            id=event.id or f"event-{position}",
            type=event.type,
            schema_version=event.schema_version or catalogue.get(event.type).version,
            occurred_at=event.occurred_at,
            recorded_at=recorded_at or event.occurred_at,
            actor=event.actor,
            subjects=event.subjects,
            source_system=event.source_system,
            payload=event.payload,
            stream=stream,
            version=version,
            position=position,
            source_document=event.source_document,
            validity_window=event.validity_window,
            causal_links=event.causal_links,
            traceparent=event.traceparent,
        )


def _valid(event: RecordedEvent, at: str | None) -> bool:
    window = event.validity_window
    if window is None:
        return True
    moment = instant.parse(at or event.occurred_at)
    if window.start is not None and moment < instant.parse(window.start):
        return False
    return window.end is None or moment <= instant.parse(window.end)


def _placed(state: State | None, event: RecordedEvent) -> State | None:
    """The state moved on to the event's place in its stream: an event counts there whether it had an effect or not."""
    return state and replace(state, version=event.version, position=event.position)


def _perform(
    catalogue: Catalogue, operation: Operation, state: State | None, event: RecordedEvent, report: Report
) -> State | None:
    match operation:
        case CreateHolon():
            return _create_holon(catalogue, operation, event)
        case CreateRelationship():
            return _create_relationship(catalogue, event)
        case SetPresent(otherwise=CreateHolon() as create) if state is None:
            return _create_holon(catalogue, create, event)
    if state is None:
        return None
    payload = event.payload
    match operation:
        case PatchHolon(sources):
            return _with_properties(state, event, _object(event, _first_present(payload, sources)))
        case SetStatus(status):
            assert isinstance(state, Holon)
            return replace(state, status=status, last_modified=event.occurred_at)
        case SetPresent(keys):
            return _with_properties(state, event, {k: payload[k] for k in keys if present(payload.get(k))})
        case SetProperty(name, expression):
            value = _evaluate(expression, event)
            return state if value is ABSENT else _with_properties(state, event, {name: value})
        case PutInMap(name, key_field, expression):
            return _put_in_map(state, event, name, payload.get(key_field), expression, report)
        case AppendToList(name, expression):
            entries = state.properties.get(name)
            if present(entries) and not isinstance(entries, list):
                raise CannotApply(
                    f"Cannot append to {name!r} of {event.stream}: it is no list but {type(entries).__name__} "
                    f"({event.type}, event {event.id}, version {event.version})"
                )
            return _with_properties(state, event, {name: [*(entries or ()), _evaluate(expression, event)]})
        case EndRelationship():
            assert isinstance(state, Relationship)
            return replace(state, effective_end=_end(event), last_modified=event.occurred_at)
        case CorrectRelationship():
            return _with_properties(state, event, _object(event, payload.get("corrections")))
        case _:
            assert_never(operation)


def _create_holon(catalogue: Catalogue, operation: CreateHolon, event: RecordedEvent) -> Holon:
    payload = event.payload
    if not event.subjects:
        raise CannotApply(f"Missing subject: {event.type} (event {event.id}) creates a holon without id")
    holon_type = payload.get("holonType")
    declared = payload.get("type")
    properties = {k: v for k, v in payload.items() if k not in ("holonType", "type", "properties")}
    if present(holon_type):
        if holon_type not in catalogue.holon_types:
            raise CannotApply(f"Unknown holon type: {holon_type!r} ({event.type}, event {event.id}, {event.stream})")
    elif isinstance(declared, str) and declared in catalogue.holon_types:
        holon_type = declared
    else:
        holon_type = operation.type
    if "type" in payload and not (isinstance(declared, str) and declared in catalogue.holon_types):
        properties["type"] = declared  # a subtype such as "squadron", not the holon's type
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


def _create_relationship(catalogue: Catalogue, event: RecordedEvent) -> Relationship:
    payload = event.payload
    relationship_type = payload.get("relationshipType")
    if relationship_type not in catalogue.relationship_types:
        raise CannotApply(f"Unknown relationship type: {relationship_type!r} ({event.type}, event {event.id}, {event.stream})")
    if len(event.subjects) < 2:
        raise CannotApply(f"Missing end: {event.type} (event {event.id}, {event.stream}) has subjects {list(event.subjects)}")
    authority = payload.get("authorityLevel")
    return Relationship(
        id=payload["relationshipId"],
        type=relationship_type,
        source=event.subjects[0],
        target=event.subjects[1],
        properties=_object(event, payload.get("properties")),
        effective_start=event.occurred_at,
        effective_end=None,
        authority_level=authority if present(authority) else "authoritative",
        confidence_score=payload.get("confidenceScore"),
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
        report(
            f"Left {name!r} of {event.stream} as it is: no object but {type(entries).__name__} "
            f"({event.type}, event {event.id}, version {event.version})"
        )
        return state
    entries = dict(entries or {})
    if present(key):
        entries[str(key)] = _evaluate(expression, event)
    return _with_properties(state, event, {name: entries})


def _with_properties(state: State, event: RecordedEvent, changes: dict[str, Any]) -> State:
    return replace(state, properties={**state.properties, **changes}, last_modified=event.occurred_at)


def _first_present(payload: dict[str, Any], names: Iterable[str]) -> Any:
    return next((payload[name] for name in names if present(payload.get(name))), ABSENT)


def _object(event: RecordedEvent, value: Any) -> dict[str, Any]:
    """The value as an object, empty when it is not present."""
    if isinstance(value, dict):
        return value
    if present(value):
        raise CannotApply(f"Not an object: {value!r} ({event.type}, event {event.id}, {event.stream})")
    return {}


def _end(event: RecordedEvent) -> str:
    end = event.payload.get("endDate")
    if not present(end):
        return event.occurred_at
    try:
        return instant.canonical(end)
    except InvalidEvent as error:
        raise CannotApply(f"{error} in endDate ({event.type}, event {event.id}, {event.stream})") from None


def _source_documents(event: RecordedEvent) -> tuple[str, ...]:
    return () if event.source_document is None else (event.source_document,)


def _evaluate(expression: Expression, event: RecordedEvent) -> Any:
    match expression:
        case Const(value):
            return value
        case Envelope(field):
            return {"id": event.id, "type": event.type, "occurredAt": event.occurred_at}[field]
        case Payload(field):
            return event.payload.get(field, ABSENT)
        case FirstPresent(fields, otherwise):
            value = _first_present(event.payload, fields)
            return _evaluate(otherwise, event) if value is ABSENT and otherwise is not None else value
        case Object(members):
            values = ((key, _evaluate(member, event)) for key, member in members)
            return {key: value for key, value in values if value is not ABSENT}
        case _:
            assert_never(expression)
