"""Polls a server every few seconds, in a thread of its own, so that a scrape never waits for it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from time import monotonic
from typing import Generic, TypeVar

from holonstream.schemas.errors import HolonstreamError

T = TypeVar("T")


class Sampler(Generic[T]):
    """Keeps the last answer of `poll`, which may raise HolonstreamError. `interval` is in seconds."""

    def __init__(self, poll: Callable[[], T], interval: float) -> None:
        self._poll = poll
        self._interval = interval
        self._stop = threading.Event()
        self.answer: T | None = None
        """None before the first answer, and when the last poll failed"""
        self.polled_at = monotonic()
        """when the last poll ended, in monotonic seconds"""

    def run(self, stop: threading.Event) -> None:
        """Poll until `stop` is set."""
        while not stop.is_set():
            try:
                self.answer = self._poll()
            except HolonstreamError:
                self.answer = None
            self.polled_at = monotonic()
            stop.wait(self._interval)

    def start(self) -> None:
        """Poll in a daemon thread until `close`."""
        threading.Thread(target=self.run, args=(self._stop,), name="holonstream-sampler", daemon=True).start()

    def close(self) -> None:
        """Stop polling."""
        self._stop.set()
