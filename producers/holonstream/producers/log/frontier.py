"""The frontier: how far the log is gap-free.

Transactions commit in another order than they draw positions, so that the highest position seen says nothing about
those below it. Up to the frontier every position is committed and visible, or will never be used. Anyone who appends
holds a lock that names a position below all that it draws (append.sql); the frontier is the smaller of the last
position drawn and the lowest such lock, read in that order (read.sql). A position at or below the frontier may then
be relied on in any snapshot taken afterwards, so the log must be read by a later statement.

A transaction that has appended and stays open holds the frontier: nothing beyond it is relayed until it ends.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import psycopg

from holonstream.producers.log.postgres import driver_errors, query


@dataclass(frozen=True, slots=True)
class Frontier:
    """`head` is the last position drawn, `frontier` the gap-free position."""

    head: int
    frontier: int


@dataclass(frozen=True, slots=True)
class FrontierHolder:
    """The transaction that holds the frontier lowest."""

    position: int
    pid: int | None
    """None for a prepared transaction, which has no session"""
    user: str | None
    application_name: str | None
    address: str | None
    """of the client; None for one on the same machine's socket, or when the role may not see it"""
    age_seconds: float | None
    """since it began, or was prepared; None when the role may not see it (pg_read_all_stats)"""
    state: str | None
    gid: str | None
    """of a prepared transaction"""


@dataclass(frozen=True, slots=True)
class ForeignLocks:
    """A session with locks like those of appends, though it does not append: these may make appends wait."""

    pid: int
    user: str | None
    application_name: str | None
    address: str | None
    state: str | None
    count: int


@dataclass(frozen=True, slots=True)
class FrontierStatus:
    """The frontier and who holds it; nobody does when no append is under way."""

    head: int
    frontier: int
    holder: FrontierHolder | None
    foreign: list[ForeignLocks]
    """empty when they were not asked for"""


def read_frontier(connection: psycopg.Connection[Any], after: int = -1) -> Frontier:
    """The frontier; cheaper when nothing was drawn beyond `after`. Raises LogUnavailable."""
    with driver_errors():
        row = connection.execute(query("frontier"), {"after": after}).fetchone()
    assert row is not None
    return Frontier(*row)


def frontier_status(connection: psycopg.Connection[Any], *, foreign: bool = True) -> FrontierStatus:
    """The frontier, the transaction that holds it, and with `foreign` the locks of others. Raises LogUnavailable."""
    now = read_frontier(connection)
    with driver_errors():
        row = connection.execute(query("frontier_holder")).fetchone()
        others = [ForeignLocks(*found) for found in connection.execute(query("foreign_locks"))] if foreign else []
    return FrontierStatus(now.head, now.frontier, FrontierHolder(*row) if row else None, others)
