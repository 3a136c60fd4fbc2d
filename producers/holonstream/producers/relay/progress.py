"""What a relay has done so far, for metrics, health and tests."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from time import monotonic
from typing import Any, Literal


@dataclass(frozen=True, slots=True)
class RelayProgress:
    """A relay at one moment. Counters start at zero with the process."""

    state: Literal["connecting", "standby", "leader", "backoff", "stopped"] = "stopped"
    relayed: int = 0
    """events published"""
    transactions: int = 0
    """Kafka transactions committed"""
    bytes: int = 0
    """of keys and values, before compression"""
    position: int = 0
    """of the last event known to be on the topic"""
    frontier: int = 0
    head: int = 0
    unavailable: int = 0
    """times that PostgreSQL or Kafka could not be reached"""
    fenced: int = 0
    """times that another relay took over the transactional id"""
    error: str | None = None
    """why the relay is not leading, until it leads again"""


class RelayMonitor:
    """The present `RelayProgress`, written by the relay's thread, read and waited for by others."""

    def __init__(self, on_change: Callable[[RelayProgress], None] | None = None) -> None:
        self.now = RelayProgress()
        self.turned_at = monotonic()
        """monotonic seconds of the last step of the relay's thread: a poll of the log, a batch, an attempt to lead"""
        self._changed = threading.Condition()
        self._on_change = on_change

    def change(self, **changes: Any) -> None:
        """Take new values; `on_change` is called when one is different."""
        self.turned()
        changed = replace(self.now, **changes)
        if changed == self.now:
            return
        with self._changed:
            self.now = changed
            self._changed.notify_all()
        if self._on_change is not None:
            self._on_change(changed)

    def turned(self) -> None:
        """Note that the relay's thread does not hang."""
        self.turned_at = monotonic()

    def interrupted(self, error: str, *, fenced: bool) -> None:
        """Count what ended the relay's lead, or its attempt to lead."""
        now = self.now
        self.change(
            state="backoff", error=error, unavailable=now.unavailable + (not fenced), fenced=now.fenced + fenced
        )

    def published(self, events: int, size: int, position: int) -> None:
        """Count a committed transaction."""
        now = self.now
        self.change(
            relayed=now.relayed + events, transactions=now.transactions + 1, bytes=now.bytes + size, position=position
        )

    def wait_for(self, predicate: Callable[[RelayProgress], bool], timeout: float) -> bool:
        """Wait until the predicate holds; False when it does not after `timeout` seconds."""
        with self._changed:
            return self._changed.wait_for(lambda: predicate(self.now), timeout)
