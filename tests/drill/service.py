"""A service that appends one event after the other, all through a drill, and keeps what was acknowledged."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from itertools import pairwise
from time import monotonic
from types import TracebackType
from typing import Any, Self
from uuid import uuid4

import psycopg

from tests.support.event_log import append, envelope
from tests.support.waiting import wait_until

SESSION: dict[str, Any] = {"connect_timeout": 2, "target_session_attrs": "primary", "tcp_user_timeout": 2000}
BROKEN = (psycopg.OperationalError, psycopg.InterfaceError, psycopg.errors.ReadOnlySqlTransaction)


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """An event whose append was answered."""

    id: str
    name: str
    position: int
    token: str
    at: float


class Service:
    """Appends while it is entered; one that fails is appended again with the same id, as docs/appending.md says."""

    def __init__(self, dsn: str, pause: float = 0.005) -> None:
        self._dsn, self._pause = dsn, pause
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.acknowledged: list[Acknowledged] = []

    def __enter__(self) -> Self:
        self._thread.start()
        self.appends(100)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()

    def appends(self, more: int) -> None:
        """Wait until so many more events are acknowledged."""
        wanted = len(self.acknowledged) + more
        wait_until(lambda: len(self.acknowledged) >= wanted, f"{more} more events are appended", 600)

    def first_after(self, moment: float) -> Acknowledged:
        """The first event that was acknowledged after a moment."""
        return wait_until(lambda: next((a for a in self.acknowledged if a.at > moment), None), "an append", 1800)

    def longest_pause(self, moment: float) -> float:
        """Seconds between two acknowledgements, the second of them after a moment."""
        times = [one.at for one in self.acknowledged]
        return max(after - before for before, after in pairwise(times) if after > moment)

    def _run(self) -> None:
        connection: psycopg.Connection[Any] | None = None
        event = envelope(f"s-{uuid4()}")
        while not self._stop.wait(self._pause):
            try:
                if connection is None:
                    connection = psycopg.connect(self._dsn, autocommit=True, **SESSION)
                (row,) = append(connection, [event])
            except BROKEN:
                if connection is not None:
                    connection.close()
                connection = None
                self._stop.wait(0.1)
                continue
            self.acknowledged.append(Acknowledged(row[0], event["subjects"][0], row[3], row[4], monotonic()))
            event = envelope(f"s-{uuid4()}")
        if connection is not None:
            connection.close()
