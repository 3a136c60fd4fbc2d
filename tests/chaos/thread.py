"""A task in a thread of its own, during a run."""

from __future__ import annotations

import threading
from abc import abstractmethod


class BackgroundThread:
    """`start` begins it, `stop` ends it and waits; stopping twice is fine."""

    def __init__(self, name: str) -> None:
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._main, name=name)

    @abstractmethod
    def _main(self) -> None:
        """Work until `_stop` is set."""

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()
