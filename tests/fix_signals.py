"""SIGTERM ends tests as Ctrl-C does: their `finally` blocks and fixtures stop the servers that they have started."""

from __future__ import annotations

import signal
from types import FrameType


def pytest_configure() -> None:
    """In every process that runs tests."""
    interrupt_on_sigterm()


def interrupt_on_sigterm() -> None:
    """Take SIGTERM for an interruption: servers and processes are stopped on the way out."""
    signal.signal(signal.SIGTERM, _interrupt)


def _interrupt(number: int, frame: FrameType | None) -> None:
    # Once: a group of processes gets it from `timeout`, and again from make, which passes it on.
    signal.signal(signal.SIGTERM, lambda number, frame: None)
    raise KeyboardInterrupt
