"""The checks of ``append_events`` in Python, with its messages (producers/log/sql/append.sql, refuse_invalid)."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

import msgspec

from holonstream.producers.errors import EventTooLarge
from holonstream.schemas import instant, json_limits
from holonstream.schemas.catalogue import Catalogue
from holonstream.schemas.errors import InvalidEvent
from holonstream.schemas.event import ValidityWindow

MAX_BYTES = 900_000
MAX_STREAM_BYTES = 1013
_STREAM = re.compile("(holon|relationship)/.", re.DOTALL)
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_KINDS = {dict: "object", list: "array", str: "string", bool: "boolean", type(None): "null", int: "number"}


def check_envelope(envelope: Mapping[str, Any], number: int, catalogue: Catalogue, max_bytes: int = MAX_BYTES) -> None:
    """Check the `number`-th envelope of a call, as JSON values. Its type and payload fit the catalogue already.

    Raises InvalidEvent (EventTooLarge), naming the event.
    """
    place = f"(event {_text(envelope['id'])[:80]}, number {number} of the call)"
    if fault := _fault(envelope):
        raise InvalidEvent(f"Invalid event: {fault} {place}")
    event_type = catalogue.get(envelope["type"], envelope["schemaVersion"])
    size = _bytes(_jsonb(envelope))
    if size > max_bytes:
        raise EventTooLarge(
            f"Event too large: {event_type.name} has {size} bytes as JSON text, at most {max_bytes} are taken {place}"
        )


def check_expected(expected: Mapping[str, int]) -> None:
    """Check that expected versions are such of streams. Raises InvalidEvent, naming the stream."""
    for stream, version in sorted(expected.items()):
        named = _STREAM.match(stream) and _bytes(stream) <= MAX_STREAM_BYTES
        if not named or isinstance(version, bool) or not isinstance(version, int) or not 0 <= version < 10**19:
            raise InvalidEvent(
                f'Invalid expected versions: "{stream[:80]}": {_jsonb(version)[:80]}: a stream is holon/<id> or '
                "relationship/<id>, a version a whole number from 0"
            )


def _fault(envelope: Mapping[str, Any]) -> str | None:
    """What is wrong with the fields of an envelope."""
    fault = None
    for field in ("occurredAt", "actor", "sourceSystem"):
        value = envelope.get(field)
        if not isinstance(value, str) or not value:
            shown = _jsonb(value)[:80] if field in envelope else "missing"
            fault = f"{field} must be a non-empty string, is {shown}"
    for field in ("id", "sourceDocument", "traceparent"):
        if not isinstance(envelope.get(field), str | None):
            fault = f"{field} must be a string, is {_jsonb(envelope[field])[:80]}"
    if fault is not None:
        return fault
    if not _UUID.fullmatch(envelope["id"]):
        return f"id is not a UUID: {envelope['id'][:80]}"
    if not _is_instant(envelope["occurredAt"]):
        return f"occurredAt is not an ISO-8601 instant: {envelope['occurredAt'][:80]}"
    for field in ("payload", "causalLinks"):
        value = envelope.get(field)
        if not isinstance(value, dict | None):
            return f"{field} must be an object, is {_kind(value)}"
    if fault := json_limits.fault(envelope, json_limits.MAX_LEVELS + 1):
        return fault
    window = envelope.get("validityWindow")
    if window is not None and not _is_window(window):
        return (
            "validityWindow must be {start, end}, ISO-8601 instants with start not after end, "
            f"is {_text(window)[:120]}"
        )
    subjects = envelope["subjects"]
    if not isinstance(subjects, list):
        return f"subjects must be a list of ids, is {_text(subjects)[:80]}"
    if not all(isinstance(s, str) and 1 <= _bytes(s) <= 1000 for s in subjects):
        return f"subjects must be non-empty strings of at most 1000 bytes, are {_text(subjects)[:120]}"
    if _bytes(envelope["actor"]) > 1000:
        return f"actor has {_bytes(envelope['actor'])} bytes, at most 1000 are taken"
    return None


def _is_instant(text: str) -> bool:
    try:
        instant.parse(text)
    except InvalidEvent:
        return False
    return True


def _is_window(value: Any) -> bool:
    try:
        msgspec.convert(value, ValidityWindow)
    except (msgspec.ValidationError, InvalidEvent):
        return False
    return True


def _bytes(text: str) -> int:
    return len(text.encode())


def _text(value: Any) -> str:
    """What ``->>`` gives: a string itself, the JSON text of anything else."""
    return value if isinstance(value, str) else _jsonb(value)


def _jsonb(value: Any) -> str:
    """JSON text as PostgreSQL writes it: with spaces, and the shorter keys first."""
    if isinstance(value, dict):
        names = sorted(value, key=lambda name: (_bytes(name), name.encode()))
        return "{" + ", ".join(f"{_jsonb(name)}: {_jsonb(value[name])}" for name in names) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_jsonb, value)) + "]"
    return json.dumps(value, ensure_ascii=False)


def _kind(value: Any) -> str:
    return "number" if isinstance(value, float) else _KINDS[type(value)]
