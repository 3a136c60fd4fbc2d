"""What PostgreSQL does to those who use it: refused logins, read-only servers, time limits, sessions that end."""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Callable, Iterator
from threading import Event as Stop
from typing import Any
from uuid import uuid4

import asyncpg
import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

from holonstream.client import append_in, append_in_async
from holonstream.producers.errors import LogRefused, LogUnavailable, TransactionConflict, TransactionFailed
from holonstream.producers.log.batches import read_batches
from holonstream.producers.log.frontier import frontier_status, read_frontier
from holonstream.producers.log.postgres import READER_OPTIONS, connect
from holonstream.producers.log.reader import LogReader
from holonstream.producers.log.schema import apply_schema
from holonstream.producers.log.store import PostgresEventStore
from holonstream.producers.relay.lease import acquire_leadership
from holonstream.producers.relay.relay import Relay
from holonstream.producers.relay.status import log_status
from holonstream.schemas.catalogue import Catalogue
from holonstream.schemas.errors import BadData
from holonstream.testing.databases import temporary_database
from tests.support.event_log import append, envelope, person
from tests.support.waiting import wait_until

CATALOGUE = Catalogue.load()
EVENTS = 3000  # more than a connection buffers

FAILING = """
CREATE OR REPLACE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN RAISE EXCEPTION 'the server says so' USING ERRCODE = {}; END $$;
CREATE OR REPLACE TRIGGER fail BEFORE INSERT ON holonstream.events FOR EACH STATEMENT EXECUTE FUNCTION fail();
"""
STATES = {
    "0A000": LogUnavailable,  # a cached plan of before a migration
    "25006": LogUnavailable,
    "25P03": LogUnavailable,
    "25P04": LogUnavailable,
    "26000": LogUnavailable,  # a prepared statement on another connection of a pooler
    "40001": TransactionConflict,
    "40P01": TransactionConflict,
    "53100": LogUnavailable,  # the disk is full
    "53200": LogUnavailable,
    "53300": LogUnavailable,
    "55P03": LogUnavailable,
    "57014": LogUnavailable,
    "57P01": LogUnavailable,
    "58030": LogUnavailable,
    "XX001": LogUnavailable,
    "P0001": LogRefused,  # RAISE EXCEPTION without a state
    "23514": LogRefused,  # a check
    "27000": LogRefused,
}


@pytest.fixture
def dsn(postgres_dsn: str) -> str:
    apply_schema(postgres_dsn, CATALOGUE)
    return postgres_dsn


@pytest.fixture
def owner(dsn: str) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(dsn, autocommit=True) as connection:
        yield connection


def end_sessions(owner: psycopg.Connection[Any]) -> int:
    """End every other session of the database, and wait until it has ended; how many."""
    ended = owner.execute(
        "SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity "
        "WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'"
    ).fetchall()
    return len(ended)


def test_what_the_server_reports_has_an_error_of_ours(dsn: str, owner: psycopg.Connection[Any]) -> None:
    for state, error in STATES.items():
        owner.execute(sql.SQL(FAILING).format(sql.Literal(state)))
        with psycopg.connect(dsn) as service, PostgresEventStore(dsn, CATALOGUE) as store:
            with pytest.raises(error, match="the server says so"):
                append_in(service, [person("a")])
            with pytest.raises(TransactionFailed, match="roll it back"):
                append_in(service, [person("a")])
            with pytest.raises(error, match="the server says so"):
                store.append([person("a")])


def test_a_read_only_server_takes_no_appends_and_is_read(dsn: str, owner: psycopg.Connection[Any]) -> None:
    append(owner, [envelope("a")])
    owner.execute(
        sql.SQL("ALTER DATABASE {} SET default_transaction_read_only = on").format(sql.Identifier(owner.info.dbname))
    )
    with PostgresEventStore(dsn, CATALOGUE) as store:
        with pytest.raises(LogUnavailable, match=r"takes no writes.*default_transaction_read_only"):
            store.append([person("b")])
        assert len(list(store.get_events())) == 1
    with connect(dsn, "relay") as relay:
        assert acquire_leadership(relay, "holonstream", Stop())
        assert read_frontier(relay).frontier == 1
    assert log_status(dsn, "holonstream", 0).lag == 1
    with pytest.raises(LogUnavailable, match="takes no writes"):
        apply_schema(dsn, Catalogue.load())


