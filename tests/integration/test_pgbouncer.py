"""Through pgbouncer. In transaction mode a session has another connection to the server in each transaction."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest
import sqlalchemy

from holonstream.client import SessionRequired, append_in
from holonstream.producers.log.postgres import connect, connect_session
from holonstream.producers.log.reader import LogReader
from holonstream.producers.log.schema import apply_schema
from holonstream.producers.log.store import PostgresEventStore
from holonstream.producers.relay.relay import Relay
from holonstream.producers.relay.status import log_status
from holonstream.schemas.catalogue import Catalogue
from tests.support.bouncer import bouncer
from tests.support.event_log import person

CATALOGUE = Catalogue.load()
SESSIONS, ROUNDS = 6, 20  # a driver prepares a statement after a few rounds
SERVER_CONNECTIONS = 2


@pytest.fixture
def through(postgres_dsn: str, tmp_path: Path) -> Iterator[str]:
    apply_schema(postgres_dsn, CATALOGUE)
    with psycopg.connect(postgres_dsn) as connection:
        connection.execute("CREATE TABLE orders (id text PRIMARY KEY)")
    with bouncer(postgres_dsn, tmp_path, SERVER_CONNECTIONS) as address:
        yield address


def test_a_store_appends_and_reads(through: str) -> None:
    with PostgresEventStore(through, CATALOGUE, max_connections=SESSIONS) as log:

        def use(session: int) -> None:
            for number in range(ROUNDS):
                (appended,) = log.append([person(f"p-{session}")], expected={f"holon/p-{session}": number})
                assert [e.version for e in log.read_stream(appended.stream)] == list(range(1, number + 2))
                assert appended.id in {event.id for event in log.get_events(subjects=[f"p-{session}"])}
                assert log.get_event(appended.id) is not None

        with ThreadPoolExecutor(SESSIONS) as threads:
            list(threads.map(use, range(SESSIONS)))
        assert len(list(log.read())) == SESSIONS * ROUNDS


def test_services_append_in_their_own_transactions(through: str, postgres_dsn: str) -> None:
    def with_psycopg(session: int) -> None:
        with psycopg.connect(through, prepare_threshold=None) as connection:
            for number in range(ROUNDS):
                with connection.transaction():
                    connection.execute("INSERT INTO orders VALUES (%s)", [f"{session}-{number}"])
                    append_in(connection, [person(f"p-{session}")], expected={f"holon/p-{session}": number})

    def with_sqlalchemy(session: int) -> None:
        address = through.replace("postgresql://", "postgresql+psycopg://")
        engine = sqlalchemy.create_engine(address, connect_args={"prepare_threshold": None})
        for number in range(ROUNDS):
            with engine.begin() as connection:
                connection.execute(sqlalchemy.text("INSERT INTO orders VALUES (:id)"), {"id": f"{session}-{number}"})
                append_in(connection, [person(f"p-{session}")], expected={f"holon/p-{session}": number})
        engine.dispose()

    with ThreadPoolExecutor(SESSIONS) as threads:
        list(threads.map(lambda n: (with_psycopg if n % 2 else with_sqlalchemy)(n), range(SESSIONS)))
    with psycopg.connect(postgres_dsn) as connection:
        counted = connection.execute("SELECT (SELECT count(*) FROM orders), (SELECT count(*) FROM holonstream.events)")
        assert counted.fetchone() == (SESSIONS * ROUNDS, SESSIONS * ROUNDS)


LEADER_LOCKS = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND classid::bigint >> 16 = 18516"
POOLERS = {
    "transaction": ("transaction", ""),
    "options ignored": ("transaction", "ignore_startup_parameters = options"),
    "in turns": ("transaction", "ignore_startup_parameters = options\nserver_round_robin = 1"),
    "reset after each": (
        "transaction",
        "ignore_startup_parameters = options\nserver_reset_query = DISCARD ALL\nserver_reset_query_always = 1",
    ),
    "statement": ("statement", "ignore_startup_parameters = options"),
}


@pytest.fixture
def log_dsn(postgres_dsn: str) -> str:
    apply_schema(postgres_dsn, CATALOGUE)
    return postgres_dsn


@pytest.mark.parametrize("pooler", POOLERS)
def test_a_relay_says_that_it_needs_a_session_and_leaves_no_lock(log_dsn: str, tmp_path: Path, pooler: str) -> None:
    mode, more = POOLERS[pooler]
    with bouncer(log_dsn, tmp_path, SERVER_CONNECTIONS, mode, more) as through, psycopg.connect(log_dsn) as direct:
        with pytest.raises(SessionRequired, match="HOLONSTREAM_POSTGRES_DSN"):
            Relay(through, "127.0.0.1:1").run(threading.Event())
        assert direct.execute(LEADER_LOCKS).fetchone() == (0,)
        assert log_status(through, "holonstream", 0).leader is None
        with PostgresEventStore(through, CATALOGUE) as log:
            (appended,) = log.append([person("p-1")])
            assert [event.id for event in log.read()] == [appended.id]
        if mode == "statement":
            with pytest.raises(SessionRequired), psycopg.connect(through, prepare_threshold=None) as service:
                append_in(service, [person("p-2")])
        elif not more:
            with pytest.raises(SessionRequired):
                LogReader(through, "verify")


def test_a_session_pooler_gives_a_session(log_dsn: str, tmp_path: Path) -> None:
    with (
        bouncer(log_dsn, tmp_path, 5, "session", "ignore_startup_parameters = options") as through,
        connect_session(through, "relay") as first,
        connect(through, "other") as second,
    ):
        key = 18516 << 48
        assert first.execute("SELECT pg_try_advisory_lock(%s)", [key]).fetchone() == (True,)
        assert second.execute("SELECT pg_try_advisory_lock(%s)", [key]).fetchone() == (False,)
