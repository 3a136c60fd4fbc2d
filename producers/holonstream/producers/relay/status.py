"""The log's side of `holonstream status`: how far it is gap-free, how far it is relayed, and by whom."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import psycopg

from holonstream.producers.log.frontier import FrontierStatus, frontier_status
from holonstream.producers.log.postgres import BoundedConnection, connect, driver_errors, query
from holonstream.producers.relay.lease import RelayLeader, current_leader

COUNTED = 1_000_000  # events of a lag that are counted; a larger one is given as this


@dataclass(frozen=True, slots=True)
class LogStatus:
    """The log, and the relay's position in it."""

    frontier: FrontierStatus
    lag: int
    """events not relayed, counted up to a million"""
    lag_seconds: float
    """age of the oldest of them; 0.0 without"""
    leader: RelayLeader | None


@dataclass(frozen=True, slots=True)
class LogAge:
    """The log, and how long its oldest event beyond a position has waited."""

    frontier: FrontierStatus
    lag_seconds: float
    """age of the first event beyond the position; 0.0 without one"""


def log_age(dsn: str, position: int) -> LogAge:
    """What a relay may ask every few seconds: unlike `log_status` it counts nothing.

    Raises LogUnavailable, NotInitialised.
    """
    with connect(dsn, "holonstream-metrics", kind=BoundedConnection) as connection:
        frontier = frontier_status(connection, foreign=False)
        _, seconds = _lag(connection, position, counted=0)
    return LogAge(frontier, seconds)


def log_status(dsn: str, namespace: str, relayed: int) -> LogStatus:
    """The log's status, given the position that the relay has committed. Raises LogUnavailable, NotInitialised."""
    with connect(dsn, "holonstream-status", kind=BoundedConnection) as connection:
        frontier = frontier_status(connection)
        events, seconds = _lag(connection, relayed, COUNTED)
        leader = current_leader(connection, namespace)
    return LogStatus(frontier, events, seconds, leader)


def _lag(connection: psycopg.Connection[Any], position: int, counted: int) -> tuple[int, float]:
    with driver_errors():
        row = connection.execute(query("relay_lag"), {"position": position, "bound": counted}).fetchone()
    assert row is not None
    return row[0], max(row[1] or 0.0, 0.0)