def test_an_event_trigger_that_forbids_changes_refuses_init(postgres_dsn: str) -> None:
    with psycopg.connect(postgres_dsn, autocommit=True) as owner:
        owner.execute(
            "CREATE FUNCTION forbid() RETURNS event_trigger LANGUAGE plpgsql AS "
            "$$ BEGIN RAISE EXCEPTION 'not today'; END $$"
        )
        owner.execute("CREATE EVENT TRIGGER forbid ON ddl_command_start EXECUTE FUNCTION forbid()")
    with pytest.raises(LogRefused, match="not today"):
        apply_schema(postgres_dsn, CATALOGUE)


@pytest.mark.parametrize("limit", ["statement_timeout", "lock_timeout"])
def test_a_time_limit_is_unavailable(dsn: str, owner: psycopg.Connection[Any], limit: str) -> None:
    with owner.transaction(), psycopg.connect(make_conninfo(dsn, options=f"-c {limit}=50ms")) as service:
        owner.execute("LOCK TABLE holonstream.events")
        with pytest.raises(LogUnavailable, match=r"due to (statement|lock) timeout"):
            append_in(service, [person("a")])


def test_a_store_does_not_try_again_what_took_too_long(dsn: str, owner: psycopg.Connection[Any]) -> None:
    """It would take several times as long as the caller's limit, and load a busy server the more."""
    owner.execute("CREATE SEQUENCE attempts")
    counting = FAILING.replace("BEGIN RAISE", "BEGIN PERFORM nextval('public.attempts'); RAISE")
    for state, attempts in {"57014": 1, "55P03": 1, "40P01": 6}.items():
        owner.execute(sql.SQL(counting).format(sql.Literal(state)))
        owner.execute("SELECT setval('attempts', 1, false)")
        with PostgresEventStore(dsn, CATALOGUE) as store, pytest.raises(LogUnavailable):
            store.append([person("a")])
        assert owner.execute("SELECT last_value FROM attempts").fetchone() == (attempts,), state


