"""What goes on beside a run, in a thread of its own, until it is told to stop."""

from __future__ import annotations

import threading
from abc import abstractmethod


class Beside:
    """`start` begins it, `stop` ends it and waits; stopping twice is fine."""

    def __init__(self, name: str) -> None:
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._go_on, name=name)

    @abstractmethod
    def _go_on(self) -> None:
        """Go on until `_stop` is set."""

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()
