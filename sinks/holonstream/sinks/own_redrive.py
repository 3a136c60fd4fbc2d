"""Redrive streams that a sink of one's own has parked, from the log, while its workers run.

The sink writes as it does for a worker: one `write`, all or nothing, that names the checkpoint which the store must
still have. The events are those of the stream from where it is parked up to the checkpoint's position: the worker is
done with these, has dead-lettered them, and will not see them again; all later ones still come to it. The new
checkpoint is at the same place and has another text. So there are two cases, and no third:

- the redrive's write comes first: the worker's next one finds another checkpoint than it expects, writes nothing, takes
  the partition again, and with it what is parked now;
- the worker's write comes first: the redrive's finds another checkpoint, writes nothing, and begins again with the
  later one.

A sink that keeps no checkpoints cannot tell them apart, and is refused.

A long stream is written in parts, and so is one with an event that the sink refuses, in smaller and smaller ones. Each
part unparks the stream and parks it again at the event after the part. A crash in between leaves the stream parked
there, and repeating the redrive continues.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

from holonstream.schemas import wire
from holonstream.schemas.errors import BadData, HolonstreamError, Unavailable
from holonstream.schemas.event import RecordedEvent
from holonstream.schemas.partition import partition_of
from holonstream.schemas.token import MAX_POSITION
from holonstream.schemas.wire import LoggedEvent
from holonstream.sinks.errors import CheckpointMoved
from holonstream.sinks.own import EventSink, ParkedEvent, SinkBatch, SinkPlace
from holonstream.sinks.own_worker import SinkCheckpoint
from holonstream.sinks.parked import NotParked, ParkedStream, RedriveResult, StreamLog

T = TypeVar("T")

CHUNK = 1000  # events written at once
MOVES = 10_000  # of the checkpoint, until a sink is taken for one that compares it wrongly
UNDER_WAY = "A redrive has come as far as this"


class CannotRedrive(HolonstreamError):
    """The sink cannot take a parked stream again."""


@dataclass(slots=True)
class _Redrive:
    """One stream's redrive."""

    stream: str
    discards: int | None
    """the version of an event to leave out"""
    size: int
    """events to write at once; fewer after the sink has refused some"""
    applied: int = 0
    discarded: int = 0
    read: list[LoggedEvent] = field(default_factory=list)
    """the next events, as the log has them"""


