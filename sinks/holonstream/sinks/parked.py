"""What is parked in a store, and what a redrive has done: the same for the graph and for sinks of one's own."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from holonstream.schemas.errors import HolonstreamError
from holonstream.schemas.state import State
from holonstream.schemas.wire import LoggedEvent


@dataclass(frozen=True, slots=True)
class ParkedStream:
    """A stream whose events from `version` on are not in the store."""

    stream: str
    version: int
    position: int
    """of the event that parked it; 0 where only the log knows it: a sink of one's own notes the version"""
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


class StreamRedriver(Protocol):
    """Redrives what one store has parked, while its workers run. All methods raise Unavailable."""

    async def parked(self) -> list[ParkedStream]:
        """Every parked stream."""

    async def find(self, stream: str) -> ParkedStream:
        """One parked stream. Raises NotParked."""

    async def state(self, stream: str) -> State | None:
        """What the store has of the stream's entity; None as well when only the store can say."""

    def redrive(self, streams: Sequence[str]) -> AsyncIterator[RedriveResult]:
        """Redrive streams, and yield the result of each once it is committed. Those that are not parked are left out.

        Raises Unavailable: what was yielded is done, the rest is as it was.
        """

    async def discard(self, stream: str, version: int, note: str | None = None) -> RedriveResult:
        """Leave out the event that parked a stream, and redrive the rest.

        Raises NotParked when the stream is not parked at that version.
        """


class StreamLog(Protocol):
    """The streams of the log."""

    def read(self, stream: str, after_version: int, until: int, limit: int) -> Sequence[LoggedEvent]:
        """The first `limit` events of a stream beyond a version and up to a position. Raises Unavailable."""
