"""Our relay and its rivals behind one interface: what is appended for it, and which processes work for it."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

import psycopg
from confluent_kafka import KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic, OffsetSpec
from msgspec.structs import replace
from psycopg import sql

from benchmarks import environment, outbox
from benchmarks.bench import Bench, postgres_sessions
from benchmarks.debezium import Debezium
from holonstream.ops.processes import Guard, Processes
from holonstream.ops.topics import make_topics

PARTITIONS = 12
CHUNK = 10_000
PATIENCE = 60.0  # seconds for an answer of the broker

EVENTS = """
SELECT jsonb_agg(jsonb_build_object(
    'type', 'PersonCreated', 'occurredAt', '2024-03-01T08:00:00.000Z', 'actor', 'system-bench',
    'subjects', jsonb_build_array('person-' || gen_random_uuid()), 'sourceSystem', 'bench',
    'payload', jsonb_build_object('name', 'Ada King ' || n, 'rank', 'O-3', 'email', 'ada' || n || '@example.org')))
FROM generate_series(1, %s) AS n
"""
FILL = f"SELECT count(*) FROM holonstream.append_events(({EVENTS}))"
# The records that the relay publishes, as rows for the rivals: the same keys, the same values.
ROWS = """
CREATE TABLE IF NOT EXISTS relay_rows AS
SELECT row_number() OVER (ORDER BY e.position) AS number, e.stream, e.type, holonstream.cloud_event_v2(e) AS value
FROM holonstream.events AS e
"""
INDEX = "CREATE UNIQUE INDEX IF NOT EXISTS relay_rows_number ON relay_rows (number)"
INTO_OUTBOX = sql.SQL(
    """
    INSERT INTO {table} SELECT gen_random_uuid(), 'holon', stream, type, value FROM relay_rows
    WHERE number > %(from)s::bigint AND number <= %(from)s::bigint + %(count)s ORDER BY number
    """
)
INTO_POLLED = """
INSERT INTO polled (stream, value) SELECT stream, value FROM relay_rows
WHERE number > %(from)s::bigint AND number <= %(from)s::bigint + %(count)s ORDER BY number
"""


def fill(dsn: str, events: int) -> None:
    """Append until the log has that many events, and make the rivals' rows of them."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        row = connection.execute("SELECT count(*) FROM holonstream.events").fetchone()
        missing = events - (row[0] if row else 0)
        for start in range(0, missing, CHUNK):
            connection.execute(FILL, [min(CHUNK, missing - start)])
        for statement in (outbox.TABLE, ROWS, INDEX, "VACUUM ANALYZE holonstream.events, relay_rows"):
            connection.execute(statement)


class Contestant(Protocol):
    """A relay, ours or a rival. `start` lets it begin with what was appended since it stood still."""

    name: str
    topic: str

    def load(self, connection: psycopg.Connection[Any], count: int) -> None:
        """Commit so many events for it."""

    def backlog(self, connection: psycopg.Connection[Any], count: int) -> None:
        """While it stands still: make it a backlog of so many events, and a topic that has none of them."""

    def start(self) -> None: ...

    def stop(self) -> None: ...

    def close(self) -> None: ...

    def processes(self, connection: psycopg.Connection[Any]) -> dict[str, list[int]]:
        """Its own process, and PostgreSQL's for it."""


class Ours:
    """`holonstream relay`. A backlog is the whole log for a new namespace, so it never has to be appended again."""

    name = "holonstream"

    def __init__(self, bench: Bench, folder: Path) -> None:
        self._bench, self._folder = bench, folder
        self._processes: Processes | None = None
        self.topic = self._new_topic()

    def _new_topic(self) -> str:
        self._settings = replace(self._bench.settings, namespace=f"bench-{uuid.uuid4().hex[:8]}")
        make_topics(self._settings)
        return self._settings.topic

    def load(self, connection: psycopg.Connection[Any], count: int) -> None:
        connection.execute(FILL, [count], prepare=True)

    def backlog(self, connection: psycopg.Connection[Any], count: int) -> None:
        self.topic = self._new_topic()

    def start(self) -> None:
        own = {**environment(self._settings), "HOLONSTREAM_NAMESPACE": self._settings.namespace}
        self._processes = Processes(own, self._folder)
        self._processes.start("relay", "relay")

    def stop(self) -> None:
        if self._processes is not None:
            self._processes.check()
            self._processes.stop()
            self._processes = None

    close = stop

    def processes(self, connection: psycopg.Connection[Any]) -> dict[str, list[int]]:
        assert self._processes is not None
        session = postgres_sessions(connection, "holonstream-relay")
        return {"relay": [self._processes.running["relay"].pid], "PostgreSQL": session}


