"""Events and writers for tests of the log."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from uuid import uuid4

import psycopg
from psycopg.types.json import Jsonb

from holonstream.schemas.event import Event

INSERT_UNREADABLE = """
WITH moved AS (
    INSERT INTO holonstream.streams AS s (stream, version) VALUES (%(stream)s, 1)
    ON CONFLICT (stream) DO UPDATE SET version = s.version + 1 RETURNING version
)
INSERT INTO holonstream.events (position, stream, version, id, type, schema_version, occurred_at, recorded_at, actor,
                                subjects, payload, source_system, validity_window)
SELECT nextval('holonstream.events_position'), %(stream)s, moved.version, gen_random_uuid(), e.type, e.schema_version,
       e.occurred_at, e.recorded_at, e.actor, ARRAY[split_part(%(stream)s, '/', 2)],
       e.payload || %(number)s::jsonb, e.source_system, %(window)s::jsonb
FROM moved, (SELECT * FROM holonstream.events LIMIT 1) AS e
RETURNING position
"""
APPEND = "SELECT id::text, stream, version, position, token FROM holonstream.append_events(%s, %s)"


def person(name: str = "person-1", **changes: Any) -> Event:
    """An event that creates a person; `changes` are envelope fields."""
    fields: dict[str, Any] = {
        "type": "PersonCreated",
        "occurred_at": "2024-03-01T08:00:00.000Z",
        "actor": "agent-1",
        "subjects": (name,),
        "source_system": "test",
        "payload": {"name": name},
        **changes,
    }
    return Event(**fields)


def envelope(name: str = "person-1", **changes: Any) -> dict[str, Any]:
    """The same as an envelope of JSON values; a change to None takes the field away."""
    fields = {
        "id": str(uuid4()),
        "type": "PersonCreated",
        "occurredAt": "2024-03-01T08:00:00.000Z",
        "actor": "agent-1",
        "subjects": [name],
        "sourceSystem": "test",
        "payload": {"name": name},
        **changes,
    }
    return {key: value for key, value in fields.items() if value is not None}


def insert_unreadable(connection: psycopg.Connection[Any], stream: str, fault: str) -> int:
    """Put an event into the log past append_events, as an earlier version took it; its position.

    `fault` is "number" or "window". The log must hold an event.
    """
    faults = {"number": '{"n": 1e5000}' if fault == "number" else "{}", "window": None}
    if fault == "window":
        faults["window"] = '{"start": "2024-01-01T24:00:00Z"}'
    row = connection.execute(INSERT_UNREADABLE, {"stream": stream, **faults}).fetchone()
    assert row is not None
    return int(row[0])


def append(
    connection: psycopg.Connection[Any], envelopes: Iterable[dict[str, Any]], expected: dict[str, int] | None = None
) -> list[tuple[Any, ...]]:
    """Call the SQL function: (id, stream, version, position, token) per event."""
    arguments = [Jsonb(list(envelopes)), None if expected is None else Jsonb(expected)]
    return connection.execute(APPEND, arguments).fetchall()
