"""What is parked in a store, and what a redrive has done: the same for the graph and for sinks of one's own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from holonstream.schemas.errors import HolonstreamError
from holonstream.schemas.wire import LoggedEvent


@dataclass(frozen=True, slots=True)
class ParkedStream:
    """A stream whose events from `version` on are not in the store."""

    stream: str
    version: int
    position: int
    topic: str
    partition: int
    offset: int | None
    """of the record that parked it; None when a redrive found the event, and for sinks of one's own"""
    reason: str


@dataclass(frozen=True, slots=True)
class RedriveResult:
    """The result of redriving one parked stream."""

    stream: str
    applied: int
    """events that the store has gained"""
    discarded: int
    """events left out by decision on the way"""
    parked: ParkedStream | None
    """where it is parked now, None when it is not"""


class NotParked(HolonstreamError):
    """A stream is not parked, or not at the version named."""


class StreamLog(Protocol):
    """The streams of the log."""

    def read(self, stream: str, after_version: int, until: int, limit: int) -> Sequence[LoggedEvent]:
        """The first `limit` events of a stream beyond a version and up to a position. Raises Unavailable."""
