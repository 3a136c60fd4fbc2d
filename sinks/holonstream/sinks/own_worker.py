"""What a worker does for a sink of one's own (`sinks.own`): decode, skip, park, find what is refused.

A batch is one call of the sink's `write`. When the sink refuses it, it is written in halves, until what is refused is
one event; that one's stream is parked. Dead letters are published before the write that parks, so that a crash in
between publishes them again and loses none.

What is remembered of a partition (how far streams have come, which are parked, the checkpoint) is that of the last
write that succeeded. Holes are found in streams whose last version is remembered: those of the last VERSIONS that the
worker has written since it took the partition.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from time import perf_counter
from typing import TypeVar

import structlog

from holonstream.schemas.errors import BadData, HolonstreamError, TopicReplaced, Unavailable
from holonstream.schemas.event import RecordedEvent
from holonstream.schemas.offset_metadata import OffsetMetadata
from holonstream.sinks.base import Batch, DeadLetter, PublishDeadLetters, WriteResult
from holonstream.sinks.errors import CheckpointMoved
from holonstream.sinks.own import EventSink, ParkedEvent, SinkBatch, SinkPlace
from holonstream.sinks.records import HoleInStream, UnreadableEvent, dead_letter, read_record, was_applied

log = structlog.get_logger(__name__)

T = TypeVar("T")

VERSIONS = 10_000  # streams of a partition whose last version is remembered


class InvalidCheckpoint(HolonstreamError):
    """A sink gave a checkpoint back that it never got."""


@dataclass(frozen=True, slots=True)
class SinkCheckpoint:
    """What the text says that a sink stores: where its partition continues, in which topic."""

    offset: int = 0
    position: int | None = None
    topic_id: str | None = None
    redrives: int = 0
    """how many have written since the worker did (`sinks.own_redrive`): each gives the checkpoint another text"""

    def text(self) -> str:
        """As the sink stores it."""
        text = f"{self.offset} {OffsetMetadata(self.position, self.topic_id).text()}".rstrip()
        return f"{text} redrives={self.redrives}" if self.redrives else text

    @classmethod
    def parse(cls, text: str) -> SinkCheckpoint:
        """Read what a sink has stored, "" is the beginning. Raises InvalidCheckpoint."""
        if not text:
            return cls()
        found = re.fullmatch(r"([0-9]{1,19})(?: (.*?))??(?: redrives=([0-9]{1,9}))?", text, re.ASCII)
        if found is None:
            raise InvalidCheckpoint(f"The sink's checkpoint is {text[:80]!r}: no batch had such a one")
        return cls(int(found[1]), *OffsetMetadata.parse(found[2])[:2], int(found[3] or 0))


@dataclass(slots=True)
class _Held:
    """A partition of this worker."""

    checkpoint: SinkCheckpoint
    keeps: bool
    """whether the sink keeps checkpoints"""
    text: str
    """the checkpoint as the store has it"""
    parked: dict[str, int]
    last: dict[str, tuple[int, int]] = field(default_factory=dict)
    """the last version and position of streams, those seen last at the end"""
    published: set[int] = field(default_factory=set)
    """offsets beyond the checkpoint whose dead letters are published, so that no retry publishes them again"""


@dataclass(slots=True)
class _Sorted:
    """The records of a batch, sorted by what happens to them."""

    events: list[RecordedEvent] = field(default_factory=list)
    letters: list[DeadLetter] = field(default_factory=list)
    parked: list[ParkedEvent] = field(default_factory=list)
    last: dict[str, tuple[int, int]] = field(default_factory=dict)
    skipped: int = 0
    position: int | None = None
    """of the last event"""


@dataclass(slots=True)
class SinkCounters:
    """What is counted since the process began."""

    fold_seconds: float = 0.0
    """spent on decoding"""


class EventSinkWriter:
    """A `sinks.base.Sink` over an `EventSink`."""

    def __init__(self, sink: EventSink, publish: PublishDeadLetters) -> None:
        """`publish` sends dead letters and returns once they are acknowledged."""
        self._sink, self._publish = sink, publish
        self._partitions: dict[tuple[str, int], _Held] = {}
        self._keeps = False
        self._turn = asyncio.Lock()  # partitions are assigned at the same time, and a sink may have one connection
        self.counters = SinkCounters()

    @property
    def parked_streams(self) -> int:
        """How many streams of the partitions held are parked."""
        return sum(len(held.parked) for held in list(self._partitions.values()))

    def parked_in(self, topic: str, partition: int) -> int:
        """How many streams of a partition are parked."""
        held = self._partitions.get((topic, partition))
        return 0 if held is None else len(held.parked)

    async def open(self) -> None:
        """Open the sink. Raises what it raises, Unavailable for an outage."""
        await self._in_turn(self._sink.open)

    async def close(self) -> None:
        """Close the sink."""
        self._partitions.clear()
        await self._sink.close()

    async def ping(self) -> None:
        """Ask the sink whether its store answers, if it can tell, and whether parked streams were redriven.

        Raises CheckpointMoved when they were: a partition without new records would not notice.
        """
        ping = getattr(self._sink, "ping", None)
        if ping is not None:
            await self._call(ping)
        for (topic, partition), held in list(self._partitions.items()):
            if held.keeps and held.parked and not self._turn.locked():
                place = await self._in_turn(partial(self._sink.assign, partition))
                if self._partitions.get((topic, partition)) is held and place.checkpoint != held.text:
                    raise CheckpointMoved(topic, partition, "is not where this worker left it, as after a redrive")

    async def assign(
        self, topic: str, partition: int, committed_position: int | None, topic_id: str | None = None
    ) -> int | None:
        """Take a partition; returns the offset of the sink's own checkpoint, None when it keeps none.

        Raises TopicReplaced, InvalidCheckpoint, and what the sink raises.
        """
        place: SinkPlace = await self._in_turn(lambda: self._sink.assign(partition))
        if not isinstance(place, SinkPlace):
            raise TypeError(f"assign of the sink {self._sink.name} must return a SinkPlace, not {place!r}")
        checkpoint = SinkCheckpoint.parse(place.checkpoint or "")
        if None not in (checkpoint.topic_id, topic_id) and checkpoint.topic_id != topic_id:
            raise TopicReplaced(
                f"The sink {self._sink.name} was written from another topic (its id was {checkpoint.topic_id}, and is "
                f"{topic_id}): empty its store, with the checkpoints, and start it again: it is then made from the "
                "beginning"
            )
        known = SinkCheckpoint(checkpoint.offset, checkpoint.position, topic_id)
        self._keeps = keeps = place.checkpoint is not None
        held = _Held(known, keeps, place.checkpoint or "", dict(place.parked))
        self._partitions[topic, partition] = held
        log.info("sink.partition.taken", sink=self._sink.name, partition=partition, parked=len(held.parked))
        return known.offset if keeps else None

    def revoke(self, topic: str, partition: int) -> None:
        """Give a partition back."""
        if self._partitions.pop((topic, partition), None) is not None:
            revoke: Callable[[int], None] | None = getattr(self._sink, "revoke", None)
            if revoke is not None:
                revoke(partition)

    async def write_batches(self, batches: Sequence[Batch]) -> list[WriteResult]:
        """Write batches, one after the other; those that are written already are skipped when they come again."""
        return [await self._write(batch) for batch in batches]

    async def _write(self, batch: Batch) -> WriteResult:
        held = self._partitions.get((batch.topic, batch.partition))
        if held is None:
            if self._keeps:
                raise CheckpointMoved(batch.topic, batch.partition, "is not assigned to this worker")
            return WriteResult(0, len(batch.records), 0, None)  # anyone who has the partition now reads it again
        try:
            return await self._write_in_halves(held, batch)
        except CheckpointMoved as moved:
            if not held.keeps:
                raise TypeError(f"The sink {self._sink.name} keeps no checkpoints, so none was moved") from moved
            self.revoke(batch.topic, batch.partition)
            raise

    async def _write_in_halves(self, held: _Held, batch: Batch) -> WriteResult:
        """Write a batch as a whole, or what the sink refuses of it in halves."""
        try:
            return await self._write_once(held, batch, None)
        except BadData as error:
            refused = error
        if len(batch.records) == 1:
            return await self._write_once(held, batch, refused)
        first, rest = batch.cut(len(batch.records) // 2)
        one, other = await self._write_in_halves(held, first), await self._write_in_halves(held, rest)
        return WriteResult(
            one.applied + other.applied,
            one.skipped + other.skipped,
            one.dead + other.dead,
            one.position if other.position is None else other.position,
        )

    async def _write_once(self, held: _Held, batch: Batch, refused: BadData | None) -> WriteResult:
        """Write a batch in one call of the sink; `refused` is why the sink does not take its only event."""
        began = perf_counter()
        found = sort_records(held, batch, refused)
        self.counters.fold_seconds += perf_counter() - began
        if letters := [letter for letter in found.letters if letter.offset not in held.published]:
            await self._publish(letters)
            held.published.update(letter.offset for letter in letters)
        after = SinkCheckpoint(batch.next_offset, found.position or held.checkpoint.position, held.checkpoint.topic_id)
        if batch.next_offset > held.checkpoint.offset and (held.keeps or found.events or found.parked):
            await self._in_turn(
                lambda: self._sink.write(
                    SinkBatch(
                        batch.topic,
                        batch.partition,
                        found.events,
                        found.parked,
                        held.text if held.keeps else None,
                        after.text() if held.keeps else None,
                    )
                )
            )
        self._remember(held, after, found)
        return WriteResult(len(found.events), found.skipped, len(found.letters), found.position)

    def _remember(self, held: _Held, after: SinkCheckpoint, found: _Sorted) -> None:
        if after.offset > held.checkpoint.offset:
            held.checkpoint, held.text = after, after.text()
            held.published = {offset for offset in held.published if offset >= after.offset}
        for stream, last in found.last.items():
            held.last.pop(stream, None)
            held.last[stream] = last
        while len(held.last) > VERSIONS:
            del held.last[next(iter(held.last))]
        for parked in found.parked:
            held.parked[parked.stream] = parked.version
            # The reason may quote a value: it is in the dead letter, not in the log.
            log.warning(
                "sink.stream.parked",
                sink=self._sink.name,
                stream=parked.stream,
                version=parked.version,
                position=parked.position,
            )

    async def _in_turn(self, call: Callable[[], Awaitable[T]]) -> T:
        async with self._turn:
            return await self._call(call)

    async def _call(self, call: Callable[[], Awaitable[T]]) -> T:
        try:
            return await call()
        except (ConnectionError, TimeoutError) as error:
            raise Unavailable(f"The store of the sink {self._sink.name} does not answer: {error!r}") from error


def sort_records(held: _Held, batch: Batch, refused: BadData | None) -> _Sorted:
    """What happens to each record of a batch; with `refused`, the only one is parked for that reason."""
    found = _Sorted()
    parked = dict(held.parked)
    for record in batch.records:
        if record.offset < held.checkpoint.offset:
            found.skipped += 1
            continue
        event = read_record(record)
        if isinstance(event, str):
            found.letters.append(dead_letter(batch, record, None, event))
            continue
        found.position = max(event.position, found.position or 0)
        since = parked.get(event.stream)
        if since is not None and event.version >= since:
            found.letters.append(dead_letter(batch, record, event, f"Parked since version {since}"))
            continue
        last = found.last.get(event.stream) or held.last.get(event.stream)
        try:
            if last is not None and was_applied(event, *last):
                found.skipped += 1
                continue
            if isinstance(event, UnreadableEvent):
                raise BadData(event.error)
            if refused is not None:
                raise refused
        except BadData as error:
            hole = isinstance(error, HoleInStream) and last is not None
            version, position = (last[0] + 1, last[1] + 1) if hole and last else (event.version, event.position)
            parked[event.stream] = version
            found.parked.append(ParkedEvent(event.stream, version, position, str(error)))
            found.letters.append(dead_letter(batch, record, event, f"{type(error).__name__}: {error}"))
            continue
        found.last[event.stream] = event.version, event.position
        found.events.append(event)
    return found
