"""The leader lock: at most one relay of a namespace reads the log at a time.

A session advisory lock: it ends with the session, however that ends, so nothing has to expire. It only keeps two relays
from working against each other; Kafka's fencing sees to it that a leader which has lost its session without noticing
publishes nothing (`producers.relay.publisher`).
"""

from __future__ import annotations

import threading
import zlib
from collections.abc import Callable
from typing import Any

import psycopg

from holonstream.producers.log.postgres import driver_errors, query

LEADER_LOCK = 18516 << 48
RETRY_SECONDS = 0.2


def leader_key(namespace: str) -> int:
    """The advisory lock's key."""
    return LEADER_LOCK | zlib.crc32(namespace.encode())


def acquire_leadership(
    connection: psycopg.Connection[Any],
    namespace: str,
    stop: threading.Event,
    on_try: Callable[[], None] = lambda: None,
) -> bool:
    """Wait until this session leads; False when `stop` was set first. `on_try` is called before each attempt.

    Raises LogUnavailable.

    It polls: a statement that waits for the lock would hold back vacuum for as long as it waits.
    """
    while not stop.is_set():
        on_try()
        with driver_errors():
            row = connection.execute(query("try_lead"), {"key": leader_key(namespace)}).fetchone()
        assert row is not None
        if row[0]:
            return True
        stop.wait(RETRY_SECONDS)
    return False
