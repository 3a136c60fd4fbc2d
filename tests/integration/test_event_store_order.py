"""Nothing is lost and nothing reversed, whatever order transactions commit in; and the obvious ways are not enough.

Three observers follow the same log while eight writers append to it: by the frontier, by the position alone, and by
the transaction id. The first must see every committed event once and in order. The others must be seen to fail, or the
writers would prove nothing.
"""

from __future__ import annotations

import random
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import psycopg
import pytest

from holonstream.producers.log.frontier import read_frontier
from holonstream.producers.log.schema import apply_schema
from holonstream.schemas.catalogue import Catalogue
from tests.support.event_log import append, envelope

WRITERS = 8
TRANSACTIONS = 40  # of each writer
STREAMS = 6

Connection = psycopg.Connection[Any]
SeenEvent = tuple[str, str, int, int]  # id, stream, version, position

BY_POSITION = "SELECT id::text, stream, version, position FROM holonstream.events WHERE position > %s ORDER BY position"
BY_FRONTIER = (
    "SELECT id::text, stream, version, position FROM holonstream.events "
    "WHERE position > %s AND position <= %s ORDER BY position"
)
BY_TRANSACTION = (
    "SELECT id::text, stream, version, position, (payload ->> 'xid')::bigint FROM holonstream.events "
    "WHERE (payload ->> 'xid')::bigint > %s "
    "AND (payload ->> 'xid')::bigint < pg_snapshot_xmin(pg_current_snapshot())::text::bigint ORDER BY 5, position"
)


class FrontierObserver:
    """As the relay does."""

    def __init__(self) -> None:
        self.last = 0

    def read(self, connection: Connection) -> list[SeenEvent]:
        frontier = read_frontier(connection, after=self.last).frontier
        rows = connection.execute(BY_FRONTIER, [self.last, frontier]).fetchall()
        self.last = max(self.last, frontier)
        return rows


class PositionObserver:
    """A cursor over the sequence."""

    def __init__(self) -> None:
        self.last = 0

    def read(self, connection: Connection) -> list[SeenEvent]:
        rows = connection.execute(BY_POSITION, [self.last]).fetchall()
        self.last = max([self.last, *(row[3] for row in rows)])
        return rows


class TransactionObserver:
    """A cursor over the transaction id, below the oldest transaction that still runs."""

    def __init__(self) -> None:
        self.last = 0

    def read(self, connection: Connection) -> list[SeenEvent]:
        rows = connection.execute(BY_TRANSACTION, [self.last]).fetchall()
        self.last = max([self.last, *(row[4] for row in rows)])
        return [row[:4] for row in rows]


@dataclass
class Writer:
    """Transactions of every difficult kind, chosen by a seeded generator."""

    connection: Connection
    random: random.Random
    committed: list[str] = field(default_factory=list)

    def run(self) -> None:
        kinds: list[Callable[[list[str]], None]] = [
            self.at_once,
            self.early_transaction_id,
            self.twice_with_a_pause,
            self.rolled_back,
            self.savepoint_undone_first,
            self.savepoint_undone_later,
        ]
        for _ in range(TRANSACTIONS):
            ids: list[str] = []
            try:
                with self.connection.transaction():
                    self.random.choice(kinds)(ids)
            except psycopg.errors.DeadlockDetected:
                continue  # two transactions that append to the same streams in opposite order
            self.committed += ids

    def append(self) -> list[str]:
        row = self.connection.execute("SELECT pg_current_xact_id()::text::bigint").fetchone()
        assert row is not None
        names = [f"h-{self.random.randrange(STREAMS)}" for _ in range(self.random.randint(1, 5))]
        return [row[0] for row in append(self.connection, [envelope(name, payload={"xid": row[0]}) for name in names])]

    def pause(self) -> None:
        self.connection.execute("SELECT pg_sleep(%s)", [self.random.uniform(0, 0.01)])

    def at_once(self, ids: list[str]) -> None:
        ids += self.append()

    def early_transaction_id(self, ids: list[str]) -> None:
        self.connection.execute("SELECT pg_current_xact_id()")
        self.pause()
        ids += self.append()

    def twice_with_a_pause(self, ids: list[str]) -> None:
        ids += self.append()
        self.pause()
        ids += self.append()
        self.pause()

    def rolled_back(self, ids: list[str]) -> None:
        self.append()
        self.pause()
        raise psycopg.Rollback

    def savepoint_undone_first(self, ids: list[str]) -> None:
        with self.connection.transaction(force_rollback=True):
            self.append()
            self.pause()
        self.pause()
        ids += self.append()
        self.pause()

    def savepoint_undone_later(self, ids: list[str]) -> None:
        ids += self.append()
        with self.connection.transaction(force_rollback=True):
            self.append()
        self.pause()
        with self.connection.transaction():
            ids += self.append()
        self.pause()