@pytest.mark.parametrize("place", ["address", "environment"])
def test_options_of_the_address_and_ours_are_both_set(dsn: str, monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    options = "-c work_mem=7MB -c enable_seqscan=on"
    monkeypatch.setenv("PGOPTIONS", options if place == "environment" else "-c work_mem=8MB")
    address = make_conninfo(dsn, options=options) if place == "address" else dsn
    with connect(address, "relay", options=READER_OPTIONS) as relay:
        found = [relay.execute(f"SHOW {name}".encode()).fetchone() for name in ("work_mem", "enable_seqscan")]
    assert found == [("7MB",), ("off",)]


@pytest.mark.parametrize("limit", ["idle_in_transaction_session_timeout", "idle_session_timeout"])
def test_a_session_that_was_idle_too_long_is_unavailable(dsn: str, owner: psycopg.Connection[Any], limit: str) -> None:
    with psycopg.connect(dsn, autocommit=limit == "idle_session_timeout") as service:
        pid = service.info.backend_pid
        service.execute(f"SET {limit} = '10ms'")
        gone = "SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE pid = %s)"
        wait_until(lambda: owner.execute(gone, [pid]).fetchone() == (True,), "the session was ended")
        with pytest.raises(LogUnavailable):
            append_in(service, [person("a")])


def test_a_store_appends_again_after_its_sessions_were_ended(dsn: str, owner: psycopg.Connection[Any]) -> None:
    with PostgresEventStore(dsn, CATALOGUE) as store:
        store.append([person("a")])
        assert end_sessions(owner) > 0
        assert store.append([person("b")])[0].position == 2


Reading = Callable[[psycopg.Connection[Any]], Any]
READINGS: dict[str, Reading] = {
    "frontier": read_frontier,
    "status": frontier_status,
    "lead": lambda relay: acquire_leadership(relay, "holonstream", Stop()),
    "batches": lambda relay: list(read_batches(relay, 0, EVENTS, limit=EVENTS, batch_events=100, batch_bytes=10**9)),
}


@pytest.mark.parametrize("reading", READINGS)
def test_a_relays_session_that_was_ended_is_unavailable(dsn: str, owner: psycopg.Connection[Any], reading: str) -> None:
    with connect(dsn, "relay") as relay:
        end_sessions(owner)
        with pytest.raises(LogUnavailable):
            READINGS[reading](relay)


def test_a_session_that_ends_while_it_is_read_is_unavailable(dsn: str, owner: psycopg.Connection[Any]) -> None:
    for start in range(0, EVENTS, 500):
        append(owner, [envelope(f"p-{n}", payload={"name": "x" * 3000}) for n in range(start, start + 500)])
    with (
        connect(dsn, "relay") as relay,
        LogReader(dsn, "verify") as reader,
        PostgresEventStore(dsn, CATALOGUE) as store,
    ):
        batches = read_batches(relay, 0, EVENTS, limit=EVENTS, batch_events=10, batch_bytes=10**9)
        reads: list[Iterator[Any]] = [batches, reader.all_streams(EVENTS), store.get_events()]
        for read in reads:
            next(read)
        end_sessions(owner)
        for read in reads:
            with pytest.raises(LogUnavailable):
                list(read)


def test_refused_logins_are_unavailable(dsn: str, owner: psycopg.Connection[Any]) -> None:
    role = sql.Identifier(name := f"role_{uuid4().hex}")
    database = sql.Identifier(owner.info.dbname)
    address = make_conninfo(dsn, user=name, password="never-shown")
    steps: list[tuple[sql.SQL | sql.Composed, str | None]] = [
        (sql.SQL("SELECT 1"), "does not exist"),
        (sql.SQL("CREATE ROLE {} NOLOGIN").format(role), "is not permitted to log in"),
        (sql.SQL("ALTER ROLE {} LOGIN").format(role), "permission denied for database"),
        (sql.SQL("GRANT CONNECT ON DATABASE {} TO {}").format(database, role), None),
        (sql.SQL("ALTER ROLE {} CONNECTION LIMIT 0").format(role), "too many connections"),
    ]
    try:
        for statement, reason in steps:
            owner.execute(statement)
            if reason is None:
                connect(address, "relay").close()
                continue
            for use in (lambda: connect(address, "relay"), lambda: PostgresEventStore(address, CATALOGUE).head()):
                with pytest.raises(LogUnavailable, match=reason) as refused:
                    use()
                assert "never-shown" not in str(refused.value)
    finally:
        owner.execute(sql.SQL("DROP OWNED BY {}").format(role))
        owner.execute(sql.SQL("DROP ROLE {}").format(role))
    with pytest.raises(LogUnavailable, match="does not exist"):
        connect(make_conninfo(dsn, dbname="gone"), "relay")


@pytest.mark.parametrize(
    "address",
    [
        "text",
        "postgresql://[",
        "host=a nothing=b password=never-shown",
        # libpq takes the rest of such a password for a host, a port or a database, and quotes it
        "postgresql://user:first@never-shown@127.0.0.1/db",
        "postgresql://user:never-shown/x@127.0.0.1/db",
        "postgresql://user:12/never-shown@127.0.0.1/db",
        "postgresql://user:never-shown%zz@127.0.0.1/db",
        "postgresql://user:first@second?never-shown@127.0.0.1/db",
    ],
)
def test_what_is_no_address_is_said_so(address: str) -> None:
    uses: dict[str, Callable[[], object]] = {
        "append": lambda: PostgresEventStore(address, CATALOGUE).append([person("a")]),
        "read": lambda: LogReader(address, "test"),
        "relay": lambda: Relay(address, "127.0.0.1:1").run(Stop()),
        "init": lambda: apply_schema(address, CATALOGUE),
        "status": lambda: log_status(address, "holonstream", 0),
        "tests": lambda: temporary_database(address).__enter__(),
    }
    for name, use in uses.items():
        with pytest.raises(BadData, match="no libpq connection string") as refused:
            use()
        assert "never-shown" not in "".join(traceback.format_exception(refused.value)), name


def test_a_closed_connection_of_another_library_is_unavailable(dsn: str) -> None:
    async def use() -> None:
        connection = await asyncpg.connect(dsn)
        await connection.close()
        with pytest.raises(LogUnavailable, match="closed"):
            await append_in_async(connection, [person("a")])

    asyncio.run(use())
