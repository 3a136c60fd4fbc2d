"""The leader lock: at most one relay of a namespace reads the log at a time.

A session advisory lock: it ends with the session, however that ends, so nothing has to expire. It only keeps two relays
from working against each other; Kafka's fencing sees to it that a leader which has lost its session without noticing
publishes nothing (`producers.relay.publisher`).

The lock's key has 32 bits of the namespace's hash. So that two namespaces which share it do not take each other's relay
for their own, the leader also has a lock with 48 bits of another hash, which keeps nobody waiting.
"""

from __future__ import annotations

import hashlib
import threading
import zlib
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from time import monotonic
from typing import Any

import psycopg

from holonstream.producers.errors import NamespaceCollision, RelayLeads
from holonstream.producers.log.postgres import LEADER_OPTIONS, BoundedConnection, connect_session, driver_errors, query

LEADER_LOCK = 18516 << 48
NAMESPACE_LOCK = 18518 << 48
RETRY_SECONDS = 0.2
WHOSE_SECONDS = 5.0  # between two questions of a standby for whom the leader leads


@dataclass(frozen=True, slots=True)
class RelayLeader:
    """The session that has the leader lock."""

    pid: int
    user: str | None
    application_name: str | None
    address: str | None
    """of the client; None for one on the same machine's socket, or when the role may not see it"""
    age_seconds: float | None

    def __str__(self) -> str:
        return f"pid {self.pid}, user {self.user}, application {self.application_name}, from {self.address or 'there'}"


def leader_key(namespace: str) -> int:
    """The advisory lock's key."""
    return LEADER_LOCK | zlib.crc32(namespace.encode())


def namespace_key(namespace: str) -> int:
    """The key of the lock that says for which namespace a leader leads."""
    return NAMESPACE_LOCK | int.from_bytes(hashlib.blake2b(namespace.encode(), digest_size=6).digest())


def _keys(namespace: str) -> dict[str, int]:
    return {"key": leader_key(namespace), "namespace": namespace_key(namespace)}


def acquire_leadership(
    connection: psycopg.Connection[Any],
    namespace: str,
    stop: threading.Event,
    on_try: Callable[[], None] = lambda: None,
) -> bool:
    """Wait until this session leads; False when `stop` was set first. `on_try` is called before each attempt.

    Raises LogUnavailable, and NamespaceCollision when a relay of another namespace has the lock.

    It polls: a statement that waits for the lock would hold back vacuum for as long as it waits.
    """
    asks_at = monotonic()
    while not stop.is_set():
        on_try()
        if _try_lead(connection, namespace):
            return True
        if monotonic() >= asks_at:
            asks_at = monotonic() + WHOSE_SECONDS
            _check_namespace(connection, namespace)
        stop.wait(RETRY_SECONDS)
    return False


def _try_lead(connection: psycopg.Connection[Any], namespace: str) -> bool:
    with driver_errors():
        row = connection.execute(query("try_lead"), _keys(namespace)).fetchone()
    assert row is not None
    return bool(row[0])


def current_leader(connection: psycopg.Connection[Any], namespace: str) -> RelayLeader | None:
    """The session that has the lock, unless it is a relay of another namespace. Raises LogUnavailable."""
    leader, is_other = _holder(connection, namespace)
    return None if is_other else leader


def _holder(connection: psycopg.Connection[Any], namespace: str) -> tuple[RelayLeader | None, bool]:
    """The session that has the lock, and whether for another namespace."""
    with driver_errors():
        row = connection.execute(query("relay_leader"), _keys(namespace)).fetchone()
    return (None, False) if row is None else (RelayLeader(*row[:-1]), bool(row[-1]))


def _check_namespace(connection: psycopg.Connection[Any], namespace: str) -> None:
    leader, is_other = _holder(connection, namespace)
    if is_other:
        raise NamespaceCollision(
            f"Namespace {namespace!r} shares its leader lock with another namespace of this log, whose relay has it "
            f"({leader}): both names have the same CRC-32, so only one of them could be published. Choose another "
            "HOLONSTREAM_NAMESPACE"
        )


@contextmanager
def no_relay(dsn: str, namespace: str) -> Iterator[Callable[[], None]]:
    """Hold the lock, so that no relay publishes; yields a check that it is still held, which raises LogUnavailable.

    Raises RelayLeads when another session has it.
    """
    session = connect_session(dsn, "holonstream-replay", kind=BoundedConnection, options=LEADER_OPTIONS)
    with closing(session) as connection:

        def check() -> None:
            if not _try_lead(connection, namespace):  # a session that has it gets it again
                who = current_leader(connection, namespace)
                raise RelayLeads(f"A relay leads{'' if who is None else f' ({who})'}: stop all relays first")

        check()
        yield check
