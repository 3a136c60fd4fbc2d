"""What was acknowledged to writers. Log, topic, graph and cache are compared with it."""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from holonstream.schemas.partition import partition_of
from holonstream.schemas.token import Token
from tests.chaos.workload import CREATING
from tests.support.poison import Envelope

RECENT = 400  # tokens that readers choose from


@dataclass(frozen=True, slots=True)
class AcknowledgedEvent:
    """An event whose append was acknowledged, and the token that came with it."""

    id: str
    stream: str
    version: int
    position: int
    token: str

    @classmethod
    def of(cls, row: Sequence[Any]) -> AcknowledgedEvent:
        """From a row of ``append_events``."""
        return cls(*row)


class Ledger:
    """Written by all writers, read by readers and by the oracle. Safe for threads."""

    def __init__(self, partitions: int) -> None:
        self._partitions = partitions
        self._lock = threading.Lock()
        self.committed: dict[str, tuple[str, int, int]] = {}
        """stream, version and position by event id"""
        self.rolled_back: set[str] = set()
        self.uncertain: dict[str, int] = {}
        """by event id, the number of a transaction whose commit was not answered: the log has it whole or not at all"""
        self.transactions: Counter[str] = Counter()
        self.appended = 0
        self._transactions = 0
        self._created: dict[str, int] = {}
        self._recent: deque[AcknowledgedEvent] = deque(maxlen=RECENT)
        self._latest: dict[int, int] = {}

    def commit(self, kind: str, events: Iterable[Envelope], rows: Sequence[AcknowledgedEvent]) -> None:
        """A transaction was committed."""
        with self._lock:
            self.transactions[kind] += 1
            for event, row in zip(events, rows, strict=True):
                self.committed[row.id] = (row.stream, row.version, row.position)
                self.uncertain.pop(row.id, None)
                partition = partition_of(row.stream, self._partitions)
                self._latest[partition] = max(row.position, self._latest.get(partition, 0))
                if event["type"] in CREATING and "validityWindow" not in event:
                    self._created.setdefault(row.stream, row.position)
                if self._created.get(row.stream, row.position + 1) <= row.position:
                    self._recent.append(row)

    def roll_back(self, kind: str, ids: Iterable[str]) -> None:
        """A transaction or a savepoint was undone."""
        with self._lock:
            self.transactions[kind] += 1
            self.rolled_back.update(ids)

    def forget(self, ids: Iterable[str]) -> None:
        """Acknowledged events were lost with their server."""
        with self._lock:
            for id_ in list(ids):
                del self.committed[id_]

    def mark_uncertain(self, ids: Iterable[str]) -> None:
        """A connection broke during a commit, so its outcome is unknown."""
        with self._lock:
            self.transactions["uncertain"] += 1
            self._transactions += 1
            self.uncertain |= dict.fromkeys(ids, self._transactions)

    def append(self, count: int) -> None:
        """Count events that are passed to append_events."""
        with self._lock:
            self.appended += count

    def place(self, event_id: str) -> tuple[str, int, int] | None:
        """Where an event was committed; None when it was not, or the outcome is unknown."""
        with self._lock:
            return self.committed.get(event_id)

    def recent(self) -> list[AcknowledgedEvent]:
        """The last acknowledged events of entities that existed then."""
        with self._lock:
            return list(self._recent)

    def latest(self) -> tuple[int, dict[int, int]]:
        """How many events were acknowledged, and the last position of each partition."""
        with self._lock:
            return len(self.committed), dict(self._latest)


def position_in(token: str, stream: str) -> int:
    """The position that a token asks for."""
    return Token.parse(token).positions[stream]
