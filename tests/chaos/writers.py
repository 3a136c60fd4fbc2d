"""Concurrent writers: transactions of every difficult kind, each writer in a session of its own.

The ledger gets each outcome: committed, rolled back, or unknown, when the connection broke during the commit. Most
unknown outcomes are resolved as a careful service would: by appending the same events again, with the same ids.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic
from typing import Any

import psycopg

from tests.chaos.ledger import AcknowledgedEvent, Ledger
from tests.chaos.violations import Violations
from tests.chaos.workload import Workload
from tests.support.event_log import append
from tests.support.poison import Envelope

OPTIONS = "-c deadlock_timeout=50ms -c idle_in_transaction_session_timeout=20s"
BROKEN = (psycopg.OperationalError, psycopg.InterfaceError)
TRICKLE = 10  # divides the rate when the run ends
EXPECTED_ERRORS = {"HS003": "conflict", "40P01": "deadlock"}
"""SQLSTATEs that writers provoke: a wrong expected version, and two transactions that append to the same streams in
opposite order"""


class DeliberateRollback(Exception):
    """The writer's own rollback."""


class Writer:
    """One writer. `rate` is in events a second, `pause` the longest wait inside a transaction, in seconds."""

    def __init__(
        self, name: str, seed: int, dsn: str, ledger: Ledger, violations: Violations, *, rate: float, pause: float
    ) -> None:
        self._name, self._dsn, self._ledger, self._violations = name, dsn, ledger, violations
        self._dice = random.Random(seed)
        self._work = Workload(name, self._dice)
        self._rate, self._pause = rate, pause
        self._connection: psycopg.Connection[Any] | None = None
        self._mine: list[Envelope] = []
        self._events: list[Envelope] = []
        self._rows: list[AcknowledgedEvent] = []
        self._committing = False

    def run(self, stop: threading.Event, ending: threading.Event) -> None:
        """Write until `stop` is set; once `ending` is, only a trickle, so that what lags can catch up."""
        due = monotonic()
        while not stop.is_set():
            try:
                if self._connection is None:
                    self._connection = psycopg.connect(
                        self._dsn, autocommit=True, options=OPTIONS, connect_timeout=5, application_name=self._name
                    )
                count = self._transaction(self._connection)
            except BROKEN:
                self._disconnect()
                stop.wait(0.2)
                continue
            except psycopg.Error as error:
                self._violations.add("an append failed unexpectedly", error=repr(error), events=self._events)
                self._disconnect()
                continue
            rate = self._rate / TRICKLE if ending.is_set() else self._rate
            due = max(due + count / rate, monotonic() - 1)
            stop.wait(max(due - monotonic(), 0))
        self._disconnect()

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
        self._connection = None

    def _transaction(self, connection: psycopg.Connection[Any]) -> int:
        kinds: list[tuple[Callable[[psycopg.Connection[Any]], None], int]] = [
            (self.at_once, 30),
            (self.early_transaction_id, 15),
            (self.twice_with_a_pause, 10),
            (self.rolled_back, 8),
            (self.savepoint_undone_first, 8),
            (self.savepoint_undone_later, 8),
            (self.wrong_version, 6),
            (self.right_version, 8),
            (self.again, 7),
        ]
        kind = self._dice.choices([kind for kind, _ in kinds], [weight for _, weight in kinds])[0]
        self._events, self._rows, self._committing = [], [], False
        try:
            with connection.transaction():
                kind(connection)
                self._committing = True
        except DeliberateRollback:
            self._ledger.roll_back(kind.__name__, self._ids())
        except psycopg.Error as error:
            if error.sqlstate in EXPECTED_ERRORS:
                self._ledger.roll_back(EXPECTED_ERRORS[error.sqlstate], self._ids())
                return 1
            if self._committing:
                self._unknown()
            else:
                self._ledger.roll_back("broken", self._ids())
            raise
        else:
            self._ledger.commit(kind.__name__, self._events, self._rows)
            self._mine = (self._mine + self._events)[-200:]
        return max(len(self._events), 1)

    def _ids(self) -> list[str]:
        # Events that are appended again are committed already, even if the repetition fails.
        return [event["id"] for event in self._events if self._ledger.place(event["id"]) is None]

    def _unknown(self) -> None:
        """The commit was not answered. Mostly append the same events once more, which resolves it."""
        self._ledger.mark_uncertain(self._ids())
        self._disconnect()
        if self._dice.random() < 0.3:
            return
        events = list({event["id"]: event for event in self._events}.values())
        with psycopg.connect(self._dsn, autocommit=True, options=OPTIONS, connect_timeout=5) as again:
            rows = [AcknowledgedEvent.of(row) for row in append(again, events)]
        self._ledger.commit("resolved", events, rows)

    # --- kinds of transactions ---------------------------------------------------------------------------------------

    def at_once(self, connection: psycopg.Connection[Any]) -> None:
        self._append(connection)

    def early_transaction_id(self, connection: psycopg.Connection[Any]) -> None:
        connection.execute("SELECT pg_current_xact_id()")
        self._rest(connection)
        self._append(connection)

    def twice_with_a_pause(self, connection: psycopg.Connection[Any]) -> None:
        self._append(connection)
        self._rest(connection)
        self._append(connection)
        self._rest(connection)

    def rolled_back(self, connection: psycopg.Connection[Any]) -> None:
        self._append(connection)
        self._rest(connection)
        raise DeliberateRollback

    def savepoint_undone_first(self, connection: psycopg.Connection[Any]) -> None:
        with self._undone(connection):
            self._append(connection)
            self._rest(connection)
        self._append(connection)
        self._rest(connection)

    def savepoint_undone_later(self, connection: psycopg.Connection[Any]) -> None:
        self._append(connection)
        with self._undone(connection):
            self._append(connection)
        self._rest(connection)
        with connection.transaction():
            self._append(connection)

    def wrong_version(self, connection: psycopg.Connection[Any]) -> None:
        """An append that expects an impossible version."""
        event = self._work.event()
        self._events.append(event)
        append(connection, [event], {_stream(event): 10**9})
        self._violations.add("append with a wrong expected version was accepted", event=event)

    def right_version(self, connection: psycopg.Connection[Any]) -> None:
        """Optimistic: read the stream's version, wait, append. Another writer may have been faster."""
        event = self._work.event()
        row = connection.execute(
            "SELECT version FROM holonstream.streams WHERE stream = %s", [_stream(event)]
        ).fetchone()
        expected = 0 if row is None else row[0]
        self._rest(connection)
        self._events.append(event)
        (found,) = append(connection, [event], {_stream(event): expected})
        self._took(found)
        if found[2] != expected + 1:
            self._violations.add("append at another version was accepted", expected=expected, found=found)

    def again(self, connection: psycopg.Connection[Any]) -> None:
        """Committed events once more, among new ones."""
        old = self._dice.sample(self._mine, min(2, len(self._mine)))
        events = [*old, self._work.event()]
        self._dice.shuffle(events)
        self._append(connection, events)
        for event, row in zip(self._events, self._rows, strict=True):
            place = self._ledger.place(event["id"])
            if place is not None and place != (row.stream, row.version, row.position):
                self._violations.add("a repeated append got another place", event=event, first=place, again=row.id)

    def _append(self, connection: psycopg.Connection[Any], events: list[Envelope] | None = None) -> None:
        if events is None:
            events = [self._work.event() for _ in range(self._dice.choice([1, 1, 1, 2, 3, 5]))]
        self._events += events
        self._ledger.append(len(events))
        for row in append(connection, events):
            self._took(row)

    def _took(self, row: tuple[Any, ...]) -> None:
        self._rows.append(AcknowledgedEvent.of(row))

    def _rest(self, connection: psycopg.Connection[Any]) -> None:
        seconds = self._dice.uniform(0, self._pause)
        if self._dice.random() < 0.02:
            seconds *= 20  # sometimes a transaction holds the frontier for long
        connection.execute("SELECT pg_sleep(%s)", [seconds])

    @contextmanager
    def _undone(self, connection: psycopg.Connection[Any]) -> Iterator[None]:
        """A savepoint that is rolled back to."""
        events, rows = len(self._events), len(self._rows)
        with connection.transaction(force_rollback=True):
            yield
        undone = self._events[events:]
        del self._events[events:], self._rows[rows:]
        self._ledger.roll_back("savepoint", [event["id"] for event in undone])


def _stream(event: Envelope) -> str:
    relationship = event["payload"].get("relationshipId")
    return f"relationship/{relationship}" if relationship else f"holon/{event['subjects'][0]}"
