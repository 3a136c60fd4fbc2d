"""Making and upgrading the event log's schema.

Tables change by numbered migrations, ``sql/migrations/0001_log.sql`` and so on, which go forward only and are each run
once. Functions, views and rights are written whole in files beside them, and are made again when one of these files has
changed. All of an upgrade is one transaction under one lock: it happens or does not. Programs of the release before run
on the new schema (docs/adr/0008).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from importlib.metadata import version
from threading import Event
from time import monotonic
from typing import Any, NamedTuple, TypeVar

import psycopg
from psycopg import sql

from holonstream.producers.errors import LogUnavailable
from holonstream.producers.log.postgres import connect, driver_errors, query, sqlstate_of
from holonstream.schemas import jsontext
from holonstream.schemas.catalogue import Catalogue
from holonstream.schemas.errors import BadData
from holonstream.schemas.migration import AppliedMigration, Migration, SchemaStatus, pending_migrations, read_migrations
from holonstream.schemas.statements import read_text

T = TypeVar("T")

FUNCTIONS = ("append.sql", "read.sql", "event_types.sql", "roles.sql")
SCHEMA_LOCK = 18517 << 48
RECORD_OVERHEAD = 10_000  # bytes of a record beside its event's JSON text: the stream twice, fixed text, headers
OLDEST_SERVER = 15
LOCK_TIMEOUT = "55P03"
RECENT_EVENTS = 10_000  # whose streams' heads `init` compares with the log
PATIENCE = 60.0  # seconds for the locks of an upgrade
PAUSE = 1.0  # seconds between two attempts


@cache
def migrations() -> list[Migration]:
    """All numbered migrations of this release, in order."""
    return read_migrations("holonstream.producers.log", "sql/migrations")


@cache
def functions() -> Migration:
    """The functions, views and rights; the name says which."""
    text = "\n".join(read_text("holonstream.producers.log", f"sql/{name}") for name in FUNCTIONS)
    return Migration(0, schema_digest(), text)


@cache
def schema_digest() -> str:
    """What a log is marked with whose schema was made by this installation's files."""
    texts = [migration.text for migration in migrations()]
    texts += [read_text("holonstream.producers.log", f"sql/{name}") for name in FUNCTIONS]
    return "functions-" + hashlib.sha256("".join(texts).encode()).hexdigest()[:16]


def schema_status(dsn: str) -> SchemaStatus:
    """What was applied to a database and what is pending; changes nothing. Raises LogUnavailable, SchemaNewer."""
    with connect(dsn, "holonstream-migrate") as connection, driver_errors(), connection.transaction():
        connection.execute(query("pin_session"))
        return _status(connection)


def apply_schema(dsn: str, catalogue: Catalogue) -> bool:
    """Make or upgrade the event log and load the catalogue's types; returns whether anything of the schema was applied.

    May be repeated and run by several processes at once. What was applied is not applied again. Its locks wait for
    every open transaction, and appends wait behind them: each attempt to get them is short, so that appends go on.
    Raises LogUnavailable, NotPermitted, SchemaNewer, BadData (a type changed its stream, the database has another
    encoding than UTF8, or the server is too old).
    """
    return _patiently(dsn, lambda: _apply_schema(dsn, catalogue))


def _patiently(dsn: str, attempt: Callable[[], T]) -> T:
    """The result of an attempt that ends at once when a lock is held; repeated for a while. Raises LogUnavailable."""
    until, pause = monotonic() + PATIENCE, Event()
    while True:
        try:
            return attempt()
        except LogUnavailable as error:
            if sqlstate_of(error.__cause__) != LOCK_TIMEOUT:
                raise
            if monotonic() > until:
                raise LogUnavailable(
                    f"PostgreSQL unavailable: for {PATIENCE:g} s {_lock_holder(dsn)}, so nothing was changed"
                ) from error
        pause.wait(PAUSE)


