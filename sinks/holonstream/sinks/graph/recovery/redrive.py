"""Redrive: bring parked streams up to where their partition is, from the log, while workers run.

Who is authoritative. The log says what a stream's events are. The partition's checkpoint says which of them the worker
is done with: those up to its position, and no other, since positions rise within a partition. The worker has
dead-lettered those of a parked stream and will not see them again; all later ones will still come to it.

How far a redrive goes. Therefore exactly to the checkpoint's position, read under the checkpoint's lock:

- not less: an event between the two would reach neither the redrive nor the worker, and the next one would be a hole;
- not more: an event beyond it would do no harm in the state (the worker skips versions that a state has), but one that
  does not apply would be parked before the worker has come to it, and the graph would not be the fold of anything.

A redrive, one transaction per partition and some streams of it:

1. *read* the partition's epoch and position, then its parked streams and their states, and fold what the log has up to
   that position. This may take long and holds no lock;
2. *raise the epoch*, under the checkpoint's lock, which the worker takes at the start of each transaction: from here on
   no batch of the partition can commit. If the epoch is not the one of step 1, another operator's command has written
   these entities: start again. A parked stream is only written by a command that raises the epoch, so what was loaded
   and folded still holds;
3. *continue*: fold what the log has from the position of step 1 to the one found under the lock: as a rule, nothing;
4. *write* the states; unpark the streams, or park them at the event that does not apply and say why. Commit.
5. *publish*: a transaction is not applied at once, so a reader might see a stream unparked before its state is there.
   Its node therefore stays as ``redriven``, or keeps as ``since`` where it was parked before. Workers ignore that,
   readers do not, until the next one that takes the checkpoint's lock (this redrive, or a worker that takes the
   partition) publishes what is applied.

While a worker runs. Either its transaction comes before the redrive's: then step 2 waits for it, and finds the position
that it moved to; what it dead-lettered lies below that and is folded in step 3. Or it comes after: then its claim finds
the epoch raised and nothing of it is written. The worker drops its cached states, reads again what is parked, and
writes the same batch once more, in which every event of an unparked stream lies beyond the redrive's position and is
the next version. There is no third case. The dead letters that the worker had sent by then stay on the topic, though
their events are applied: dead letters are a history, parked streams are the present.

A crash before the commit changes nothing; after it, all is done. Repeating a redrive is harmless.

Streams that Neo4j refuses when they are written together are redriven one by one. Of one that it refuses, the guilty
event is found by halves (`sinks.graph.write.bisect`): each half is written and the stream parked at its end.

A *discarded* event is folded like an event without effect: version and position move, so that the next one is no hole.
The decision is recorded in the same transaction (`sinks.graph.parking`), and `holonstream verify` leaves that event
out. Decisions belong to the graph: a rebuilt one starts without them, and a replay takes over those that it needs
(`ops.replay`).
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial as bound
from itertools import islice

import structlog
from msgspec import structs

from holonstream.schemas import wire
from holonstream.schemas.catalogue import Catalogue
from holonstream.schemas.errors import BadData
from holonstream.schemas.event import RecordedEvent
from holonstream.schemas.retry import backoff, retry_deadlock
from holonstream.schemas.state import State
from holonstream.schemas.wire import LoggedEvent
from holonstream.sinks.base import Batch
from holonstream.sinks.errors import GraphUnavailable
from holonstream.sinks.graph import parking
from holonstream.sinks.graph.checkpoint import publish_all, raise_epoch
from holonstream.sinks.graph.driver import Deadlock, GraphConnection, Transaction
from holonstream.sinks.graph.empty_streams import LastSeen, write_empty_streams
from holonstream.sinks.graph.parking import DiscardedEvent
from holonstream.sinks.graph.read.load import Loader
from holonstream.sinks.graph.write.batch import Outcome, fold_stream
from holonstream.sinks.graph.write.bisect import REFUSALS, isolate, reason_of
from holonstream.sinks.graph.write.changes import changes, perform
from holonstream.sinks.parked import NotParked, ParkedStream, RedriveResult, StreamLog
from holonstream.sinks.records import HoleInStream, Item, UnreadableEvent

log = structlog.get_logger(__name__)

STREAMS = 100  # redriven in one transaction
CHUNK = 1000  # events read from the log at a time
PUBLISH_ATTEMPTS = 5


class _OtherCommand(Exception):
    """Another operator's command has redriven or repaired the partition meanwhile."""


