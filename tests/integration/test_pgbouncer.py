"""Through pgbouncer in transaction mode, where a session has another connection to the server in each transaction."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest
import sqlalchemy

from holonstream.client import append_in
from holonstream.producers.log.schema import apply_schema
from holonstream.producers.log.store import PostgresEventStore
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