def _lock_holder(dsn: str) -> str:
    """Who keeps an upgrade waiting, for a message."""
    with connect(dsn, "holonstream-init") as connection, driver_errors():
        row = connection.execute(query("schema_lock_holder"), {"key": SCHEMA_LOCK}).fetchone()
    if row is None:
        return "another transaction has held the log's tables (`holonstream doctor` names it)"
    return f"another session has held the lock of `holonstream init`: {row[0]}"


def _apply_schema(dsn: str, catalogue: Catalogue) -> bool:
    with _upgrade(dsn) as (connection, status):
        for step in status.pending:
            connection.execute(step.text.encode())
            arguments = {"number": step.number, "name": step.name, "release": version("holonstream")}
            connection.execute(query("note_migration"), arguments)
        if status.pending:
            connection.execute(sql.SQL(query("note_schema")).format(digest=sql.Literal(schema_digest())))
            made = connection.execute(query("made_now")).fetchone()
            connection.execute(sql.SQL(query("note_made")).format(digest=sql.Literal(made and made[0])))
        connection.execute(query("load_event_types"), {"types": event_types(catalogue)})
    return bool(status.pending)


@contextmanager
def _upgrade(dsn: str) -> Iterator[tuple[psycopg.Connection[Any], SchemaStatus]]:
    """A transaction in which nobody else upgrades, in a database that can hold the log."""
    with connect(dsn, "holonstream-init") as connection, driver_errors(), connection.transaction():
        _check_server(connection)
        connection.execute(query("pin_session"))
        connection.execute(query("lock_schema"), {"key": SCHEMA_LOCK})  # which anybody who may connect can take
        status = _status(connection)
        if status.pending and not status.applied:
            _check_owner(connection)
            connection.execute(query("make_migrations"))
        yield connection, status


def _check_server(connection: psycopg.Connection[Any]) -> None:
    if connection.info.server_version < OLDEST_SERVER * 10_000:
        found = connection.info.parameter_status("server_version")
        raise BadData(f"The event log needs PostgreSQL {OLDEST_SERVER} or later, the server is {found}")
    row = connection.execute(query("server_encoding")).fetchone()
    if row is None or row[0] != "UTF8":
        raise BadData(
            f"The database's server_encoding is {row and row[0]}, the log needs UTF8: "
            "CREATE DATABASE ... TEMPLATE template0 ENCODING 'UTF8'"
        )


def _check_owner(connection: psycopg.Connection[Any]) -> None:
    """Check that nobody else has made our schema: what is in it would be trusted, and its owner may drop the log."""
    marked = connection.execute(query("applied_schema")).fetchone()
    other = connection.execute(query("schema_of_others")).fetchone()
    if other is not None and (marked is None or marked[0] is None):  # releases before 0.3 have marked it
        raise BadData(
            f"There is a schema holonstream that `holonstream init` has not made; it belongs to role {other[0]}. Drop "
            "or rename it, choose another database, or run `holonstream init` as that role"
        )


def is_as_made(connection: psycopg.Connection[Any]) -> bool:
    """Whether functions, triggers and rights are as the last `init` has left them."""
    with driver_errors(), connection.transaction():
        connection.execute(query("pin_session"))
        return _is_as_made(connection)


def _is_as_made(connection: psycopg.Connection[Any]) -> bool:
    return connection.execute(query("made_now")).fetchone() == connection.execute(query("made_then")).fetchone()


def _status(connection: psycopg.Connection[Any]) -> SchemaStatus:
    row = connection.execute(query("has_migrations")).fetchone()
    applied: list[AppliedMigration] = []
    if row is not None and row[0]:
        applied = [AppliedMigration(*found) for found in connection.execute(query("applied_migrations"))]
    pending = pending_migrations("The event log's schema", migrations(), applied)
    # the mark, not the record: release 0.2, which knows no record, leaves its own when it puts its functions back
    mark = connection.execute(query("applied_schema")).fetchone()
    # A dump that was restored where our roles were not, a function that somebody has replaced, a right to write that
    # somebody has given: all of it is made again.
    if pending or mark is None or mark[0] != schema_digest() or not _is_as_made(connection):
        pending.append(functions())
    return SchemaStatus(applied, pending)


