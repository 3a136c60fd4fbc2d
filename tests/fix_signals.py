"""SIGTERM ends tests as Ctrl-C does: their `finally` blocks and fixtures stop the servers that they have started."""

from __future__ import annotations

import signal
from types import FrameType


def pytest_configure() -> None:
    """Take SIGTERM for an interruption, in every process that runs tests."""
    signal.signal(signal.SIGTERM, _interrupt)


def _interrupt(number: int, frame: FrameType | None) -> None:
    # Once: a group of processes gets it from `timeout`, and again from make, which passes it on.
    signal.signal(signal.SIGTERM, lambda number, frame: None)
    raise KeyboardInterrupt
