"""The event store over a real PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from msgspec.structs import replace

from holonstream.producers.errors import EventIdConflict, EventTooLarge, LogUnavailable, WrongExpectedVersion
from holonstream.producers.log.append import Appended, new_event_id
from holonstream.producers.log.schema import apply_schema
from holonstream.producers.log.store import PostgresEventStore
from holonstream.schemas.catalogue import Catalogue
from holonstream.schemas.errors import InvalidEvent, NotInitialised, UnknownEventType
from holonstream.schemas.event import Event, ValidityWindow
from holonstream.schemas.token import Token
from tests.support.event_log import person
from tests.support.waiting import wait_until

CATALOGUE = Catalogue.load()


@pytest.fixture
def store(postgres_dsn: str) -> Iterator[PostgresEventStore]:
    apply_schema(postgres_dsn, CATALOGUE)
    with PostgresEventStore(postgres_dsn, CATALOGUE) as opened:
        yield opened


def assignment(relationship: str, **changes: Any) -> Event:
    payload = {"relationshipId": relationship, "relationshipType": "OCCUPIES"}
    return replace(person(type="AssignmentStarted", payload=payload, subjects=("person-1", "position-1")), **changes)


def ids(appended: list[Appended]) -> list[str]:
    return [a.id for a in appended]


def test_streams_follow_from_the_events_and_versions_are_dense(store: PostgresEventStore) -> None:
    appended = store.append([person("a"), person("b"), person("a"), assignment("r"), person("a")])
    assert [(a.stream, a.version) for a in appended] == [
        ("holon/a", 1),
        ("holon/b", 1),
        ("holon/a", 2),
        ("relationship/r", 1),
        ("holon/a", 3),
    ]
    assert [a.position for a in appended] == sorted(a.position for a in appended)
    assert store.append([person("a")])[0].version == 4
    assert appended[1].token == Token({"holon/b": appended[1].position})


def test_an_event_comes_back_as_it_was_given(store: PostgresEventStore) -> None:
    event = person(
        id=new_event_id(),
        occurred_at="2024-03-01T08:00:00.123456Z",
        subjects=("person-1", 'q"uote\\', "nämé"),
        payload={"n": 2**200, "f": 1.5, "deep": {"list": [None, True, {"": "é\n\u2028"}]}, "e": 1e3, "empty": {}},
        source_document="doc-1",
        validity_window=ValidityWindow(start="2024-01-01T00:00:00Z"),
        causal_links={"causedBy": ["x"]},
        traceparent="00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
    )
    (appended,) = store.append([event])
    found = store.get_event(appended.id)
    assert found is not None
    for name in event.__struct_fields__:
        expected = 1 if name == "schema_version" else getattr(event, name)
        assert getattr(found, name) == expected, name
    assert (found.stream, found.version, found.position) == (appended.stream, 1, appended.position)
    assert found.recorded_at.endswith("Z")
    assert len(found.recorded_at) == len("2024-03-01T08:00:00.000Z")
    assert store.get_event(str(uuid4())) is None


def test_the_same_event_again_gives_the_first_result(store: PostgresEventStore) -> None:
    events = [person("a", id=new_event_id()), person("b", id=new_event_id()), person("a", id=new_event_id())]
    first = store.append(events, expected={"holon/a": 0, "holon/b": 0})
    again = store.append([replace(e, traceparent="other") for e in events], expected={"holon/a": 0, "holon/b": 0})
    assert again == first
    assert store.append([events[2]]) == [first[2]]
    assert store.append([person("a")])[0].version == 3


def test_a_call_may_mix_new_events_and_known_ones(store: PostgresEventStore) -> None:
    known, new, twice = (person("a", id=new_event_id()) for _ in range(3))
    (first,) = store.append([known])
    appended = store.append([new, known, twice, twice], expected={"holon/a": 1})
    assert [a.version for a in appended] == [2, 1, 3, 3]
    assert appended[1] == first
    assert [e.id for e in store.read_stream("holon/a")] == [known.id, new.id, twice.id]


@pytest.mark.parametrize(
    "change",
    [{"actor": "other"}, {"subjects": ("b",)}, {"payload": {"name": "x"}}, {"occurred_at": "2024-03-02T00:00:00Z"}],
)
def test_the_same_id_with_other_content_is_a_conflict(store: PostgresEventStore, change: dict[str, Any]) -> None:
    event = person("a", id=new_event_id())
    store.append([event])
    with pytest.raises(EventIdConflict, match=rf"{event.id}.*stream holon/a version 1"):
        store.append([person("c"), replace(event, **change)])
    other = person("a", id=new_event_id())
    with pytest.raises(EventIdConflict, match="twice in one call"):
        store.append([other, replace(other, **change)])
    assert [e.id for e in store.read()] == [event.id]
    assert store.append([person("c")])[0].version == 1


def test_repetitions_at_the_same_time_write_once(store: PostgresEventStore) -> None:
    events = [person(f"p-{n}", id=new_event_id()) for n in range(20)]
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(lambda _: store.append(events), range(8)))
    assert all(result == results[0] for result in results)
    assert [e.version for e in store.read()] == [1] * 20


def test_one_id_to_two_streams_at_the_same_time_is_a_conflict(store: PostgresEventStore, postgres_dsn: str) -> None:
    event = person("a", id=new_event_id())
    with psycopg.connect(postgres_dsn) as first, ThreadPoolExecutor(1) as pool:
        store.append([event], connection=first)
        other = pool.submit(store.append, [replace(event, subjects=("b",))])
        _wait_for_blocked(postgres_dsn)
        first.commit()
        with pytest.raises(EventIdConflict, match=str(event.id)):
            other.result(30)


def test_expected_versions(store: PostgresEventStore) -> None:
    store.append([person("a")], expected={"holon/a": 0})
    store.append([person("a"), person("a"), person("b")], expected={"holon/a": 1})
    with pytest.raises(WrongExpectedVersion, match="stream holon/a is at version 3, expected 1") as raised:
        store.append([person("b"), person("a")], expected={"holon/a": 1})
    assert (raised.value.stream, raised.value.expected, raised.value.actual) == ("holon/a", 1, 3)
    with pytest.raises(WrongExpectedVersion, match="stream holon/new is at version 0, expected 4"):
        store.append([person("a")], expected={"holon/new": 4})
    assert [e.version for e in store.read_stream("holon/b")] == [1]
    store.append([person("new")], expected={"holon/new": 0, "holon/a": 3})


def test_of_two_appends_that_expect_the_same_one_wins(store: PostgresEventStore) -> None:
    def attempt(_: int) -> bool:
        try:
            store.append([person("a")], expected={"holon/a": 0})
        except WrongExpectedVersion:
            return False
        return True

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(attempt, range(8))) == 1


def test_an_append_is_part_of_the_callers_transaction(store: PostgresEventStore, postgres_dsn: str) -> None:
    with psycopg.connect(postgres_dsn) as connection:
        (lost,) = store.append([person("a")], connection=connection)
        assert store.get_event(lost.id) is None
        connection.rollback()
        (kept,) = store.append([person("a")], connection=connection)
        connection.commit()
    assert store.get_event(lost.id) is None
    assert kept.version == 1
    assert ids([kept]) == [e.id for e in store.read()]


def test_what_is_wrong_is_refused_and_nothing_is_written(store: PostgresEventStore) -> None:
    for wrong, error, words in [
        (person(type="Nothing"), UnknownEventType, "Nothing"),
        (person(subjects=()), InvalidEvent, "needs 1"),
        (assignment("r", payload={"relationshipId": "r"}), InvalidEvent, "relationshipType"),
        (person(id="17"), InvalidEvent, "17"),
        (person(occurred_at="yesterday"), InvalidEvent, "yesterday"),
        (person(payload={"name": "x" * 950_000}), EventTooLarge, "at most 900000"),
        (person(payload={"name": "\ud800"}), InvalidEvent, "PersonCreated|surrogate|JSON"),
    ]:
        with pytest.raises(error, match=words):
            store.append([person("a"), wrong])
    assert list(store.read()) == []
    assert store.append([]) == []


def test_filters_are_anded_and_pages_follow(store: PostgresEventStore) -> None:
    events = [
        person(
            f"p-{n}",
            occurred_at=f"2024-03-{10 + n}T00:00:00.000Z",
            actor=f"agent-{n % 2}",
            subjects=(f"p-{n}", f"s-{n % 3}"),
        )
        for n in range(12)
    ]
    positions = [a.position for a in store.append([*events, assignment("r")])]

    def found(**filters: Any) -> list[int]:
        return [positions.index(e.position) for e in store.get_events(**filters)]

    assert found() == list(range(13))
    assert found(type="AssignmentStarted") == [12]
    assert found(type=["AssignmentStarted", "PersonCreated"]) == list(range(13))
    assert found(start_time="2024-03-12", end_time="2024-03-14T00:00:00Z") == [2, 3, 4]
    assert found(actor="agent-1", type="PersonCreated", start_time="2024-03-15") == [5, 7, 9, 11]
    assert found(subjects=["s-0", "p-1"]) == [0, 1, 3, 6, 9]
    assert found(subjects=["s-0"], actor="agent-1", type="PersonCreated") == [3, 9]
    assert found(subjects=[]) == []
    first = list(store.get_events(actor="agent-0", limit=4))
    rest = list(store.get_events(actor="agent-0", after=first[-1].position))
    assert [positions.index(e.position) for e in first + rest] == [0, 2, 4, 6, 8, 10]


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
    store.append([person("a")])
    with psycopg.connect(postgres_dsn, autocommit=True) as admin:
        admin.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE application_name = 'holonstream-store' AND datname = current_database()"
        )
    assert store.append([person("a")])[0].version == 2


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