class Redriver:
    """Redrives parked streams of one graph; see the module's docstring. All methods raise GraphUnavailable."""

    def __init__(self, connection: GraphConnection, catalogue: Catalogue, topic: str, log: StreamLog) -> None:
        self._connection, self._catalogue, self._topic, self._log = connection, catalogue, topic, log

    async def parked(self) -> list[ParkedStream]:
        """Every parked stream, in log order."""
        return await parking.parked_streams(self._connection, self._topic)

    async def find(self, stream: str) -> ParkedStream:
        """One parked stream. Raises NotParked."""
        found = (await parking.parked_of(self._connection, [stream])).get(stream)
        if found is None:
            raise NotParked(f"Not parked: {stream}: nothing of it is missing from {self._connection}")
        return found

    async def state(self, stream: str) -> State | None:
        """What the graph has of a stream's entity."""
        return (await Loader(self._connection, self._catalogue).load([stream])).get(stream)

    async def discarded(self) -> list[DiscardedEvent]:
        """Every event that was left out by decision, in log order."""
        return await parking.discarded_events(self._connection, self._topic)

    async def redrive(self, streams: Sequence[str]) -> AsyncIterator[RedriveResult]:
        """Redrive streams, and yield the result of each once it is committed. Those that are not parked are left out.

        Raises Unavailable: what was yielded is done, the rest is as it was.
        """
        partitions: defaultdict[int, list[str]] = defaultdict(list)
        for parked in (await parking.parked_of(self._connection, streams)).values():
            partitions[parked.partition].append(parked.stream)
        for partition, names in sorted(partitions.items()):
            for start in range(0, len(names), STREAMS):
                for redriven in await self._together(partition, names[start : start + STREAMS]):
                    yield redriven

    async def discard(self, stream: str, version: int, note: str | None = None) -> RedriveResult:
        """Leave out the event that parked a stream, and redrive the rest.

        Raises NotParked when the stream is not parked at that version, or the log has no such event.
        """
        parked = await self.find(stream)
        if parked.version != version:
            raise NotParked(f"Not parked at version {version}: {stream} is parked at {parked.version}: {parked.reason}")
        decision = DiscardedEvent(
            stream, version, parked.position, parked.reason, note, datetime.now(UTC).isoformat(timespec="milliseconds")
        )
        done = await self._alone(parked.partition, stream, decision)
        if not done:
            raise NotParked(f"Not parked: {stream} was redriven meanwhile")
        return done[0]

    # --- one partition -----------------------------------------------------------------------------------------------

    async def _together(self, partition: int, streams: Sequence[str]) -> list[RedriveResult]:
        try:
            return await self._commit(partition, streams)
        except REFUSALS:
            return [done for stream in streams for done in await self._alone(partition, stream)]

    async def _alone(self, partition: int, stream: str, decision: DiscardedEvent | None = None) -> list[RedriveResult]:
        """Redrive one stream, up to the event that Neo4j refuses; none when it is not parked any more.

        Raises GraphRefused when Neo4j refuses to park it there, too.
        """
        try:
            return await self._commit(partition, [stream], decision)
        except REFUSALS as refused:
            log.info("redrive.refused", stream=stream, cause=type(refused).__name__)
            first = refused
        done: list[RedriveResult] = []
        ended = False
        versions = await self._versions(await self.find(stream))

        async def write(part: range) -> None:
            nonlocal decision, ended
            if ended:
                return
            stop = None if part.stop == versions.stop else _Stop(part.stop, reason_of(first))
            written = await self._commit(partition, [stream], decision, stop)
            done.extend(written)
            decision = None
            ended = not written or (parked := written[0].parked) is None or parked.version != part.stop

        async def park(part: range, refused: Exception) -> None:
            nonlocal ended
            if decision is not None:
                raise refused
            done.extend(await self._commit(partition, [stream], stop=_Stop(part.start, reason_of(refused))))
            ended = True

        await isolate(versions, first, _halves, write, park)
        if not done:
            return []
        applied, discarded = sum(part.applied for part in done), sum(part.discarded for part in done)
        return [RedriveResult(stream, applied, discarded, done[-1].parked)]

    async def _versions(self, parked: ParkedStream) -> range:
        """The versions of a parked stream that a redrive is to apply: up to the position of its partition."""
        until = (await publish_all(self._connection, self._topic, parked.partition)).position
        last = parked.version - 1
        while events := self._log.read(parked.stream, last, until, CHUNK):
            last = events[-1].version
        return range(parked.version, last + 1)

    async def _commit(
        self,
        partition: int,
        streams: Sequence[str],
        decision: DiscardedEvent | None = None,
        stop: _Stop | None = None,
    ) -> list[RedriveResult]:
        attempt = bound(self._attempt, partition, streams, decision, stop)
        while True:
            try:
                return await retry_deadlock(attempt, Deadlock)
            except _OtherCommand:
                log.info("redrive.epoch_raised", partition=partition)

    async def _attempt(
        self, partition: int, streams: Sequence[str], decision: DiscardedEvent | None, stop: _Stop | None
    ) -> list[RedriveResult]:
        _, epoch, position, *_ = await publish_all(self._connection, self._topic, partition)
        parked = await parking.parked_of(self._connection, streams)
        left_out = await parking.discarded_of(self._connection, streams)
        if decision is not None:
            if (found := parked.get(decision.stream)) is None or found.version != decision.version:
                raise NotParked(f"Not parked at version {decision.version}: {decision.stream} was redriven meanwhile")
            left_out[decision.stream] = left_out.get(decision.stream, frozenset()) | {decision.version}
        before = await Loader(self._connection, self._catalogue).load(list(parked))
        folds = [
            _Fold(self._catalogue, self._log, at, before.get(stream), left_out.get(stream, frozenset()), stop)
            for stream, at in sorted(parked.items())  # one lock order for every writer
        ]
        for fold in folds:
            fold.fold_to(position)
        if decision is not None and folds[0].version < decision.version:
            raise NotParked(
                f"Not in the log: {decision.stream} ends at version {folds[0].version}, so that its record "
                f"{decision.version} was put on the topic by another program: `redrive` unparks it"
            )
        pending = [fold for fold in folds if fold.has_changed()]
        if pending:
            async with self._connection.transaction() as transaction:
                epoch_found, position = await raise_epoch(transaction, self._topic, partition, epoch)
                if epoch_found != epoch:
                    raise _OtherCommand
                for fold in pending:
                    fold.fold_to(position)
                await self._write(transaction, partition, pending, decision)
            await self._publish_visible(partition)
        return [fold.result() for fold in folds]

    async def _publish_visible(self, partition: int) -> None:
        """Let readers rely on what was committed; when that fails it is left to the next that takes the partition."""
        for delay in islice(backoff(), PUBLISH_ATTEMPTS):
            try:
                await publish_all(self._connection, self._topic, partition)
                return
            except GraphUnavailable as error:
                log.info("redrive.not_published", partition=partition, cause=type(error).__name__)
                await asyncio.sleep(delay)

    async def _write(
        self, transaction: Transaction, partition: int, folds: Sequence[_Fold], decision: DiscardedEvent | None
    ) -> None:
        pairs = [(f.before, f.after) for f in folds if f.after is not None and f.after is not f.before]
        await perform(transaction, self._catalogue, changes(pairs))
        await write_empty_streams(
            transaction,
            {f.was.stream: LastSeen(f.version, f.position) for f in folds if f.after is None and f.parked is None},
        )
        unparked = [fold.was.stream for fold in folds if fold.parked is None]
        await parking.unpark(transaction, unparked, self._topic, partition)
        parked = [fold.parked for fold in folds if fold.parked is not None]
        await parking.park(transaction, parked, since={fold.was.stream: fold.was.position for fold in folds})
        if decision is not None:
            await parking.discard(transaction, decision, self._topic)


