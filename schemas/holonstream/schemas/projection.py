"""The fold: ``apply(catalogue, state, event) -> state``, pure and deterministic for a given log.

The graph sink, `verify`, as-of reads and ``holonstream fold`` all use this one function. It follows the domain
catalogue, section 3, with "ours" where the reference is broken:

- events are folded in the order of the log's positions;
- an event outside its validityWindow has no effect; the window is held against the event's own occurredAt, or against
  the asked instant in an as-of fold, where later events have no effect either;
- an event of an older schema version is lifted to the newest first;
- an event for an entity that is not there, and that does not create it, has no effect;
- an event of a type that the catalogue does not know has no effect;
- an event that reaches its entity moves lastModified, even when it changes nothing else;
- an event that the state has seen (its version says so) has no effect, so a replay of any suffix changes nothing.

Inputs are values: neither states nor payloads are ever changed, new states share what did not change with the old.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from types import MappingProxyType

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

    `at` is the asked instant (ISO-8601) of an as-of fold. `report` is told what was left out of an event that applies
    in part.
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
        return state  # just created: it has all of what follows
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
    """Events as a log that took them in this order would keep them, without a log: positions count from 1.

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

    States do not hold these lists, which grow without bound: the log has them.
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
    """What the event does to its entity: nothing when it is unknown, not valid, or later than the asked instant."""
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
