"""The log's side of `holonstream status`: how far it is settled, how far it is relayed, and by whom."""

from __future__ import annotations

from dataclasses import dataclass

from holonstream.producers.frontier import FrontierStatus, frontier_status
from holonstream.producers.lease import leader_key
from holonstream.producers.postgres import connect, driver_errors, query

COUNTED = 1_000_000  # events of a lag that are counted; a larger one is told as this


@dataclass(frozen=True, slots=True)
class RelayLeader:
    """The session that has the leader lock."""

    pid: int
    application_name: str | None
    address: str | None
    """of the client; None for one on the same machine's socket, or when the role may not see it"""
    age_seconds: float | None


@dataclass(frozen=True, slots=True)
class LogStatus:
    """The log, and the relay's place on it."""

    frontier: FrontierStatus
    lag: int
    """events not relayed, counted up to a million"""
    lag_seconds: float
    """age of the oldest of them; 0.0 without"""
    leader: RelayLeader | None


@dataclass(frozen=True, slots=True)
class LogPlace:
    """How far the log is, and how long the oldest event beyond a position has waited."""

    frontier: FrontierStatus
    lag_seconds: float
    """age of the first event beyond the position; 0.0 without one"""


def log_place(dsn: str, position: int) -> LogPlace:
    """What a relay may ask every few seconds: unlike `log_status` it counts nothing.

    Raises LogUnavailable, NotInitialised.
    """
    with connect(dsn, "holonstream-metrics") as connection:
        frontier = frontier_status(connection)
        with driver_errors():
            row = connection.execute(query("relay_lag_age"), {"position": position}).fetchone()
    return LogPlace(frontier, max(row[0], 0.0) if row else 0.0)


def log_status(dsn: str, namespace: str, relayed: int) -> LogStatus:
    """The log's status, given the position that the relay has committed. Raises LogUnavailable, NotInitialised."""
    with connect(dsn, "holonstream-status") as connection:
        frontier = frontier_status(connection)
        with driver_errors():
            lag = connection.execute(query("relay_lag"), {"position": relayed, "bound": COUNTED}).fetchone()
            leader = connection.execute(query("relay_leader"), {"key": leader_key(namespace)}).fetchone()
    assert lag is not None
    return LogStatus(frontier, lag[0], lag[1] or 0.0, None if leader is None else RelayLeader(*leader))