@dataclass(frozen=True, slots=True)
class _Stop:
    """Do not go beyond this version: park the stream there, and say why."""

    version: int
    reason: str


class _Fold:
    """The fold of one stream from the graph's state of it up to a position."""

    def __init__(
        self,
        catalogue: Catalogue,
        log: StreamLog,
        was: ParkedStream,
        before: State | None,
        left_out: frozenset[int],
        stop: _Stop | None,
    ) -> None:
        self._catalogue, self._log, self._left_out, self._stop = catalogue, log, left_out, stop
        self._batch = Batch(was.topic, was.partition, (), 0)
        self.was = was
        self.before = before
        # Without a state no event had an effect, so the stream is read from its start: a stream that a record from
        # elsewhere has parked says nothing about its earlier events. So it is when the state is not of the log.
        self.after = before if before is not None and self._is_of_log(before) else None
        self.version, self.position = (self.after.version, self.after.position) if self.after is not None else (0, 0)
        self.parked: ParkedStream | None = None
        self._applied = self._discarded = 0

    def fold_to(self, until: int) -> None:
        """Fold what the log has up to a position, unless an event does not apply. Raises HoleInStream, Unavailable."""
        while self.parked is None:
            events = self._log.read(self.was.stream, self.version, until, CHUNK)
            for event in events:
                self._take(event)
                if self.parked is not None:
                    return
            if len(events) < CHUNK:
                return

    def _is_of_log(self, state: State) -> bool:
        """Whether the log has the state's last event where the state says: else a forged record was applied."""
        at = self._log.read(self.was.stream, state.version - 1, state.position, 1)
        return [(event.version, event.position) for event in at] == [(state.version, state.position)]

    def has_changed(self) -> bool:
        """Whether there is anything to write."""
        return self.parked is None or self.parked != self.was or self.after is not self.before

    def result(self) -> RedriveResult:
        """The result."""
        return RedriveResult(self.was.stream, self._applied, self._discarded, self.parked)

    def _take(self, event: LoggedEvent) -> None:
        if event.version != self.version + 1:
            raise HoleInStream(
                f"Hole in {self.was.stream}: after version {self.version} the log has {event.version} "
                f"(position {event.position})"
            )
        if self._stop is not None and event.version == self._stop.version:
            self._park(event, self._stop.reason)
            return
        if event.version in self._left_out:
            if self.after is not None:
                self.after = structs.replace(self.after, version=event.version, position=event.position)
            self._discarded += 1
        else:
            outcome = Outcome()
            item = Item(_Record(event.value), _decoded(self.was.stream, event))
            self.after = fold_stream(self._catalogue, self._batch, self.after, [item], None, outcome)
            if outcome.parked:
                self._park(event, outcome.parked[0].stream.reason)
                return
            self._applied += 1
        self.version, self.position = event.version, event.position

    def _park(self, event: LoggedEvent, reason: str) -> None:
        offset = self.was.offset if event.version == self.was.version else None
        self.parked = replace(self.was, version=event.version, position=event.position, offset=offset, reason=reason)


@dataclass(frozen=True, slots=True)
class _Record:
    """An event of the log, in the place of a record: it has no offset."""

    value: bytes | None
    offset: int = -1
    key: bytes | None = None


def _halves(versions: range) -> list[range]:
    middle = len(versions) // 2
    return [versions[:middle], versions[middle:]] if middle else [versions]


def _decoded(stream: str, event: LoggedEvent) -> RecordedEvent | UnreadableEvent:
    try:
        return wire.decode(event.value)
    except BadData as error:
        return UnreadableEvent(stream, event.version, event.position, str(error), wire.decode_traceparent(event.value))
