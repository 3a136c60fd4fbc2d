"""The event envelope (docs/domain.md, Envelope): as producers give it, and as the log keeps it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from typing import Any, ClassVar

import msgspec
from msgspec import UNSET

from holonstream.schemas import instant, json_limits, jsontext
from holonstream.schemas.errors import BadData, InvalidEvent

MAX_ID_BYTES = 1000  # of an id: a subject, an actor, a relationshipId
_OBJECTS = frozenset({"payload", "causalLinks"})
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)


class ValidityWindow(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """When the fact holds. Both ends belong to it; an absent end is open."""

    start: str | None = None
    end: str | None = None

    def __post_init__(self) -> None:
        start = None if self.start is None else instant.parse(self.start)
        end = None if self.end is None else instant.parse(self.end)
        if start is not None and end is not None and start > end:
            raise InvalidEvent(f"Invalid validityWindow: start {self.start!r} is after end {self.end!r}")


class Event(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """A fact as its producer gives it.

    ``subjects[0]`` is the thing changed, the others are only referred to. Instants are ISO-8601 text. The store gives
    ``id`` (a UUID) when it is absent and ``recordedAt`` always.
    """

    type: str
    occurred_at: str
    actor: str
    subjects: tuple[str, ...]
    source_system: str
    payload: dict[str, Any] = {}
    id: str | None = None
    schema_version: int | None = None
    source_document: str | None = None
    validity_window: ValidityWindow | None = None
    causal_links: dict[str, Any] = {}
    traceparent: str | None = None


class TypedEvent(msgspec.Struct, frozen=True, kw_only=True):
    """An event whose payload fields are Python attributes: the base of the classes that ``schemas types`` writes.

    A field that is left out (UNSET) is not in the payload.
    """

    TYPE: ClassVar[str]
    VERSION: ClassVar[int]
    """the schema version that the class was made from"""
    SUBJECTS: ClassVar[tuple[str, ...]]
    """the attributes that are subjects, in order"""
    NAMES: ClassVar[Mapping[str, str]] = {}
    """attributes whose payload field is not called the same in camelCase, and what it is called"""

    occurred_at: str
    actor: str
    source_system: str
    more_subjects: tuple[str, ...] = ()
    """subjects beyond those that have a name"""
    extra: Mapping[str, Any] = {}
    """payload fields that the schema does not declare"""
    id: str | None = None
    source_document: str | None = None
    validity_window: ValidityWindow | None = None
    causal_links: dict[str, Any] = {}
    traceparent: str | None = None

    def event(self) -> Event:
        """The plain event. Raises InvalidEvent when a subject is given and one before it is not."""
        payload = dict(self.extra)
        for attribute, name in _payload_fields(type(self)):
            value = getattr(self, attribute)
            if value is not UNSET:
                payload[name] = value
        named = [getattr(self, attribute) for attribute in self.SUBJECTS]
        subjects = (*named, *self.more_subjects)
        while subjects and subjects[-1] is UNSET:
            subjects = subjects[:-1]
        if UNSET in subjects:
            missing = self.SUBJECTS[subjects.index(UNSET)]
            raise InvalidEvent(f"Missing subject: {self.TYPE} (event {self.id}) has no {missing}, and one after it")
        return Event(
            type=self.TYPE,
            occurred_at=self.occurred_at,
            actor=self.actor,
            subjects=subjects,
            source_system=self.source_system,
            payload=payload,
            id=self.id,
            schema_version=self.VERSION,
            source_document=self.source_document,
            validity_window=self.validity_window,
            causal_links=self.causal_links,
            traceparent=self.traceparent,
        )


@cache
def _payload_fields(class_: type[TypedEvent]) -> tuple[tuple[str, str], ...]:
    """The attributes that are payload fields, with their names there."""
    others = {*TypedEvent.__struct_fields__, *class_.SUBJECTS}
    names = (name for name in class_.__struct_fields__ if name not in others)
    return tuple((name, class_.NAMES.get(name) or camel_case(name)) for name in names)


def camel_case(name: str) -> str:
    """``relationshipId`` for ``relationship_id``."""
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)


AnyEvent = Event | TypedEvent
"""What can be appended."""


def as_event(event: AnyEvent) -> Event:
    """The plain event. Raises InvalidEvent for a typed one that is not whole."""
    return event.event() if isinstance(event, TypedEvent) else event


class RecordedEvent(msgspec.Struct, frozen=True, gc=False):
    """A fact as the log keeps it: an event with its place.

    ``stream`` names the one entity that it changes, ``version`` counts 1, 2, 3 ... within the stream, ``position`` is
    the order of the whole log (rising, with gaps). Instants are canonical text.
    """

    id: str
    type: str
    schema_version: int
    occurred_at: str
    recorded_at: str
    actor: str
    subjects: tuple[str, ...]
    source_system: str
    payload: dict[str, Any]
    stream: str
    version: int
    position: int
    source_document: str | None = None
    validity_window: ValidityWindow | None = None
    causal_links: dict[str, Any] = {}
    traceparent: str | None = None


def event_document(event: RecordedEvent) -> dict[str, Any]:
    """A recorded event as JSON values: the envelope, and its place in the log. What is absent is left out."""
    document: dict[str, Any] = {camel_case(name): getattr(event, name) for name in RecordedEvent.__struct_fields__}
    window = event.validity_window
    optional = ("sourceDocument", "validityWindow", "causalLinks", "traceparent")
    document["subjects"] = list(event.subjects)
    document["validityWindow"] = None if window is None else msgspec.to_builtins(window)
    return {name: value for name, value in document.items() if value not in (None, {}) or name not in optional}


def parse_event(value: Any) -> Event:
    """An envelope from JSON values, checked as the log does and made canonical.

    Its type and payload are not held against the catalogue, nor is its size checked. Raises InvalidEvent, naming the
    event's id and the field.
    """
    name = value.get("id") if isinstance(value, dict) else None
    try:
        if isinstance(value, dict):  # null is as good as absent, in every optional field
            value = {name: given for name, given in value.items() if given is not None or name not in _OBJECTS}
        event = msgspec.convert(value, Event)
        if fault := _fault(event, value):
            raise InvalidEvent(fault)
        return msgspec.structs.replace(
            event,
            id=None if event.id is None else event.id.lower(),
            occurred_at=instant.canonical(event.occurred_at),
        )
    except (msgspec.ValidationError, InvalidEvent) as error:
        raise InvalidEvent(f"Invalid event {name!r}: {error}") from None


def _fault(event: Event, envelope: Mapping[str, Any]) -> str | None:
    """What the log refuses in an envelope whose fields have the right types."""
    known = {name: envelope.get(name) for name in Event.__struct_encode_fields__}  # others are dropped
    if fault := json_limits.fault(known, json_limits.MAX_LEVELS + 1):
        return fault
    if event.id is not None and not _UUID.fullmatch(event.id):
        return "id is not a UUID"
    for field, text in (("type", event.type), ("actor", event.actor), ("sourceSystem", event.source_system)):
        if not text:
            return f"{field} must be a non-empty string"
    if len(event.actor.encode()) > MAX_ID_BYTES:
        return f"actor has {len(event.actor.encode())} bytes, at most {MAX_ID_BYTES} are taken"
    if not all(1 <= len(subject.encode()) <= MAX_ID_BYTES for subject in event.subjects):
        return f"subjects must be non-empty strings of at most {MAX_ID_BYTES} bytes"
    return None


def parse_events(text: bytes | str, key: str = "events") -> list[Event]:
    """The envelopes of a JSON text: a list of them, or an object with the list under `key`.

    Raises InvalidEvent (which names the event's place in the list) or BadData (not JSON, no list).
    """
    document = jsontext.decode(text)
    if isinstance(document, dict):
        if key not in document:
            raise BadData(f"No events: the object has no key {key!r}, only {sorted(document)}")
        document = document[key]
    if not isinstance(document, list):
        raise BadData(f"No events: expected a JSON list of envelopes, found {type(document).__name__}")
    events = []
    for number, value in enumerate(document, 1):
        try:
            events.append(parse_event(value))
        except InvalidEvent as error:
            raise InvalidEvent(f"{error} (number {number} of the list)") from None
    return events