class SinkRedriver:
    """Redrives parked streams of one sink. All methods raise Unavailable, and what the sink raises for a bug."""

    def __init__(self, sink: EventSink, topic: str, partitions: int, log: StreamLog) -> None:
        """`partitions` is how many the topic has."""
        self._sink, self._topic, self._partitions, self._log = sink, topic, partitions, log

    async def open(self) -> None:
        """Open the sink."""
        await self._call(self._sink.open)

    async def close(self) -> None:
        """Close the sink."""
        await self._sink.close()

    async def parked(self) -> list[ParkedStream]:
        """Every parked stream, by partition. Positions are 0: only the log knows them."""
        return [
            self._mark(stream, partition, place)
            for partition in range(self._partitions)
            for place in [await self._place(partition)]
            for stream in place.parked
        ]

    async def find(self, stream: str) -> ParkedStream:
        """One parked stream, with position 0. Raises NotParked."""
        partition = partition_of(stream, self._partitions)
        place = await self._place(partition)
        if stream not in place.parked:
            raise NotParked(f"Not parked: {stream}: the sink {self._sink.name} has nothing noted of it")
        return self._mark(stream, partition, place)

    async def state(self, stream: str) -> None:
        """What the sink makes of a stream is its own: nobody can say."""

    async def redrive(self, streams: Sequence[str]) -> AsyncIterator[RedriveResult]:
        """Redrive streams, and yield the result of each once it is committed. Those that are not parked are left out.

        Raises CannotRedrive, Unavailable: what was yielded is done, the rest is as it was.
        """
        for stream in streams:
            try:
                yield await self._redrive(_Redrive(stream, None, CHUNK))
            except NotParked:
                continue

    async def discard(self, stream: str, version: int, note: str | None = None) -> RedriveResult:
        """Leave out the event that parked a stream, and redrive the rest; a note is not stored.

        Raises NotParked when the stream is not parked at that version, and as `redrive`.
        """
        parked = await self.find(stream)
        if parked.version != version:
            raise NotParked(f"Not parked at version {version}: {stream} is parked at {parked.version}: {parked.reason}")
        return await self._redrive(_Redrive(stream, version, CHUNK))

    async def _redrive(self, under_way: _Redrive) -> RedriveResult:
        moves = 0
        while True:
            try:
                result = await self._write_some(under_way)
            except CheckpointMoved:  # the worker has written: its checkpoint is a later one
                moves += 1
                if moves == MOVES:
                    raise
                continue
            if result is not None:
                return result

    async def _write_some(self, under_way: _Redrive) -> RedriveResult | None:
        """Write the next events of a stream; None when more are to come.

        Raises CheckpointMoved when the worker has written meanwhile, NotParked, CannotRedrive.
        """
        stream = under_way.stream
        partition = partition_of(stream, self._partitions)
        place = await self._place(partition)
        since = place.parked.get(stream)
        if since is None:
            if under_way.applied or under_way.discarded:
                return RedriveResult(stream, under_way.applied, under_way.discarded, None)
            raise NotParked(f"Not parked: {stream}: the sink {self._sink.name} has nothing noted of it")
        if place.checkpoint is None:
            raise CannotRedrive(
                f"The sink {self._sink.name} keeps no checkpoints, so that its workers would not notice a redrive: "
                "stop them and make its store again from the beginning (docs/own-sink.md, Parked streams)"
            )
        checkpoint = SinkCheckpoint.parse(place.checkpoint)
        logged = self._next(under_way, since, checkpoint.position or 0)
        part, later = logged[: under_way.size], logged[under_way.size :]
        left_out = sum(event.version == under_way.discards for event in part)
        parks = [ParkedEvent(stream, later[0].version, later[0].position, UNDER_WAY)] if later else []
        raised = replace(checkpoint, redrives=checkpoint.redrives + 1)

        async def write(events: Sequence[RecordedEvent], parked: Sequence[ParkedEvent]) -> None:
            batch = SinkBatch(
                self._topic, partition, events, parked, place.checkpoint, raised.text(), unparked=(stream,)
            )
            await self._call(lambda: self._sink.write(batch))

        try:
            await write([_decode(event) for event in part if event.version != under_way.discards], parks)
        except BadData as refused:
            if len(part) > 1:
                under_way.size = len(part) // 2
                return None
            reason = str(refused)
            guilty = part[0] if part else LoggedEvent(stream, since, 0, b"")
            await write([], [ParkedEvent(stream, guilty.version, guilty.position, reason)])
            mark = ParkedStream(stream, guilty.version, guilty.position, self._topic, partition, None, reason)
            return RedriveResult(stream, under_way.applied, under_way.discarded, mark)
        under_way.applied += len(part) - left_out
        under_way.discarded += left_out
        if later:
            return None
        if (await self._place(partition)).parked.get(stream) == since:
            raise CannotRedrive(
                f"The sink {self._sink.name} has written the events of {stream}, and says that it is still parked: its "
                "write must remove the streams that SinkBatch.unparked names"
            )
        return RedriveResult(stream, under_way.applied, under_way.discarded, None)

    def _next(self, under_way: _Redrive, since: int, until: int) -> list[LoggedEvent]:
        """The events from a version on and up to a position: one more than are to be written at once, if there are.

        Those that were read before the checkpoint moved are not read again, so that little time passes between the
        reading of the checkpoint and the write.
        """
        read = [event for event in under_way.read if event.version >= since][: under_way.size + 1]
        if missing := under_way.size + 1 - len(read):
            read += self._log.read(under_way.stream, read[-1].version if read else since - 1, MAX_POSITION, missing)
        under_way.read = read
        return [event for event in read if event.position <= until]

    def _mark(self, stream: str, partition: int, place: SinkPlace) -> ParkedStream:
        reason = place.reasons.get(stream, "not given by the sink: `holonstream dead-letters history` has it")
        return ParkedStream(stream, place.parked[stream], 0, self._topic, partition, None, reason)

    async def _place(self, partition: int) -> SinkPlace:
        return await self._call(lambda: self._sink.assign(partition))

    async def _call(self, call: Callable[[], Awaitable[T]]) -> T:
        try:
            return await call()
        except (ConnectionError, TimeoutError) as error:
            raise Unavailable(f"The store of the sink {self._sink.name} does not answer: {error!r}") from error


def _decode(logged: LoggedEvent) -> RecordedEvent:
    """The event. Raises BadData."""
    return wire.decode(logged.value)