class EventLimit(NamedTuple):
    """How large an event may be."""

    bytes: int
    """of JSON text"""
    topic: str | None
    """another one than was asked about, that allows no more"""

    def removal(self) -> str:
        """The statement that takes that topic's limit away."""
        return sql.SQL(query("remove_topic_limit")).format(topic=sql.Literal(self.topic)).as_string()


def store_topic_limit(dsn: str, topic: str, record_bytes: int) -> EventLimit:
    """Store how large a record of a topic may be; returns how large an event may be now.

    Appends refuse larger events from now on. Several topics may be fed from one log: the smallest limit counts.
    Raises LogUnavailable, NotInitialised, NotPermitted.
    """
    with connect(dsn, "holonstream-init") as connection, driver_errors(), connection.transaction():
        connection.execute(
            query("store_topic_limit"), {"topic": topic, "event_bytes": max(record_bytes - RECORD_OVERHEAD, 1)}
        )
        row = connection.execute(query("event_limit"), {"topic": topic}).fetchone()
        assert row is not None
        return EventLimit(*row)


def repair_sequence(dsn: str) -> int | None:
    """Raise a position sequence that is behind its log; the position to continue from, None when it was not behind.

    Logical replication and partial dumps bring a log's rows without its sequence. Also puts right what somebody has
    altered of it. Waits for open appends. Raises LogUnavailable, NotInitialised, NotPermitted.
    """
    with _repair(dsn) as connection:
        altered = connection.execute(query("sequence_altered")).fetchone()
        if altered is not None and altered[0]:
            connection.execute(query("restore_sequence"))
        behind = connection.execute(query("sequence_behind")).fetchone()
        if behind is None or not behind[0]:
            return None
        connection.execute(query("lock_events"))
        raised = connection.execute(query("raise_sequence")).fetchone()
        return None if raised is None else int(raised[0])


def heads_differ(connection: psycopg.Connection[Any]) -> bool:
    """Whether streams have another head than the log; only those of the last events are looked at."""
    row = connection.execute(query("heads_differ"), {"events": RECENT_EVENTS}).fetchone()
    return bool(row and row[0])


def repair_heads(dsn: str, *, thorough: bool = False) -> int:
    """Give the streams the heads that the log has; returns how many were wrong.

    Rows of one table that were restored or replicated without those of the other have made them so. Reads the whole
    log, and keeps appends out meanwhile, if streams of the last events are wrong, or if `thorough`.
    Raises LogUnavailable (also while another transaction has appended and stays open), NotInitialised, NotPermitted.
    """
    return _patiently(dsn, lambda: _repair_heads(dsn, thorough=thorough))


def _repair_heads(dsn: str, *, thorough: bool) -> int:
    with _repair(dsn) as connection:
        if not thorough and not heads_differ(connection):
            return 0
        connection.execute(query("pin_session"))
        connection.execute(query("lock_heads"))
        changed = connection.execute(query("set_heads")).rowcount + connection.execute(query("empty_heads")).rowcount
        connection.execute(query("remove_heads"))
        return changed


@contextmanager
def _repair(dsn: str) -> Iterator[psycopg.Connection[Any]]:
    """A transaction that sees, once it has a lock, what was committed before."""
    with connect(dsn, "holonstream-init") as connection, driver_errors():
        connection.isolation_level = psycopg.IsolationLevel.READ_COMMITTED
        with connection.transaction():
            yield connection


def event_types(catalogue: Catalogue) -> str:
    """The catalogue's types in all their versions, as load_event_types takes them."""
    return jsontext.encode(
        [
            {
                "name": kind.name,
                "version": kind.version,
                "current": kind is newest,
                "streamKind": kind.stream_kind,
                "requiredSubjects": kind.required_subjects,
                "required": kind.required,
            }
            for newest in catalogue.types.values()
            for kind in catalogue.versions(newest.name)
        ]
    ).decode()
