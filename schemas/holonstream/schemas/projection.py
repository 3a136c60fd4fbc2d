"""The fold: ``apply(catalogue, state, event) -> state``, pure and deterministic for a given log.

The graph sink, `verify`, as-of reads and ``holonstream fold`` all use this one function (docs/domain.md, Fold):

- events are folded in the order of the log's positions;
- an event outside its validityWindow has no effect. The window is compared with the event's own occurredAt, or in an
  as-of fold with the asked instant; there, later events have no effect either;
- an event of an older schema version is lifted to the newest first;
- an event for an entity that does not exist has no effect, unless it creates the entity;
- an event of a type that the catalogue does not know has no effect;
- an event that reaches its entity sets lastModified, even when it changes nothing else;
- an event that the state has seen (the state's version is not below its own) has no effect.

Pure: neither states nor payloads are changed. New states share with the old ones what did not change.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType

from msgspec.structs import replace

from holonstream.schemas import instant
from holonstream.schemas.catalogue import Catalogue
from holonstream.schemas.effects import Report, perform, silent
from holonstream.schemas.errors import CannotApply, UnknownEventType
from holonstream.schemas.event import AnyEvent, RecordedEvent, as_event
from holonstream.schemas.operation import Operation
from holonstream.schemas.state import State

__all__ = ["Report", "apply", "fold", "modifications", "recorded"]

EMPTY: Mapping[str, State] = MappingProxyType({})


def apply(
    catalogue: Catalogue, state: State | None, event: RecordedEvent, *, at: str | None = None, report: Report = silent
) -> State | None:
    """The state of an entity after one more event of its stream; `state` is left as it was.

    `at` is the asked instant (ISO-8601) of an as-of fold. `report` is called with what was left out of an event that
    was applied in part.
    Raises CannotApply, naming the event and its stream, when the event does not fit the state, or has a schema version
    newer than the catalogue.
    """
    if _seen(state, event):
        return state
    operations = _operations(catalogue, event, at)
    if operations:
        event = _newest(catalogue, event)
    for operation in operations:
        state = perform(catalogue, operation, state, event, report)
    if state is None:
        return None
    if state.position == event.position:
        return state  # just created, with what follows
    last_modified = event.occurred_at if operations else state.last_modified
    return replace(state, last_modified=last_modified, version=event.version, position=event.position)


def fold(
    catalogue: Catalogue,
    events: Iterable[RecordedEvent],
    *,
    states: Mapping[str, State] = EMPTY,
    at: str | None = None,
    report: Report = silent,
) -> dict[str, State]:
    """The state of every entity, by stream, after `events` in log order, from `states` on.

    `at`, `report` and errors as for `apply`.
    """
    folded = dict(states)
    for event in events:
        after = apply(catalogue, folded.get(event.stream), event, at=at, report=report)
        if after is not None:
            folded[event.stream] = after
    return folded


def recorded(
    catalogue: Catalogue, events: Iterable[AnyEvent], *, recorded_at: str | None = None
) -> Iterator[RecordedEvent]:
    """Events as a log would keep them that took them in this order, without a log. Positions count from 1.

    Raises UnknownEventType or InvalidEvent as the log would.
    """
    versions: dict[str, int] = {}
    for position, event in enumerate(map(as_event, events), 1):
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


def modifications(
    catalogue: Catalogue, events: Iterable[RecordedEvent], *, at: str | None = None
) -> dict[str, tuple[str, ...]]:
    """The ids of the events that reached each entity, by stream, from its last create on, in log order.

    States do not hold these lists, because they grow without bound.
    """
    states: dict[str, State] = {}
    reached: dict[str, list[str]] = {}
    for event in events:
        before = states.get(event.stream)
        state = apply(catalogue, before, event, at=at)
        if state is not None and state is not before:
            states[event.stream] = state
            if state.created_by == event.id:
                reached[event.stream] = [event.id]
            elif _operations(catalogue, event, at):
                reached[event.stream].append(event.id)
    return {stream: tuple(ids) for stream, ids in reached.items()}


def _seen(state: State | None, event: RecordedEvent) -> bool:
    return state is not None and event.version <= state.version


def _operations(catalogue: Catalogue, event: RecordedEvent, at: str | None) -> tuple[Operation, ...]:
    """What the event does to its entity: nothing when its type is unknown, it is not valid, or later than `at`."""
    event_type = catalogue.types.get(event.type)
    if event_type is None:
        return ()
    window = event.validity_window
    if window is None and at is None:
        return event_type.operations
    occurred = instant.parse(event.occurred_at)
    moment = occurred if at is None else instant.parse(at)
    if occurred > moment:
        return ()
    if window is not None and window.start is not None and moment < instant.parse(window.start):
        return ()
    if window is not None and window.end is not None and moment > instant.parse(window.end):
        return ()
    return event_type.operations


def _newest(catalogue: Catalogue, event: RecordedEvent) -> RecordedEvent:
    try:
        return catalogue.upcast(event)
    except UnknownEventType as error:
        raise CannotApply(f"{error} ({event.stream}, event {event.id}): is the catalogue older than the log?") from None
