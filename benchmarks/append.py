"""What an append of 1,000 events in one call costs, beside a bare multi-row INSERT of the same columns.

Both tables have the same columns and indexes; rounds alternate and each is one transaction of its own. For the
bare INSERT the client makes everything: stream, version, and position from a sequence.
"""

from __future__ import annotations

import json
import random
import time
import uuid
from collections.abc import Callable
from typing import Any

import psycopg

from benchmarks.bench import Bench, median, processor_seconds
from benchmarks.figures import Figure
from holonstream.producers.log.schema import apply_schema
from holonstream.producers.log.store import PostgresEventStore
from holonstream.schemas.catalogue import Catalogue
from holonstream.schemas.event import parse_events

EVENTS = 1_000
SERVERS = ("postgres",)
PROMISED = 0.7
ROUNDS = 40
BARE_TABLE = """
CREATE TABLE bare (LIKE holonstream.events INCLUDING ALL);
CREATE SEQUENCE bare_position;
"""
BARE_COLUMNS = (
    "position, stream, version, id, type, schema_version, occurred_at, recorded_at, actor, subjects, payload, "
    "source_system, source_document, validity_window, causal_links, traceparent"
)
CALL = "SELECT * FROM holonstream.append_events(%s)"
BARE_ROW = "(nextval('bare_position')" + ", %s" * 15 + ")"


def envelopes(count: int) -> list[dict[str, Any]]:
    """Events of new persons, about 500 bytes each on the wire."""
    return [
        {
            "id": str(uuid.uuid4()),
            "type": "PersonCreated",
            "occurredAt": "2024-03-01T08:00:00.000Z",
            "actor": f"agent-{random.randrange(50)}",
            "subjects": [f"person-{uuid.uuid4()}"],
            "sourceSystem": "bench",
            "sourceDocument": "doc-1",
            "payload": {
                "name": f"Ada King {n}",
                "rank": "O-3",
                "email": f"ada{n}@example.org",
                "identifiers": {"edipi": 1_000_000_000 + n, "note": "x" * 40},
            },
        }
        for n in range(count)
    ]


def bare_statement(connection: psycopg.Connection[Any], events: list[dict[str, Any]]) -> bytes:
    """The INSERT, complete before the clock starts."""
    values: list[Any] = []
    for e in events:
        values += [f"holon/{e['subjects'][0]}", 1, e["id"], e["type"], 1, e["occurredAt"], e["occurredAt"], e["actor"]]
        values += [e["subjects"], json.dumps(e["payload"]), e["sourceSystem"], e["sourceDocument"], None, None, None]
    text = f"INSERT INTO bare ({BARE_COLUMNS}) VALUES " + ", ".join([BARE_ROW] * len(events))
    return psycopg.ClientCursor(connection).mogrify(text.encode(), values).encode()


def timed(action: Callable[..., object], *arguments: object) -> float:
    """Seconds that it takes."""
    start = time.perf_counter()
    action(*arguments)
    return time.perf_counter() - start


def measure(bench: Bench) -> list[Figure]:
    """Events per second: the SQL function, and the Python layer with its validation."""
    settings = bench.settings
    dsn = settings.postgres_dsn.reveal()
    catalogue = Catalogue.load()
    apply_schema(dsn, catalogue)
    used: dict[str, list[float]] = {"bare": [], "append_events": []}
    times: dict[str, list[float]] = {"bare": [], "append_events": [], "PostgresEventStore.append": []}
    with psycopg.connect(dsn, autocommit=True) as connection, PostgresEventStore(dsn, catalogue) as store:
        connection.execute(BARE_TABLE)
        session = connection.info.backend_pid
        for _ in range(bench.rounds(ROUNDS)):
            bare = bare_statement(connection, envelopes(EVENTS))
            text = json.dumps(envelopes(EVENTS))
            events = parse_events(json.dumps(envelopes(EVENTS)))
            before = processor_seconds(session)
            times["bare"].append(timed(connection.execute, bare))
            between = processor_seconds(session)
            times["append_events"].append(timed(connection.execute, CALL, [text]))
            used["bare"].append(between - before)
            used["append_events"].append(processor_seconds(session) - between)
            times["PostgresEventStore.append"].append(timed(store.append, events))
    rates = {name: EVENTS / median(found) for name, found in times.items()}
    spreads = {name: (EVENTS / max(found), EVENTS / min(found)) for name, found in times.items()}
    costs = {name: median(found) / EVENTS * 1e6 for name, found in used.items()}
    bare_rate = rates.pop("bare")
    return [
        Figure(
            path=f"{name}, {EVENTS:,} events a call",
            value=rate,
            unit="events/s",
            peer="bare multi-row INSERT",
            peer_value=bare_rate,
            promise=f">= {PROMISED:g}x" if name == "append_events" else "",
            kept=rate >= PROMISED * bare_rate if name == "append_events" else None,
            spread=spreads[name],
            peer_spread=spreads["bare"],
            processor=costs.get(name),
            peer_processor=costs["bare"] if name in costs else None,
        )
        for name, rate in rates.items()
    ]
