"""The clients over a log in PostgreSQL and in memory: appending, reading events, as-of states, opening and closing."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import AsyncIterator, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from holonstream.client import (
    Appended,
    Client,
    ClientClosed,
    Event,
    Pattern,
    SyncClient,
    Token,
    ValidityWindow,
    as_of,
    merge_tokens,
    new_event_id,
)
from holonstream.client.asynchronous import LOG_CALLS, PAGE
from holonstream.producers.errors import WrongExpectedVersion
from holonstream.producers.log.schema import apply_schema
from holonstream.producers.log.store import EventStore, PostgresEventStore
from holonstream.schemas.catalogue import Catalogue
from holonstream.schemas.errors import CannotApply, InvalidEvent, InvalidToken
from holonstream.schemas.event import parse_events
from holonstream.schemas.projection import fold, modifications
from holonstream.schemas.state import HOLON
from holonstream.sinks.errors import NotYetVisible
from holonstream.testing import MemoryEventStore, MemoryGraphStore
from tests.support.event_log import person

CATALOGUE = Catalogue.load()
CASES = Path(__file__).parents[1] / "cases"


def empty_graph() -> MemoryGraphStore:
    return MemoryGraphStore(MemoryEventStore(CATALOGUE), CATALOGUE)


@pytest.fixture(params=["memory", "postgres"])
def log(request: pytest.FixtureRequest) -> Iterator[EventStore]:
    """An empty log: what a client promises, it promises over either."""
    if request.param == "memory":
        yield MemoryEventStore(CATALOGUE)
        return
    dsn = request.getfixturevalue("postgres_dsn")
    apply_schema(dsn, CATALOGUE)
    with PostgresEventStore(dsn, CATALOGUE) as opened:
        yield opened


@asynccontextmanager
async def over(log: EventStore) -> AsyncIterator[Client]:
    """A client over the log, and a graph that stays empty."""
    yield Client(empty_graph(), log, CATALOGUE, deadline=0)


@pytest.fixture
def client(log: EventStore) -> Iterator[SyncClient]:
    with SyncClient.over(over(log)) as opened:
        yield opened


def promoted(rank: str, at: str, **changes: Any) -> Event:
    return person("ada", type="PersonModified", occurred_at=at, payload={"diff": {"rank": rank}}, **changes)


def hired(at: str = "2024-01-01") -> Event:
    return person("ada", occurred_at=at, payload={"rank": "O-1"})


def rank(client: SyncClient, at: str | int) -> Any:
    holon = client.get_holon("ada", at=at)
    return None if holon is None else holon.properties["rank"]


# --- as of an instant: what was so then, by all that is known now ---


def test_a_state_as_of_an_instant_has_what_occurred_up_to_and_at_it(client: SyncClient) -> None:
    client.append([hired(), promoted("O-2", "2025-01-01T12:00:00.000001Z")])
    assert rank(client, "2023-12-31T23:59:59.999999Z") is None
    assert rank(client, "2024-01-01") == "O-1"
    assert rank(client, "2025-01-01T12:00:00Z") == "O-1"
    assert rank(client, "2025-01-01T13:00:00.000001+01:00") == "O-2"


def test_a_late_entry_counts_from_when_it_occurred_and_in_the_order_of_the_log(client: SyncClient) -> None:
    client.append([hired(), promoted("O-3", "2026-01-01"), promoted("O-2", "2025-01-01")])
    assert rank(client, "2025-06-01") == "O-2"
    assert rank(client, "2026-06-01") == "O-2"  # the last word in the log


def test_a_validity_window_is_held_against_the_asked_instant(client: SyncClient) -> None:
    acting = ValidityWindow(start="2025-01-01", end="2025-03-01")
    client.append([hired(), promoted("O-2", "2025-01-01", validity_window=acting)])
    assert rank(client, "2025-03-01") == "O-2"
    assert rank(client, "2025-03-01T00:00:00.001Z") == "O-1"


def test_version_and_position_are_those_of_the_last_event_that_has_a_part(client: SyncClient) -> None:
    first, second, _ = client.append([hired(), promoted("O-2", "2025-01-01"), promoted("O-3", "2026-01-01")])
    for at, last in (("2024-06-01", first), ("2025-06-01", second), (second.position, second)):
        holon = client.get_holon("ada", at=at)
        assert holon is not None
        assert (holon.version, holon.position) == (last.version, last.position)


# --- as of a position: what was known then ---


def test_a_state_as_of_a_position_has_what_the_log_had(client: SyncClient) -> None:
    acting = ValidityWindow(end="2025-02-01")
    first, _, third, fourth = client.append(
        [
            hired(),
            person("bob"),
            promoted("O-3", "2026-01-01"),
            promoted("O-2", "2025-01-01", validity_window=acting),
        ]
    )
    assert rank(client, first.position - 1) is None
    assert rank(client, third.position - 1) == "O-1"
    assert rank(client, third.position) == "O-3"
    assert rank(client, fourth.position) == "O-2"  # its window holds its own instant


def test_states_as_of_anything_equal_the_fold_of_the_log_up_to_there(client: SyncClient) -> None:
    events = parse_events((CASES / "02-assignments.json").read_text())
    client.append(events)
    log = list(client.get_events())
    streams = {event.stream for event in log}
    instants = sorted({event.occurred_at for event in log})
    asked: list[tuple[str | int, list[Any]]] = [
        (event.position, [e for e in log if e.position <= event.position]) for event in log[::9]
    ]
    asked += [(at, [e for e in log if e.occurred_at <= at]) for at in instants[::9]]
    for at, known in asked:
        moment = at if isinstance(at, str) else None
        states = fold(CATALOGUE, known, at=moment)
        reached = modifications(CATALOGUE, known, at=moment)
        for stream in streams:
            kind, _, name = stream.partition("/")
            if kind == HOLON:
                assert client.get_holon(name, at=at) == states.get(stream)
                assert client.get_holon_modifications(name, at=at) == reached.get(stream, ())
            else:
                assert client.get_relationship(name, at=at) == states.get(stream)
                assert client.get_relationship_modifications(name, at=at) == reached.get(stream, ())


def test_a_relationship_without_a_time_is_read_from_the_log_as_it_is_now(client: SyncClient) -> None:
    started = person(
        "ada",
        type="AssignmentStarted",
        subjects=("ada", "post"),
        payload={"relationshipId": "r", "relationshipType": "OCCUPIES"},
    )
    ended = person("ada", type="AssignmentEnded", payload={"relationshipId": "r", "endDate": "2025-01-01"})
    assert client.get_relationship("r") is None
    places = client.append([started])
    open_ = client.get_relationship("r")
    assert open_ is not None
    assert open_.effective_end is None
    client.append([ended])
    closed = client.get_relationship("r")
    assert closed is not None
    assert closed.effective_end is not None
    assert client.get_relationship("r", at=places[0].position) == open_
    assert client.get_relationship_modifications("r") == tuple(e.id for e in client.get_events())


def test_what_is_no_instant_is_refused(client: SyncClient) -> None:
    with pytest.raises(InvalidEvent, match="Not an instant: 'yesterday'"):
        client.get_holon("nobody", at="yesterday")
    for wrong in (datetime(2024, 1, 1, tzinfo=UTC), 1.5, True):  # each gave the present state
        at: Any = wrong
        for read in (client.get_holon, client.get_relationship, client.get_holon_modifications):
            with pytest.raises(InvalidEvent, match="Not an instant"):
                read("nobody", at=at)
    with pytest.raises(InvalidEvent, match="Not an instant: 'soon'"):
        as_of("soon")


def test_reads_that_stop_early_or_fail_give_their_connection_back(client: SyncClient) -> None:
    no_list = person("ada", occurred_at="2024-01-01", payload={"rank": "O-1", "measurements": "none"})
    measured = person("ada", type="MeasureEmitted", occurred_at="2025-01-01", payload={"value": 1})
    first, *_ = client.append([no_list, measured, *(promoted(f"O-{n}", "2025-01-01") for n in range(3_000))])
    errors = []
    for _ in range(2 * LOG_CALLS):
        assert rank(client, first.position) == "O-1"
        with pytest.raises(CannotApply) as error:
            client.get_holon("ada", at="2026-01-01")
        errors.append(error.value)  # with its traceback
    assert client.get_event(first.id) is not None


# --- appending and reading events ---


def test_what_is_appended_comes_back_and_is_not_written_twice(client: SyncClient) -> None:
    event = person("ada", id=new_event_id())
    appended = client.append([event], expected={"holon/ada": 0})
    assert client.append([event]) == appended
    (found,) = client.get_events(subjects=iter(["ada"]))
    assert found == client.get_event(appended[0].id)
    assert (found.stream, found.version, found.position) == ("holon/ada", 1, appended[0].position)
    with pytest.raises(WrongExpectedVersion, match="holon/ada is at version 1, expected 0"):
        client.append([person("ada")], expected={"holon/ada": 0})
    assert client.get_event(new_event_id()) is None


def test_tokens_merge_and_reads_wait_for_them(client: SyncClient) -> None:
    appended = client.append([person("ada"), person("bob")])
    token = merge_tokens(*appended, "h1.e30", Token({"holon/ada": 1}))
    assert token == Token({a.stream: a.position for a in appended})
    with pytest.raises(NotYetVisible):
        client.get_holon("ada", at_least=str(token), deadline=0.01)
    with pytest.raises(InvalidToken):
        merge_tokens("token")


@pytest.mark.parametrize(
    ("query", "arguments"),
    [
        ("query_holons_by_type", ("Person",)),
        ("get_all_holons", ()),
        ("get_holon_relationships", ("ada",)),
        ("traverse_relationships", ("ada",)),
        ("query_relationships_by_type", ("OCCUPIES",)),
        ("get_all_relationships", ()),
        ("get_connected_holons", ("ada",)),
        ("match_pattern", (Pattern(),)),
    ],
)
def test_every_query_of_the_graph_waits_for_a_token(client: SyncClient, query: str, arguments: tuple[Any, ...]) -> None:
    ahead = Token({"holon/ada": 1})
    with pytest.raises(NotYetVisible):  # the client's own deadline is 0
        getattr(client, query)(*arguments, at_least=ahead)
    with pytest.raises(NotYetVisible) as error:
        getattr(client, query)(*arguments, at_least=ahead, deadline=0.01)
    assert error.value.waited >= 0.01


def test_a_traversal_waits_for_a_token(client: SyncClient) -> None:
    with pytest.raises(NotYetVisible):
        client.traverse("ada", max_depth=2, at_least=Token({"holon/ada": 1}))


def test_events_come_in_pages_without_a_gap(client: SyncClient) -> None:
    count = 2 * PAGE + 17
    appended: list[Appended] = client.append(
        [person(f"p-{n}", actor="odd" if n % 2 else "even", id=new_event_id()) for n in range(count)]
    )
    wanted = [a.id for a in appended]
    assert [e.id for e in client.get_events()] == wanted
    assert [e.id for e in client.get_events(limit=PAGE + 1)] == wanted[: PAGE + 1]
    assert [e.id for e in client.get_events(limit=PAGE)] == wanted[:PAGE]
    assert [e.id for e in client.get_events(after=appended[PAGE].position)] == wanted[PAGE + 1 :]
    assert [e.id for e in client.get_events(actor="odd", type=iter(["PersonCreated"]))] == wanted[1::2]
    assert list(client.get_events(limit=0)) == []
    assert next(client.get_events()).id == wanted[0]  # and the rest is given up


def test_the_asynchronous_client_streams_events_and_answers_many_tasks(client: SyncClient, log: EventStore) -> None:
    places = client.append([hired(), *(promoted(f"O-{n}", "2025-01-01") for n in range(2, 10))])

    async def ask() -> None:
        async with over(log) as asking:
            assert [event.id async for event in asking.get_events()] == [place.id for place in places]
            holons = await asyncio.gather(*(asking.get_holon("ada", at=p.position) for p in places * 10))
            assert [holon and holon.version for holon in holons] == [p.version for p in places * 10]

    asyncio.run(ask())


# --- the blocking side ---


def test_threads_may_share_a_blocking_client(client: SyncClient) -> None:
    with ThreadPoolExecutor(8) as threads:
        appended = list(threads.map(lambda n: client.append([person(f"p-{n}")])[0], range(40)))
        holons = list(threads.map(lambda a: client.get_holon(a.stream.partition("/")[2], at=a.position), appended))
    assert sorted(h.id for h in holons if h) == sorted(f"p-{n}" for n in range(40))


def test_a_closed_client_says_so_and_its_thread_is_gone(log: EventStore) -> None:
    with SyncClient.over(over(log)) as client:
        client.append([person(f"p-{n}") for n in range(2 * PAGE)])
        unread = client.get_events()
        next(unread)
    with pytest.raises(ClientClosed):
        client.get_holon("p-1")
    with pytest.raises(ClientClosed):
        list(unread)
    assert "holonstream-client" not in {thread.name for thread in threading.enumerate()}


class Stuck(MemoryGraphStore):
    """Never answers, and signals when it is asked."""

    def __init__(self) -> None:
        super().__init__(MemoryEventStore(CATALOGUE), CATALOGUE)
        self.asked, self.cancelled = threading.Event(), threading.Event()

    async def get_holon(self, *_: Any, **__: Any) -> None:
        self.asked.set()
        try:
            await asyncio.Event().wait()
        finally:
            self.cancelled.set()


@asynccontextmanager
async def stuck(graph: Stuck) -> AsyncIterator[Client]:
    yield Client(graph, MemoryEventStore(CATALOGUE), CATALOGUE)


@pytest.mark.usefixtures("interruptible")
def test_an_interrupt_cancels_the_call_that_it_meets() -> None:
    graph, caller = Stuck(), threading.get_ident()

    def interrupt() -> None:
        assert graph.asked.wait(30)
        signal.pthread_kill(caller, signal.SIGINT)

    with SyncClient.over(stuck(graph)) as client, ThreadPoolExecutor(1) as threads:
        interrupted = threads.submit(interrupt)
        with pytest.raises(KeyboardInterrupt):
            client.get_holon("ada")
        interrupted.result(30)
        assert graph.cancelled.wait(30)


def test_an_interrupt_before_the_call_has_a_future_cancels_it_too(monkeypatch: pytest.MonkeyPatch) -> None:
    graph, submit = Stuck(), asyncio.run_coroutine_threadsafe

    def interrupted(call: Coroutine[Any, Any, Any], loop: asyncio.AbstractEventLoop) -> None:
        submit(call, loop)
        assert graph.asked.wait(30)
        raise KeyboardInterrupt

    with SyncClient.over(stuck(graph)) as client:
        monkeypatch.setattr(asyncio, "run_coroutine_threadsafe", interrupted)
        with pytest.raises(KeyboardInterrupt):
            client.get_holon("ada")
        monkeypatch.undo()
        assert graph.cancelled.wait(30)


def test_a_call_under_way_ends_when_another_thread_closes_the_client() -> None:
    graph = Stuck()
    with ThreadPoolExecutor(1) as threads:
        with SyncClient.over(stuck(graph)) as client:
            call = threads.submit(client.get_holon, "ada")
            assert graph.asked.wait(30)
        with pytest.raises(ClientClosed, match="another thread"):
            call.result(30)