class OutboxRouter:
    """Debezium with its outbox router."""

    def __init__(self, bench: Bench, folder: Path, *, exactly_once: bool) -> None:
        self.topic = _make_topic(bench)
        self._from = 0
        self._debezium = Debezium(
            bench.settings.log_dsn, bench.settings.kafka_bootstrap, self.topic, folder, exactly_once=exactly_once
        )
        self.name = "Debezium, exactly once" if exactly_once else "Debezium"
        self._table = sql.Identifier(self._debezium.table)
        self._insert = INTO_OUTBOX.format(table=self._table).as_string()

    def open(self) -> None:
        """Start Connect, and leave the connector stopped."""
        self._debezium.__enter__()
        self._debezium.stop()

    def load(self, connection: psycopg.Connection[Any], count: int) -> None:
        self._from = (self._from + count) % 50_000
        connection.execute(self._insert, {"from": self._from, "count": count}, prepare=True)

    def backlog(self, connection: psycopg.Connection[Any], count: int) -> None:
        connection.execute(sql.SQL("TRUNCATE {table}").format(table=self._table))
        for start in range(0, count, CHUNK):
            connection.execute(self._insert, {"from": start, "count": min(CHUNK, count - start)})

    def start(self) -> None:
        self._debezium.resume()

    def stop(self) -> None:
        self._debezium.stop()

    def close(self) -> None:
        self._debezium.__exit__(None, None, None)

    def processes(self, connection: psycopg.Connection[Any]) -> dict[str, list[int]]:
        found = connection.execute("SELECT active_pid FROM pg_replication_slots WHERE slot_name = %s", [self._slot])
        return {"relay": [self._debezium.pid], "PostgreSQL": [pid for (pid,) in found if pid is not None]}

    @property
    def _slot(self) -> str:
        return self._debezium.slot


class PollingOutbox:
    """A loop that polls and marks rows."""

    name = "polling outbox"

    def __init__(self, bench: Bench) -> None:
        self._settings = bench.settings
        self._from = 0
        self._process: subprocess.Popen[bytes] | None = None
        self.topic = _make_topic(bench)

    def load(self, connection: psycopg.Connection[Any], count: int) -> None:
        self._from = (self._from + count) % 50_000
        connection.execute(INTO_POLLED, {"from": self._from, "count": count}, prepare=True)

    def backlog(self, connection: psycopg.Connection[Any], count: int) -> None:
        connection.execute("TRUNCATE polled")
        for start in range(0, count, CHUNK):
            connection.execute(INTO_POLLED, {"from": start, "count": min(CHUNK, count - start)})

    def start(self) -> None:
        words = ["-m", "benchmarks.outbox", self._settings.log_dsn, self._settings.kafka_bootstrap, self.topic]
        self._process = subprocess.Popen([sys.executable, *words], env=dict(os.environ), start_new_session=True)
        self._guard = Guard()
        self._guard.watch(self._process.pid)

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None
            self._guard.close()

    close = stop

    def processes(self, connection: psycopg.Connection[Any]) -> dict[str, list[int]]:
        assert self._process is not None
        return {"relay": [self._process.pid], "PostgreSQL": postgres_sessions(connection, "outbox")}


def _make_topic(bench: Bench) -> str:
    topic = f"bench-{uuid.uuid4().hex[:8]}.events"
    admin = AdminClient({"bootstrap.servers": bench.settings.kafka_bootstrap})
    admin.create_topics([NewTopic(topic, PARTITIONS, 1)])[topic].result(30)
    return topic


def counter(admin: AdminClient, topic: str) -> Callable[[], int]:
    """Asks how many offsets a topic has: its records, and the markers of transactions."""
    places: Sequence[TopicPartition] = [TopicPartition(topic, p) for p in range(PARTITIONS)]
    pause = threading.Event()

    def count() -> int:
        until = time.monotonic() + PATIENCE
        while True:
            asked = admin.list_offsets({place: OffsetSpec.latest() for place in places}, request_timeout=PATIENCE)
            try:
                return sum(future.result(PATIENCE).offset for future in asked.values())
            except KafkaException:  # a broker without processor time loses its partitions for a moment
                if time.monotonic() >= until:
                    raise
            pause.wait(0.2)

    return count
