"""An event on Kafka: one CloudEvents 1.0 event in structured JSON.

The relay's SQL writes this form (``producers/sql/``), `decode` reads it. ``subject`` is the stream, ``sequence`` the
log position as text, ``dataschema`` names type and schema version; the other envelope fields are extensions.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec

from holonstream.schemas import jsontext
from holonstream.schemas.errors import BadData, InvalidEvent
from holonstream.schemas.event import RecordedEvent, ValidityWindow

CONTENT_TYPE = "application/cloudevents+json"
DATASCHEMA_PREFIX = "urn:holonstream:event:"


def dataschema(event_type: str, version: int) -> str:
    """The schema's id: ``urn:holonstream:event:PersonCreated:1``."""
    return f"{DATASCHEMA_PREFIX}{event_type}:{version}"


class _CloudEvent(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    id: str
    type: str
    subject: str
    time: str
    source: str
    dataschema: str
    data: dict[str, Any]
    sequence: str
    streamversion: int
    recordedtime: str
    actor: str
    subjects: tuple[str, ...]
    sourcedocument: str | None = None
    validitywindow: ValidityWindow | None = None
    causallinks: dict[str, Any] = {}
    traceparent: str | None = None


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """What a record says about where it stands, and nothing of what it carries."""

    subject: str
    sequence: str
    streamversion: int
    recordedtime: str

    @property
    def position(self) -> int:
        """The log position."""
        return int(self.sequence)


class _Traced(msgspec.Struct, frozen=True):
    traceparent: str | None = None


class LoggedEvent(NamedTuple):
    """An event as the log has it; the value is CloudEvents JSON, as on the topic, and may be unreadable."""

    stream: str
    version: int
    position: int
    value: bytes


_decoder = msgspec.json.Decoder(_CloudEvent, float_hook=jsontext.number)
_place_decoder = msgspec.json.Decoder(Place)
_trace_decoder = msgspec.json.Decoder(_Traced)


def decode(value: bytes | None) -> RecordedEvent:
    """The event that a record's value holds. Raises InvalidEvent when it holds none."""
    try:
        c = _decoder.decode(value or b"")
        return RecordedEvent(
            id=c.id,
            type=c.type,
            schema_version=int(c.dataschema.rpartition(":")[2]),
            occurred_at=c.time,
            recorded_at=c.recordedtime,
            actor=c.actor,
            subjects=c.subjects,
            source_system=c.source,
            payload=c.data,
            stream=c.subject,
            version=c.streamversion,
            position=int(c.sequence),
            source_document=c.sourcedocument,
            validity_window=c.validitywindow,
            causal_links=c.causallinks,
            traceparent=c.traceparent,
        )
    except (msgspec.DecodeError, ValueError, BadData, RecursionError) as error:
        raise InvalidEvent(f"Undecodable record {(value or b'')[:80]!r}: {error}") from error


def decode_place(value: bytes | None) -> Place:
    """Only the place of an event, at a fraction of the cost. Raises InvalidEvent when there is none."""
    try:
        place = _place_decoder.decode(value or b"")
        place.position  # noqa: B018 - a sequence that is no number must fail here
        return place
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise InvalidEvent(f"Undecodable record {(value or b'')[:80]!r}: {error}") from error


def decode_traceparent(value: bytes | None) -> str | None:
    """Only the trace context, of a record whose rest cannot be read; None when there is none."""
    try:
        return _trace_decoder.decode(value or b"").traceparent
    except (msgspec.DecodeError, ValueError, RecursionError):
        return None
