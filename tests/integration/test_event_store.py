"""The event store over a real PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest
from msgspec.structs import replace

from holonstream.producers.errors import EventIdConflict, LogUnavailable
from holonstream.producers.log.append import new_event_id
from holonstream.producers.log.schema import apply_schema
from holonstream.producers.log.store import EventStore, PostgresEventStore
from holonstream.schemas.errors import NotInitialised
from tests.conformance.event_store import CATALOGUE, EventStoreContract
from tests.support.event_log import person
from tests.support.waiting import wait_until


@pytest.fixture
def store(postgres_dsn: str) -> Iterator[PostgresEventStore]:
    apply_schema(postgres_dsn, CATALOGUE)
    with PostgresEventStore(postgres_dsn, CATALOGUE) as opened:
        yield opened


class TestPostgresEventStore(EventStoreContract):
    @pytest.fixture
    def store(self, store: PostgresEventStore) -> EventStore:
        return store


def test_one_id_to_two_streams_at_the_same_time_is_a_conflict(store: PostgresEventStore, postgres_dsn: str) -> None:
    event = person("a", id=new_event_id())
    with psycopg.connect(postgres_dsn) as first, ThreadPoolExecutor(1) as pool:
        store.append([event], connection=first)
        other = pool.submit(store.append, [replace(event, subjects=("b",))])
        _wait_for_blocked(postgres_dsn)
        first.commit()
        with pytest.raises(EventIdConflict, match=str(event.id)):
            other.result(30)


def test_an_append_is_part_of_the_callers_transaction(store: PostgresEventStore, postgres_dsn: str) -> None:
    with psycopg.connect(postgres_dsn) as connection:
        (lost,) = store.append([person("a")], connection=connection)
        assert store.get_event(lost.id) is None
        connection.rollback()
        (kept,) = store.append([person("a")], connection=connection)
        connection.commit()
    assert store.get_event(lost.id) is None
    assert kept.version == 1
    assert [kept.id] == [e.id for e in store.read()]


def test_reads_by_position_end_at_the_frontier(store: PostgresEventStore, postgres_dsn: str) -> None:
    (before,) = store.append([person("before")])
    with psycopg.connect(postgres_dsn) as connection:
        (held,) = store.append([person("held")], connection=connection)
        (beyond,) = store.append([person("beyond")])
        assert [e.position for e in store.read()] == [before.position]
        assert [e.position for e in store.get_events()] == [before.position]
        assert store.get_event(beyond.id) is not None
        assert store.head() == beyond.position
        connection.commit()
    assert [e.position for e in store.read()] == [before.position, held.position, beyond.position]
    assert [e.position for e in store.read(before.position, until=held.position)] == [held.position]


def test_an_abandoned_read_gives_its_connection_back(store: PostgresEventStore) -> None:
    store.append([person(f"p-{n}") for n in range(50)])
    for _ in range(10):
        reading = store.read()
        next(reading)
        reading.close()  # type: ignore[attr-defined]
    assert len(list(store.read())) == 50


def test_a_store_outlives_its_sessions(store: PostgresEventStore, postgres_dsn: str) -> None:
    """As with `idle_session_timeout`, or when the server was started again."""
    (first,) = store.append([person("a")])
    uses: list[Callable[[], object]] = [
        lambda: store.append([person("a")])[0].version == 2,
        lambda: store.get_event(first.id),
        lambda: list(store.get_events()),
        lambda: list(store.read_stream("holon/a")),
        store.head,
        store.frontier,
        lambda: store.before_last(1) == 1,
    ]
    with psycopg.connect(postgres_dsn, autocommit=True) as admin:
        for use in uses:
            ended = admin.execute(
                "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity "
                "WHERE application_name = 'holonstream-store' AND datname = current_database()"
            ).fetchall()
            assert ended
            assert all(done for (done,) in ended)
            assert use()


def test_a_server_that_is_not_there_is_unavailable() -> None:
    with (
        PostgresEventStore("postgresql://postgres@127.0.0.1:1/none", CATALOGUE, timeout=0.2) as nowhere,
        pytest.raises(LogUnavailable),
    ):
        nowhere.append([person()])


def test_a_database_without_the_log_says_what_to_run(postgres_dsn: str) -> None:
    with PostgresEventStore(postgres_dsn, CATALOGUE) as store, pytest.raises(NotInitialised, match="holonstream init"):
        store.append([person()])


def _wait_for_blocked(dsn: str) -> None:
    with psycopg.connect(dsn, autocommit=True) as connection:
        blocked = "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
        wait_until(lambda: connection.execute(blocked).fetchone() is not None, "a session waits for a lock")