@pytest.fixture
def log_dsn(postgres_dsn: str) -> str:
    apply_schema(postgres_dsn, Catalogue.load())
    return postgres_dsn


@pytest.fixture
def sessions(log_dsn: str) -> Iterator[list[Connection]]:
    # deadlocks are part of the game, waiting a second for each is not
    opened = [psycopg.connect(log_dsn, autocommit=True, options="-c deadlock_timeout=5ms") for _ in range(WRITERS + 3)]
    yield opened
    for connection in opened:
        connection.close()


def reversed_streams(seen: list[SeenEvent]) -> int:
    """How often a stream's version comes after a higher one."""
    versions = defaultdict(list)
    for _, stream, version, _ in seen:
        versions[stream].append(version)
    return sum(earlier > later for stream in versions.values() for earlier, later in pairwise(stream))


def test_only_the_frontier_sees_all_in_order(sessions: list[Connection]) -> None:
    observers: list[Any] = [FrontierObserver(), PositionObserver(), TransactionObserver()]
    seen: list[list[SeenEvent]] = [[], [], []]
    done = threading.Event()

    def observe(number: int) -> None:
        last_look = False
        while not last_look:
            last_look = done.wait(0.002)
            seen[number] += observers[number].read(sessions[number])

    writers = [Writer(connection, random.Random(seed)) for seed, connection in enumerate(sessions[3:])]
    with ThreadPoolExecutor(WRITERS + 3) as pool:
        observing = [pool.submit(observe, number) for number in range(3)]
        try:
            for writing in [pool.submit(writer.run) for writer in writers]:
                writing.result(120)
        finally:
            done.set()
        for observation in observing:
            observation.result(30)
    by_frontier, by_position, by_transaction = seen
    committed = {id_ for writer in writers for id_ in writer.committed}
    log = sessions[0].execute(BY_POSITION, [0]).fetchall()
    assert {row[0] for row in log} == committed
    assert len(log) == len(committed) > WRITERS * TRANSACTIONS / 2

    assert by_frontier == log
    assert reversed_streams(by_frontier) == 0
    versions = defaultdict(list)
    for _, stream, version, _ in by_frontier:
        versions[stream].append(version)
    assert all(found == list(range(1, len(found) + 1)) for found in versions.values())
    heads = dict(sessions[0].execute("SELECT stream, version FROM holonstream.streams WHERE version > 0").fetchall())
    assert heads == {stream: len(found) for stream, found in versions.items()}

    assert len({row[0] for row in by_position}) < len(committed), "a cursor over the sequence lost nothing"
    assert reversed_streams(by_transaction) > 0, "a cursor over the transaction id reversed nothing"


def test_a_cursor_over_positions_loses_what_commits_late(sessions: list[Connection]) -> None:
    early, late, reader = sessions[:3]
    observers = FrontierObserver(), PositionObserver()
    with late.transaction():
        first = append(late, [envelope("a")])[0][0]
        second = append(early, [envelope("b")])[0][0]
        assert [row[0] for row in observers[0].read(reader)] == []
        assert [row[0] for row in observers[1].read(reader)] == [second]
    assert [row[0] for row in observers[0].read(reader)] == [first, second]
    assert [row[0] for row in observers[1].read(reader)] == []  # lost for ever


def test_a_cursor_over_transactions_reverses_and_stalls(sessions: list[Connection]) -> None:
    early, late, reader, bystander = sessions[:4]
    observers = FrontierObserver(), TransactionObserver()

    def append_one(connection: Connection) -> None:
        row = connection.execute("SELECT pg_current_xact_id()::text::bigint").fetchone()
        assert row is not None
        append(connection, [envelope("a", payload={"xid": row[0]})])

    with bystander.transaction():
        bystander.execute("SELECT pg_current_xact_id()")  # has nothing to do with the log
        with early.transaction():
            early.execute("SELECT pg_current_xact_id()")
            with late.transaction():
                append_one(late)
            append_one(early)
        assert [row[2] for row in observers[0].read(reader)] == [1, 2]
        assert observers[1].read(reader) == []
    assert [row[2] for row in observers[1].read(reader)] == [2, 1]
