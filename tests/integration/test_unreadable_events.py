"""An event that is in the log and cannot be read stops its own stream, and no reader of others."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest

from holonstream.client import Client, SyncClient, UnreadableEvents, asynchronous
from holonstream.client.history import state_at
from holonstream.producers.log.schema import apply_schema
from holonstream.producers.log.store import PostgresEventStore
from holonstream.schemas.catalogue import Catalogue
from holonstream.schemas.event import RecordedEvent
from tests.support.event_log import envelope, insert_unreadable, person

CATALOGUE = Catalogue.load()
NO_GRAPH: Any = None


@pytest.fixture
def store(postgres_dsn: str) -> Iterator[PostgresEventStore]:
    """Events of a, b, c at positions 1 to 3, two unreadable ones of b and d, then events of a, b, c at 6 to 8."""
    apply_schema(postgres_dsn, CATALOGUE)
    names = ("a", "b", "c")
    with PostgresEventStore(postgres_dsn, CATALOGUE) as opened:
        opened.append([person(name) for name in names])
        with psycopg.connect(postgres_dsn, autocommit=True) as connection:
            insert_unreadable(connection, "holon/b", "number")
            insert_unreadable(connection, "holon/d", "window")
        opened.append([person(name, type="PersonModified", payload={"diff": {"rank": "O-4"}}) for name in names])
        yield opened


def command(dsn: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "holonstream", *arguments],
        env={**os.environ, "HOLONSTREAM_POSTGRES_DSN": dsn},
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_the_others_come_first_and_then_the_error_names_each(store: PostgresEventStore) -> None:
    for events in (store.get_events(), store.read()):
        found = [next(events).position for _ in range(6)]
        assert found == [1, 2, 3, 6, 7, 8]
        with pytest.raises(
            UnreadableEvents, match=r"2: position 4, stream holon/b version 2: .*; position 5, stream"
        ) as raised:
            next(events)
        assert raised.value.faults.keys() == {4, 5}
    assert [event.position for event in store.get_events(after=5)] == [6, 7, 8]
    assert [event.position for event in store.get_events(subjects=["a"])] == [1, 6]


def test_a_stream_ends_at_the_event_that_cannot_be_read(store: PostgresEventStore, postgres_dsn: str) -> None:
    events = store.read_stream("holon/b")
    assert next(events).version == 1
    with pytest.raises(UnreadableEvents, match="position 4, stream holon/b version 2"):
        next(events)
    with pytest.raises(UnreadableEvents):
        state_at(store, CATALOGUE, "holon/b", at=None)
    assert state_at(store, CATALOGUE, "holon/a", at=None) is not None
    with psycopg.connect(postgres_dsn) as connection:
        row = connection.execute("SELECT id::text FROM holonstream.events WHERE position = 5").fetchone()
    assert row is not None
    with pytest.raises(UnreadableEvents, match=r"position 5, stream holon/d version 1: .*24:00"):
        store.get_event(row[0])


@pytest.mark.parametrize("page", [1, 2, 3, 4, 1000])
def test_a_client_reads_on_in_pages_of_any_size(
    store: PostgresEventStore, monkeypatch: pytest.MonkeyPatch, page: int
) -> None:
    monkeypatch.setattr(asynchronous, "PAGE", page)
    client = Client(NO_GRAPH, store, CATALOGUE)
    found: list[RecordedEvent] = []

    async def read() -> None:
        async for event in client.get_events():
            found.append(event)

    with pytest.raises(UnreadableEvents) as raised:
        asyncio.run(read())
    assert [event.position for event in found] == [1, 2, 3, 6, 7, 8]
    assert raised.value.faults.keys() == {4, 5}


def test_the_blocking_client_gives_what_comes_before_an_error_too(store: PostgresEventStore) -> None:
    @asynccontextmanager
    async def opened() -> AsyncIterator[Client]:
        yield Client(NO_GRAPH, store, CATALOGUE)

    found: list[RecordedEvent] = []
    with SyncClient.over(opened()) as client, pytest.raises(UnreadableEvents):
        found.extend(client.get_events())
    assert [event.position for event in found] == [1, 2, 3, 6, 7, 8]


def test_export_log_prints_what_can_be_read_and_names_the_rest(store: PostgresEventStore, postgres_dsn: str) -> None:
    done = command(postgres_dsn, "export", "log", "--json")
    assert done.returncode == 1
    holons = {holon["id"]: holon for holon in json.loads(done.stdout)["holons"]}
    assert {name: holon["version"] for name, holon in holons.items()} == {"a": 2, "b": 1, "c": 2}
    assert [line.partition(":")[0] for line in done.stderr.splitlines()] == [
        "stopped at position 4, stream holon/b",
        "stopped at position 5, stream holon/d",
    ]


def test_import_goes_on(store: PostgresEventStore, postgres_dsn: str, tmp_path: Path) -> None:
    file = tmp_path / "events.json"
    file.write_text(json.dumps([envelope("e")]))
    assert "1 event appended; last position" in command(postgres_dsn, "import", str(file)).stderr
    assert [event.position for event in store.get_events(after=8)] == [9]
