"""Appending: the envelopes as ``append_events`` takes them, and what it returns."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from uuid import UUID

import msgspec
import psycopg
from msgspec.structs import replace
from psycopg.rows import tuple_row

from holonstream.producers.log.postgres import driver_errors, query
from holonstream.schemas import json_limits, jsontext, tracing
from holonstream.schemas.catalogue import Catalogue
from holonstream.schemas.errors import InvalidEvent
from holonstream.schemas.event import AnyEvent, Event, as_event
from holonstream.schemas.token import Token


@dataclass(frozen=True, slots=True)
class Appended:
    """Where an event is in the log."""

    id: str
    stream: str
    version: int
    position: int

    @property
    def token(self) -> Token:
        """What a read must have reached to show the event."""
        return Token({self.stream: self.position})


def append(connection: psycopg.Connection[Any], arguments: Mapping[str, Any]) -> list[Appended]:
    """Send one call with what `encode_call` returned; returns where each event is, in the order given.

    Raises InvalidEvent (UnknownEventType, EventTooLarge), WrongExpectedVersion, EventIdConflict, LogUnavailable.
    """
    # a cursor of our own: the connection's factories may make rows or placeholders of another kind
    with driver_errors(), psycopg.Cursor(connection, row_factory=tuple_row) as cursor:
        return decode_rows(cursor.execute(query("append"), arguments))


def encode_call(
    events: Sequence[AnyEvent], catalogue: Catalogue, expected: Mapping[str, int] | None
) -> dict[str, str | None]:
    """The arguments of the statement ``append``, in ASCII: a service's connection may have any encoding.

    Raises InvalidEvent, naming the event.
    """
    try:
        versions = None if expected is None else jsontext.as_ascii(jsontext.encode(dict(expected)).decode())
    except (TypeError, ValueError) as error:
        raise InvalidEvent(f"Invalid expected versions: cannot be written as JSON: {error}") from error
    return {"events": jsontext.as_ascii(encode_events(events, catalogue)), "expected": versions}


def decode_rows(rows: Iterable[Sequence[Any]]) -> list[Appended]:
    """What the statement ``append`` returns."""
    return [Appended(str(id_), bytes(stream).decode(), version, position) for id_, stream, version, position in rows]


def encode_events(events: Sequence[AnyEvent], catalogue: Catalogue) -> str:
    """The JSON text that ``append_events`` takes, of events checked against the catalogue and given their ids.

    Raises InvalidEvent, naming the event.
    """
    complete = []
    trace = tracing.traceparent()
    for event in map(as_event, events):
        if trace is not None and event.traceparent is None:
            event = replace(event, traceparent=trace)
        if event.id is None:
            event = replace(event, id=new_event_id())
        catalogue.validate(event)
        if event.schema_version is None:  # the one it was checked against, whatever the database has by now
            event = replace(event, schema_version=catalogue.get(event.type).version)
        complete.append(event)
    try:
        text = jsontext.encode(complete).decode()
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidEvent(f"Invalid events: cannot be written as JSON: {error}") from error
    # a float that is not finite is written as null, a Decimal by its name
    if "null" in text or "\\u0000" in text or "NaN" in text or "Infinity" in text:
        _refuse_lossy(complete)
    return text


def new_event_id() -> str:
    """A time-ordered UUID (version 7): neighbours in time are neighbours in the index."""
    milliseconds = time.time_ns() // 1_000_000
    number = milliseconds << 80 | int.from_bytes(os.urandom(10), "big")
    number = number & ~(0xF << 76) & ~(0x3 << 62) | 0x7 << 76 | 0x2 << 62
    return str(UUID(int=number))


def _refuse_lossy(events: Iterable[Event]) -> None:
    for event in events:
        if fault := json_limits.fault(msgspec.to_builtins(event, builtin_types=(Decimal,)), json_limits.MAX_LEVELS + 1):
            raise InvalidEvent(f"Invalid event: {event.type} (event {event.id}) {fault}")
