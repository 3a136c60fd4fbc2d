"""An event on Kafka: one CloudEvents 1.0 event in structured JSON (docs/adr/0006).

The relay's SQL writes this form (``cloud_event_v2``), `decode` reads it. ``subject`` is the stream, ``sequence`` the
log position, ``dataschema`` names type and schema version; the other envelope fields are extensions. Attributes may
only be scalars, so lists and objects (``subjects``, ``validitywindow``, ``causallinks``) travel as JSON text in a
string.

Records of before have them as they are, ``streamversion`` as a number, and ``source`` not percent-encoded. `decode`
reads both: a record is of the old form when its ``subjects`` is a list.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple
from urllib.parse import unquote

import msgspec

from holonstream.schemas import jsontext
from holonstream.schemas.errors import BadData, InvalidEvent
from holonstream.schemas.event import RecordedEvent, ValidityWindow
from holonstream.schemas.token import MAX_POSITION

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
    streamversion: str | int
    recordedtime: str
    actor: str
    subjects: str | tuple[str, ...]
    sourcedocument: str | None = None
    validitywindow: str | ValidityWindow | None = None
    causallinks: str | dict[str, Any] | None = None
    traceparent: str | None = None


class _Numbered(msgspec.Struct, frozen=True):
    subject: str
    sequence: str
    streamversion: str | int
    recordedtime: str
    id: str | None = None


class _Traced(msgspec.Struct, frozen=True):
    traceparent: str | None = None


class EventPosition(msgspec.Struct, frozen=True, gc=False):
    """Where an event is in the log, and its id, as its record says; nothing of what it carries."""

    stream: str
    version: int
    position: int
    recorded_at: str
    event_id: str | None = None


class LoggedEvent(NamedTuple):
    """An event as the log has it; the value is CloudEvents JSON, as on the topic, and may be unreadable."""

    stream: str
    version: int
    position: int
    value: bytes


_decode = msgspec.json.Decoder(_CloudEvent, float_hook=jsontext.number).decode
_decode_subjects = msgspec.json.Decoder(tuple[str, ...]).decode
_decode_window = msgspec.json.Decoder(ValidityWindow).decode
_decode_links = msgspec.json.Decoder(dict[str, Any], float_hook=jsontext.number).decode
_decode_numbered = msgspec.json.Decoder(_Numbered).decode
_decode_traced = msgspec.json.Decoder(_Traced).decode


def _number(text: str | int) -> int:
    """A position or a version, which the relay writes in ASCII digits. Raises ValueError for what no log can have."""
    if type(text) is str and not (text.isdigit() and text.isascii()):
        raise ValueError(f"{text[:40]!r} is no position or version")
    number = int(text)
    if not 0 < number <= MAX_POSITION:
        raise ValueError(f"{str(text)[:40]} is no position or version of a log")
    return number


def _unquoted(source: str) -> str:
    return unquote(source, errors="strict")


_unquoted_once = lru_cache(1024)(_unquoted)  # few systems produce events
LONG_SOURCE = 200  # characters; a source may have hundreds of kilobytes, which are not kept


def decode(value: bytes | None) -> RecordedEvent:
    """The event that a record's value holds. Raises InvalidEvent when it holds none."""
    try:
        c = _decode(value or b"")
        source, subjects, window, links = c.source, c.subjects, c.validitywindow, c.causallinks
        if isinstance(subjects, str):
            subjects = _decode_subjects(subjects)
            if "%" in source:
                source = _unquoted_once(source) if len(source) < LONG_SOURCE else _unquoted(source)
        if isinstance(window, str):
            window = _decode_window(window)
        if isinstance(links, str):
            links = _decode_links(links)
        return RecordedEvent(  # by position, in the order of its fields: by keyword it takes twice as long
            c.id,
            c.type,
            _number(c.dataschema.rpartition(":")[2]),
            c.time,
            c.recordedtime,
            c.actor,
            subjects,
            source,
            c.data,
            c.subject,
            _number(c.streamversion),
            _number(c.sequence),
            c.sourcedocument,
            window,
            links or {},
            c.traceparent,
        )
    except (msgspec.DecodeError, ValueError, BadData, RecursionError) as error:
        raise InvalidEvent(f"Undecodable record {(value or b'')[:80]!r}: {error}") from error


def decode_position(value: bytes | None) -> EventPosition:
    """Only where an event is, at a fraction of the cost. Raises InvalidEvent when the record does not say it."""
    try:
        c = _decode_numbered(value or b"")
        return EventPosition(c.subject, _number(c.streamversion), _number(c.sequence), c.recordedtime, c.id)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise InvalidEvent(f"Undecodable record {(value or b'')[:80]!r}: {error}") from error


def is_key(key: bytes | None, stream: str) -> bool:
    """Whether a record's key is its stream. The relay writes no other: what a record says of itself is not believed."""
    return key == stream.encode(errors="replace")


def decode_traceparent(value: bytes | None) -> str | None:
    """Only the trace context, of a record whose rest cannot be read; None when there is none."""
    try:
        return _decode_traced(value or b"").traceparent
    except (msgspec.DecodeError, ValueError, RecursionError):
        return None
