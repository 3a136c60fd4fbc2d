"""A sink: a store that follows the log.

A worker gives a sink *batches*: consecutive records of ONE partition, in order; at each call one batch of every
partition that has something to write. Guaranteed to a sink: batches of a partition come in order, one call after the
other, and none is dropped. Not guaranteed: that a batch comes only once (a kill or a rebalance brings it again), or
that the worker still owns the partition when it writes. So a sink must be idempotent.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from holonstream.schemas.wire import is_key


class RawRecord(Protocol):
    """A record as Kafka's consumer gives it."""

    @property
    def offset(self) -> int: ...
    @property
    def key(self) -> bytes | None: ...
    @property
    def value(self) -> bytes | None: ...


def is_keyed_by(record: RawRecord, stream: str) -> bool:
    """Whether a record's key is its stream (`schemas.wire.is_key`)."""
    return is_key(record.key, stream)


@dataclass(frozen=True, slots=True)
class Batch:
    """Consecutive records of one partition. Reading continues at `next_offset`."""

    topic: str
    partition: int
    records: Sequence[RawRecord]
    next_offset: int

    def cut(self, count: int) -> tuple[Batch, Batch]:
        """Its first `count` records, and the others; neither part may be empty."""
        first, others = self.records[:count], self.records[count:]
        return (
            Batch(self.topic, self.partition, first, others[0].offset),
            Batch(self.topic, self.partition, others, self.next_offset),
        )


def first_of(batches: Sequence[Batch], count: int) -> tuple[list[Batch], list[Batch]]:
    """The first `count` records of some batches, and what is left of them."""
    first: list[Batch] = []
    left: list[Batch] = []
    for batch in batches:
        if count <= 0:
            left.append(batch)
        elif len(batch.records) <= count:
            first.append(batch)
        else:
            head, tail = batch.cut(count)
            first.append(head)
            left.append(tail)
        count -= len(batch.records)
    return first, left


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A record that a sink could not apply, and why."""

    topic: str
    partition: int
    offset: int
    stream: str | None
    """None when the record cannot be decoded"""
    version: int | None
    position: int | None
    reason: str
    value: bytes | None
    traceparent: str | None
    """W3C trace context, as the event's producer gave it"""


PublishDeadLetters = Callable[[Sequence[DeadLetter]], Awaitable[None]]
"""Returns once the letters are acknowledged; may publish one again after a crash."""


@dataclass(frozen=True, slots=True)
class WriteResult:
    """The result of writing a batch."""

    applied: int
    """events that the store now reflects"""
    skipped: int
    """records at or below the checkpoint: seen before"""
    dead: int
    """records dead-lettered"""
    position: int | None
    """log position of the batch's last event; None when it had none"""


class Sink(Protocol):
    """A store that follows the log."""

    async def open(self) -> None:
        """Connect and check that the store is ready.

        Raises `sinks.errors.NotInitialised` when `holonstream init` has not run, Unavailable when it is down.
        """

    async def close(self) -> None:
        """Close all connections; closing twice is fine."""

    async def assign(
        self, topic: str, partition: int, committed_position: int | None, topic_id: str | None = None
    ) -> int | None:
        """Take a partition; returns the offset to read from, None for the consumer group's own.

        `committed_position` is the log position that the group last committed for it, `topic_id` the id that Kafka gave
        to the topic, None when it is not known. Raises Unavailable, and TopicReplaced when the sink's checkpoint is one
        in another topic.
        """

    def revoke(self, topic: str, partition: int) -> None:
        """Give a partition back: forget what is remembered of it."""

    async def write_batches(self, batches: Sequence[Batch]) -> list[WriteResult]:
        """Apply batches of different partitions; returns their results in the same order.

        Raises Unavailable (a retry can help) and CheckpointMoved (another worker has one of the partitions); anything
        else is a bug. After an error some of the batches may be applied, in part or whole: writing them again must do
        no harm.
        """


@runtime_checkable
class PingableSink(Protocol):
    """A sink that can check that its store answers, also when there is nothing to write."""

    async def ping(self) -> None:
        """Check that the store answers and is the one that was written.

        Raises Unavailable, NotInitialised (it lacks what `init` makes: the worker ends), CheckpointMoved (the partition
        must be taken again).
        """


@runtime_checkable
class ParkingSink(Protocol):
    """A sink whose parked streams only it can read. The group's offsets say how many there are."""

    def parked_in(self, topic: str, partition: int) -> int:
        """How many streams of a partition are parked; 0 for one that the sink does not have."""
