"""Waiting for a condition, instead of sleeping."""

from __future__ import annotations

import threading
from collections.abc import Callable
from time import monotonic
from typing import TypeVar

T = TypeVar("T")

FIRST_BATCH = 240.0  # seconds until a worker has written its first batch to a Neo4j that has just started, under load

_never = threading.Event()


def wait_until(condition: Callable[[], T | bool | None], what: str, deadline: float = 120.0, every: float = 0.02) -> T:
    """The condition's first true value; AssertionError naming `what` after `deadline`. Times in seconds."""
    until = monotonic() + deadline
    while True:
        value = condition()
        if value:
            return value  # type: ignore[return-value]
        if monotonic() > until:
            raise AssertionError(f"not within {deadline:g} s: {what}")
        _never.wait(every)
