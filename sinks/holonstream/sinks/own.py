"""A sink of your own: a store of any kind that follows the log (docs/own-sink.md).

You write a class with four coroutines, `EventSink`, and run it with ``holonstream worker MODULE:FACTORY``. The worker
reads the topic as a consumer group of the sink's own, decodes events, retries while your store is down, parks what the
sink refuses, and serves metrics and health. You decide how far it can be relied on:

- *exactly once*: the sink stores `SinkBatch.checkpoint` in the transaction that writes the events, and gives it back
  from `assign`. A batch that comes again after a crash is then left out, and a worker that has lost the partition
  without noticing cannot write any more;
- *at least once*: the sink keeps no checkpoint, and the consumer group's offset counts. After a crash or a rebalance
  events come again, also older ones than those that the store has: writing must be idempotent, by position.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from holonstream.schemas.event import RecordedEvent
from holonstream.sinks.errors import CheckpointMoved

__all__ = ["EventSink", "ParkedEvent", "SinkBatch", "SinkPlace"]


@dataclass(frozen=True, slots=True)
class ParkedEvent:
    """An event that the sink refuses: its stream is parked from here on. Raise BadData from `write` to refuse one."""

    stream: str
    version: int
    position: int
    reason: str


@dataclass(frozen=True, slots=True)
class SinkPlace:
    """What a sink's store knows of a partition."""

    checkpoint: str | None = None
    """what the last batch said, "" when there was none yet; None for a sink that keeps no checkpoints"""
    parked: Mapping[str, int] = field(default_factory=dict)
    """the parked streams, each with the version from which on its events are missing; empty for a sink that keeps none:
    a stream is then parked until its partition gets another worker"""
    reasons: Mapping[str, str] = field(default_factory=dict)
    """why each of them is parked, as `ParkedEvent` said; ``holonstream dead-letters list`` prints it"""


@dataclass(frozen=True, slots=True)
class SinkBatch:
    """Events of one partition, and what to store with them in one transaction."""

    topic: str
    partition: int
    events: Sequence[RecordedEvent]
    """in the order of the log; none of a parked stream. May be empty: then there is only the rest to store"""
    parked: Sequence[ParkedEvent] = ()
    """streams that are parked from now on"""
    expected: str | None = None
    """the checkpoint that the store must still have; None for a sink that keeps no checkpoints"""
    checkpoint: str | None = None
    """the checkpoint to store in its place"""
    unparked: Sequence[str] = ()
    """streams that are parked no more: a redrive (``holonstream dead-letters redrive``) names them, with their events.
    Remove them before `parked` is stored: a stream that is parked again at a later event is in both"""

    def moved(self) -> CheckpointMoved:
        """To raise when the store has another checkpoint than `expected`: then nothing may be written."""
        reason = "is not where this worker left it: another one has the partition, or the last write did succeed"
        return CheckpointMoved(self.topic, self.partition, reason)


@runtime_checkable
class EventSink(Protocol):
    """A sink of one's own. Its methods are called one after the other, so that one connection is enough.

    May also have ``async def ping(self)``, which raises Unavailable when the store does not answer, and
    ``def revoke(self, partition)``, to forget what is remembered of a partition: these two are called at any time, also
    while another method waits for the store.

    What an error means: `Unavailable`, ConnectionError and TimeoutError: the store is down, the call is repeated for as
    long as it takes. `BadData`: the sink refuses an event, and nothing of the batch is written; the worker finds the
    event, and parks its stream. `CheckpointMoved` (`SinkBatch.moved`): the partition is assigned again. Anything else
    is a bug: the process ends before the events count as handled, and they come again.
    """

    name: str
    """of its consumer group, ``<namespace>-sink-<name>``: a to z, digits and '_'; never change it"""

    async def open(self) -> None:
        """Connect, and make or check what the store needs."""

    async def close(self) -> None:
        """Close all connections; closing twice is fine."""

    async def assign(self, partition: int) -> SinkPlace:
        """Take a partition: read what the store knows of it."""

    async def write(self, batch: SinkBatch) -> None:
        """Write the events of a batch, its parked streams and its checkpoint: all or nothing.

        For a sink without checkpoints also in part, when an error is raised: the events come again.
        """
