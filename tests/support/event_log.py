"""Events and writers for tests of the log."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from uuid import uuid4

import psycopg
from psycopg.types.json import Jsonb

from holonstream.schemas.event import Event

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


def append(
    connection: psycopg.Connection[Any], envelopes: Iterable[dict[str, Any]], expected: dict[str, int] | None = None
) -> list[tuple[Any, ...]]:
    """Call the SQL function: (id, stream, version, position, token) per event."""
    arguments = [Jsonb(list(envelopes)), None if expected is None else Jsonb(expected)]
    return connection.execute(APPEND, arguments).fetchall()
