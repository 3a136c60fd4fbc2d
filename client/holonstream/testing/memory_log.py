"""The event log in memory: an `EventStore` with the checks, answers and errors of the one in PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from threading import Lock
from typing import Any
from uuid import UUID

import msgspec

from holonstream.producers.errors import EventIdConflict, WrongExpectedVersion
from holonstream.producers.log.append import Appended, encode_events
from holonstream.schemas import instant, jsontext
from holonstream.schemas.catalogue import Catalogue
from holonstream.schemas.errors import BadData, InvalidEvent
from holonstream.schemas.event import AnyEvent, RecordedEvent, ValidityWindow
from holonstream.schemas.state import HOLON, stream_of
from holonstream.testing.envelope_check import MAX_BYTES, check_envelope, check_expected


class MemoryEventStore:
    """A log in memory, empty at first. Safe for use by several threads.

    It has no transactions: every append is committed on return. What a service does within one is tested against
    PostgreSQL (docs/testing.md).
    """

    def __init__(self, catalogue: Catalogue, *, max_event_bytes: int = MAX_BYTES) -> None:
        """For the event types of a catalogue. A larger event is refused, as where the topic takes no larger records."""
        self._catalogue, self._max_event_bytes = catalogue, max_event_bytes
        self._events: list[RecordedEvent] = []
        self._by_id: dict[str, RecordedEvent] = {}
        self._streams: dict[str, list[RecordedEvent]] = {}
        self._lock = Lock()

    def append(
        self, events: Sequence[AnyEvent], *, expected: Mapping[str, int] | None = None, connection: None = None
    ) -> list[Appended]:
        """See `EventStore.append`. Raises TypeError when it is given a connection."""
        if connection is not None:
            raise TypeError("The log in memory takes no connection: test transactions against PostgreSQL")
        envelopes = _decoded(encode_events(events, self._catalogue))
        check_expected(expected or {})
        for number, envelope in enumerate(envelopes, 1):
            check_envelope(envelope, number, self._catalogue, self._max_event_bytes)
        incoming = [self._recorded(envelope) for envelope in envelopes]
        with self._lock:
            new = self._without_repetitions(incoming)
            if new:
                self._check_expected(expected or {})
            for event in new:
                self._write(event)
            return [_place(self._by_id[event.id]) for event in incoming]

    def get_event(self, event_id: str | UUID) -> RecordedEvent | None:
        """See `EventStore.get_event`."""
        try:
            return self._by_id.get(str(UUID(str(event_id))))
        except ValueError:
            raise InvalidEvent(f"Not an event id: {event_id!r} is not a UUID") from None

    def get_events(
        self,
        *,
        type: str | Iterable[str] | None = None,
        start_time: str | None = None,
        end_time: str | None = None,
        actor: str | None = None,
        subjects: str | Iterable[str] | None = None,
        after: int = 0,
        limit: int | None = None,
    ) -> Iterator[RecordedEvent]:
        """See `EventStore.get_events`."""
        types = None if type is None else {type} if isinstance(type, str) else set(type)
        start = None if start_time is None else instant.parse(start_time)
        end = None if end_time is None else instant.parse(end_time)
        about = None if subjects is None else {subjects} if isinstance(subjects, str) else set(subjects)
        found = (
            event
            for event in self.read(after)
            if (types is None or event.type in types)
            and (start is None or instant.parse(event.occurred_at) >= start)
            and (end is None or instant.parse(event.occurred_at) <= end)
            and (actor is None or event.actor == actor)
            and (about is None or not about.isdisjoint(event.subjects))
        )
        return iter(list(found)[: None if limit is None else max(limit, 0)])

    def read(self, after_position: int = 0, until: int | None = None) -> Iterator[RecordedEvent]:
        """See `EventStore.read`."""
        until = None if until is None else max(until, 0)
        return iter(self._events[max(after_position, 0) : until])  # the event at position n is the n-th

    def read_stream(self, stream: str, after_version: int = 0) -> Iterator[RecordedEvent]:
        """See `EventStore.read_stream`."""
        return iter(self._streams.get(stream, [])[max(after_version, 0) :])

    def head(self) -> int:
        """See `EventStore.head`."""
        return len(self._events)

    def close(self) -> None:
        """Nothing to close."""

    def _recorded(self, envelope: Mapping[str, Any]) -> RecordedEvent:
        """The event of a checked envelope, as yet without a place."""
        kind = self._catalogue.get(envelope["type"], envelope["schemaVersion"]).stream_kind
        payload = envelope.get("payload") or {}
        window = envelope.get("validityWindow")
        return RecordedEvent(
            id=envelope["id"].lower(),
            type=envelope["type"],
            schema_version=envelope["schemaVersion"],
            occurred_at=instant.canonical(envelope["occurredAt"]),
            recorded_at="",
            actor=envelope["actor"],
            subjects=tuple(envelope["subjects"]),
            source_system=envelope["sourceSystem"],
            payload=payload,
            stream=stream_of(kind, envelope["subjects"][0] if kind == HOLON else payload["relationshipId"]),
            version=0,
            position=0,
            source_document=envelope.get("sourceDocument"),
            validity_window=None if window is None else msgspec.convert(window, ValidityWindow),
            causal_links=envelope.get("causalLinks") or {},
            traceparent=envelope.get("traceparent"),
        )

    def _without_repetitions(self, incoming: Sequence[RecordedEvent]) -> list[RecordedEvent]:
        """The events that are to be written, each id once. Raises EventIdConflict."""
        for event in incoming:
            kept = self._by_id.get(event.id)
            if kept is not None and _content(kept) != _content(event):
                raise EventIdConflict(
                    f"Event id conflict: {event.id} ({event.type}, stream {event.stream}) is in the log with other "
                    f"content: stream {kept.stream} version {kept.version}, position {kept.position}"
                )
        first: dict[str, tuple[int, RecordedEvent]] = {}
        for number, event in enumerate(incoming, 1):
            first_number, first_event = first.setdefault(event.id, (number, event))
            if first_number != number and _content(first_event) != _content(event):
                raise EventIdConflict(
                    f"Event id conflict: {event.id} ({event.type}, stream {event.stream}) comes twice in one call with "
                    f"different content: numbers {first_number} and {number}"
                )
        return [event for _, event in first.values() if event.id not in self._by_id]

    def _check_expected(self, expected: Mapping[str, int]) -> None:
        for stream, version in sorted(expected.items()):
            actual = len(self._streams.get(stream, ()))
            if version != actual:
                raise WrongExpectedVersion(stream, version, actual)

    def _write(self, event: RecordedEvent) -> None:
        stream = self._streams.setdefault(event.stream, [])
        now = instant.now()
        event = msgspec.structs.replace(
            event,
            recorded_at=now[:23] + "Z",  # whole milliseconds
            version=len(stream) + 1,
            position=len(self._events) + 1,
        )
        stream.append(event)
        self._events.append(event)
        self._by_id[event.id] = event


def _decoded(text: str) -> Any:
    try:
        return jsontext.decode(text)
    except BadData as error:  # a Decimal may be a number that no log holds
        raise InvalidEvent(f"Invalid event: {error}") from error


def _place(event: RecordedEvent) -> Appended:
    return Appended(event.id, event.stream, event.version, event.position)


def _content(event: RecordedEvent) -> bytes:
    """What two appends of one id must have in common, as text: 1 and true are not equal in JSON."""
    return jsontext.encode_sorted(
        [
            event.stream,
            event.type,
            event.occurred_at,
            event.actor,
            event.subjects,
            event.payload,
            event.source_system,
            event.source_document,
            event.validity_window,
            event.causal_links,
        ]
    )
