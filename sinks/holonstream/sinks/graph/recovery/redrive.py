"""Redrive: bring parked streams up to where their partition is, from the log, while workers run.

Who is authoritative. The log says what a stream's events are. The partition's checkpoint says which of them the worker
is done with: those up to its position, and no other, since positions rise within a partition. The worker has
dead-lettered those of a parked stream and will not see them again; all later ones will still come to it.

How far a redrive goes. Therefore exactly to the checkpoint's position, read under the checkpoint's lock:

- not less: an event between the two would reach neither the redrive nor the worker, and the next one would be a hole;
- not more: an event beyond it would do no harm in the state (the worker skips versions that a state has), but one that
  does not apply would be parked before the worker has come to it, and the graph would not be the fold of anything.

A redrive, one transaction per partition and some streams of it:

1. *look*: read the partition's epoch and position, then its parked marks and the states of the streams, and fold what
   the log has up to that position. This may take long and holds no lock;
2. *take* the checkpoint's lock, as the worker does at the start of each transaction: from here on no batch of the
   partition can commit. If the epoch is not the one of step 1, somebody else has written these entities: begin again.
   Only who raises the epoch touches a stream that is parked, so what was loaded and folded still holds. The epoch is
   raised;
3. *go on*: fold what the log has from the position of step 1 to the one found under the lock: as a rule, nothing;
4. *write* the states; delete the marks, or move them to the event that does not apply and say why. Commit.
5. *settle*: a transaction is not applied at once, so a reader might see the mark gone before the states are there. The
   marks therefore stay as ``redriven``, and keep as ``since`` where they were moved from: no worker heeds that, every
   reader does, until whoever takes the checkpoint's lock next (this redrive, or a worker that reads the partition
   anew) tells that all is applied.

With a worker at work. Its transaction is before ours: then step 2 waits for it, and finds the position that it moved
to; what it dead-lettered on the way lies below and is folded in step 3. Or it is after ours: then its fence finds the
epoch raised, nothing of it is written, it drops its cached states, reads again what is parked, and writes the same
batch once more, in which every event of an unparked stream lies beyond our position and is the next version. There is
no third case. Letters that it had sent by then are on the topic though the events are applied: letters tell what
happened, parked marks what is.

A crash before the commit changes nothing; after it, all is done. Repeating a redrive is harmless.

Streams that Neo4j refuses when they are written together are redriven one by one, and of one that it refuses the events
are written up to the guilty one, in steps: after each step the stream is parked at the event where it has come to.

A *discarded* event is one that an operator has decided to leave out. It is folded like an event without effect: version
and position move, so that the next one is no hole. The decision is a node of its own, ``(:HolonstreamDiscarded
{stream, version, position, reason, note, decided})``, written in the same transaction: whoever compares the graph with
the fold of the log (verify) leaves out what it names. It is the graph's own: a graph made anew starts without it, and a
replay takes over those that it needs (`ops.replay`).
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Protocol

import structlog

from holonstream.schemas import wire
from holonstream.schemas.catalogue import Catalogue
from holonstream.schemas.errors import BadData, HolonstreamError, NotInitialised
from holonstream.schemas.event import RecordedEvent
from holonstream.schemas.state import State
from holonstream.schemas.wire import LoggedEvent
from holonstream.sinks.base import Batch
from holonstream.sinks.errors import GraphUnavailable
from holonstream.sinks.graph.driver import Deadlock, GraphConnection, Transaction
from holonstream.sinks.graph.mapping import parked_key
from holonstream.sinks.graph.read.load import Loader
from holonstream.sinks.graph.statements import text
from holonstream.sinks.graph.write.batch import HoleInStream, Item, Outcome, Undecodable, fold_stream
from holonstream.sinks.graph.write.bisect import REFUSALS, reason_of
from holonstream.sinks.graph.write.changes import changes, perform

log = structlog.get_logger(__name__)

STREAMS = 100  # redriven in one transaction
CHUNK = 1000  # events read from the log at a time
DEADLOCK_ATTEMPTS = 5
SETTLE_ATTEMPTS = 5
DEADLOCK_PAUSE = 0.05  # seconds, times the number of the attempt


class NotParked(HolonstreamError):
    """A stream is not parked, or not at the version named."""


class StreamLog(Protocol):
    """The streams of the log."""

    def read(self, stream: str, after_version: int, until: int, limit: int) -> Sequence[LoggedEvent]:
        """The first `limit` events of a stream beyond a version and up to a position. Raises Unavailable."""


@dataclass(frozen=True, slots=True)
class ParkedStream:
    """A stream whose events from `version` on are not in the graph."""

    stream: str
    version: int
    position: int
    topic: str
    partition: int
    offset: int | None
    """of the record that parked it; None when a redrive found the event"""
    reason: str


@dataclass(frozen=True, slots=True)
class DiscardedEvent:
    """An event that is left out of the graph by decision."""

    stream: str
    version: int
    position: int
    reason: str
    """why it could not be applied"""
    note: str | None
    """the operator's words"""
    decided: str
    """instant"""


@dataclass(frozen=True, slots=True)
class Redriven:
    """What became of a parked stream."""

    stream: str
    applied: int
    """events that the graph has gained"""
    discarded: int
    """events left out by decision on the way"""
    parked: ParkedStream | None
    """where it is parked now, None when it is not"""


class _EpochMoved(Exception):
    """Somebody else has redriven or repaired the partition meanwhile."""


class Redriver:
    """Redrives parked streams of one graph; see the module's docstring. All methods raise GraphUnavailable."""

    def __init__(self, connection: GraphConnection, catalogue: Catalogue, topic: str, log: StreamLog) -> None:
        self._connection, self._catalogue, self._topic, self._log = connection, catalogue, topic, log

    async def parked(self) -> list[ParkedStream]:
        """Every parked stream, in log order."""
        return [ParkedStream(*row) for row in await self._connection.rows(text("parked_streams"), topic=self._topic)]

    async def find(self, stream: str) -> ParkedStream:
        """One parked stream. Raises NotParked."""
        found = (await self._marks([stream])).get(stream)
        if found is None:
            raise NotParked(f"Not parked: {stream}: nothing of it is missing from {self._connection}")
        return found

    async def state(self, stream: str) -> State | None:
        """What the graph has of a stream's entity."""
        return (await Loader(self._connection, self._catalogue).load([stream])).get(stream)

    async def discarded(self) -> list[DiscardedEvent]:
        """Every event that was left out by decision, in log order."""
        rows = await self._connection.rows(text("redrive_discarded"), topic=self._topic)
        return [DiscardedEvent(*row) for row in rows]

    async def redrive(self, streams: Sequence[str]) -> AsyncIterator[Redriven]:
        """Redrive parked streams; tells what became of each as it is committed. Those not parked are passed over.

        Raises Unavailable: what was told is done, the rest is as it was.
        """
        partitions: defaultdict[int, list[str]] = defaultdict(list)
        for mark in (await self._marks(list(streams))).values():
            partitions[mark.partition].append(mark.stream)
        for partition, names in sorted(partitions.items()):
            for start in range(0, len(names), STREAMS):
                for redriven in await self._together(partition, names[start : start + STREAMS]):
                    yield redriven

    async def discard(self, stream: str, version: int, note: str | None = None) -> Redriven:
        """Leave out the event that parked a stream, and redrive the rest.

        Raises NotParked when the stream is not parked at that version, or the log has no such event.
        """
        mark = await self.find(stream)
        if mark.version != version:
            raise NotParked(f"Not parked at version {version}: {stream} is parked at {mark.version}: {mark.reason}")
        decision = DiscardedEvent(
            stream, version, mark.position, mark.reason, note, datetime.now(UTC).isoformat(timespec="milliseconds")
        )
        done = await self._alone(mark.partition, stream, decision)
        if not done:
            raise NotParked(f"Not parked: {stream} was redriven meanwhile")
        return done[0]

    # --- one partition -----------------------------------------------------------------------------------------------

    async def _together(self, partition: int, streams: Sequence[str]) -> list[Redriven]:
        try:
            return await self._insist(partition, streams, None)
        except REFUSALS:
            return [done for stream in streams for done in await self._alone(partition, stream, None)]

    async def _alone(self, partition: int, stream: str, decision: DiscardedEvent | None) -> list[Redriven]:
        """Redrive one stream, up to the event that Neo4j refuses. Raises GraphRefused when it refuses even the mark."""
        try:
            return await self._insist(partition, [stream], decision)
        except REFUSALS as refused:
            log.info("redrive.refused", stream=stream, cause=type(refused).__name__)
            stop = _Stop((await self.find(stream)).version, reason_of(refused))
        applied = discarded = 0
        step = 1
        while True:
            try:
                done = await self._insist(partition, [stream], decision, replace(stop, version=stop.version + step))
            except REFUSALS as again:
                stop = replace(stop, reason=reason_of(again))
                if step > 1:
                    step = 1
                    continue
                if decision is not None:
                    raise
                done, step = await self._insist(partition, [stream], None, stop), 0
            decision = None
            for redriven in done:
                applied, discarded = applied + redriven.applied, discarded + redriven.discarded
                if step == 0 or redriven.parked is None or redriven.parked.version != stop.version + step:
                    return [Redriven(stream, applied, discarded, redriven.parked)]
            if not done:
                return []
            stop, step = replace(stop, version=stop.version + step), 2 * step

    async def _insist(
        self, partition: int, streams: Sequence[str], decision: DiscardedEvent | None, stop: _Stop | None = None
    ) -> list[Redriven]:
        attempt = 0
        while True:
            try:
                return await self._attempt(partition, streams, decision, stop)
            except _EpochMoved:
                log.info("redrive.epoch_moved", partition=partition)
            except Deadlock:
                attempt += 1
                if attempt >= DEADLOCK_ATTEMPTS:
                    raise
                await asyncio.sleep(DEADLOCK_PAUSE * attempt)

    async def _attempt(
        self, partition: int, streams: Sequence[str], decision: DiscardedEvent | None, stop: _Stop | None
    ) -> list[Redriven]:
        epoch, position = await self._checkpoint(partition)
        marks = await self._marks(streams)
        left_out = await self._left_out(streams)
        if decision is not None:
            if (mark := marks.get(decision.stream)) is None or mark.version != decision.version:
                raise NotParked(f"Not parked at version {decision.version}: {decision.stream} was redriven meanwhile")
            left_out[decision.stream].add(decision.version)
        before = await Loader(self._connection, self._catalogue).load(list(marks))
        folds = [
            _Fold(self._catalogue, self._log, mark, before.get(stream), left_out[stream], stop)
            for stream, mark in sorted(marks.items())  # one lock order for every writer
        ]
        for fold in folds:
            fold.go_on(position)
        if decision is not None and folds[0].version < decision.version:
            raise NotParked(
                f"Not in the log: {decision.stream} ends at version {folds[0].version}, so that its record "
                f"{decision.version} was put on the topic by somebody else: `redrive` unparks it"
            )
        pending = [fold for fold in folds if fold.has_changed()]
        if pending:
            async with self._connection.transaction() as transaction:
                taken = await transaction.rows(
                    text("redrive_take"), topic=self._topic, partition=partition, epoch=epoch
                )
                if not taken or taken[0][0] != epoch:
                    raise _EpochMoved
                for fold in pending:
                    fold.go_on(taken[0][1])
                await self._write(transaction, pending, decision)
            await self._settle(partition)
        return [fold.result() for fold in folds]

    async def _settle(self, partition: int) -> None:
        """Let readers rely on what was committed; when that fails it is left to whoever takes the partition next."""
        for attempt in range(1, SETTLE_ATTEMPTS + 1):
            try:
                await self._checkpoint(partition)
                return
            except GraphUnavailable as error:
                log.info("redrive.not_settled", partition=partition, attempt=attempt, cause=type(error).__name__)
                await asyncio.sleep(DEADLOCK_PAUSE * attempt)

    async def _write(self, transaction: Transaction, folds: Sequence[_Fold], decision: DiscardedEvent | None) -> None:
        pairs = [(f.before, f.after) for f in folds if f.after is not None and f.after is not f.before]
        await perform(transaction, self._catalogue, changes(pairs))
        unparked = [parked_key(f.mark.stream) for f in folds if f.parked is None]
        if unparked:
            await transaction.rows(text("redrive_unpark"), keys=unparked)
        if rows := [{**_row(f.parked), "since": f.mark.position} for f in folds if f.parked is not None]:
            await transaction.rows(text("park"), rows=rows)
        if decision is not None:
            row = {
                "key": parked_key(decision.stream),
                "topic": self._topic,
                "stream": decision.stream,
                "version": decision.version,
                "position": decision.position,
                "reason": decision.reason,
                "note": decision.note,
                "decided": decision.decided,
            }
            await transaction.rows(text("redrive_discard"), row=row)

    async def _checkpoint(self, partition: int) -> tuple[int, int]:
        """The partition's epoch and position; readers may rely on all that has been committed."""
        rows = await self._connection.rows(text("checkpoint"), topic=self._topic, partition=partition)
        if not rows:
            raise NotInitialised(f"{self._connection}: {self._topic}[{partition}] has no checkpoint")
        return rows[0][1], rows[0][2]

    async def _marks(self, streams: Sequence[str]) -> dict[str, ParkedStream]:
        keys = [parked_key(stream) for stream in streams]
        rows = await self._connection.rows(text("parked_named"), keys=keys)
        return {row[0]: ParkedStream(*row) for row in rows}

    async def _left_out(self, streams: Sequence[str]) -> defaultdict[str, set[int]]:
        keys = [parked_key(stream) for stream in streams]
        found: defaultdict[str, set[int]] = defaultdict(set)
        for stream, version in await self._connection.rows(text("redrive_discarded_of"), keys=keys):
            found[stream].add(version)
        return found


@dataclass(frozen=True, slots=True)
class _Stop:
    """Do not go beyond this version: park the stream there, and say why."""

    version: int
    reason: str


class _Fold:
    """One stream on its way from what the graph has of it to a position."""

    def __init__(
        self,
        catalogue: Catalogue,
        log: StreamLog,
        mark: ParkedStream,
        before: State | None,
        left_out: set[int],
        stop: _Stop | None,
    ) -> None:
        self._catalogue, self._log, self._left_out, self._stop = catalogue, log, left_out, stop
        self._run = Batch(mark.topic, mark.partition, (), 0)
        self.mark = mark
        self.before = self.after = before
        # Without a state no event had an effect, so the stream is read from its start: a mark made by a record that is
        # not of the log says nothing of what came before it.
        self.version = before.version if before is not None else 0
        self.parked: ParkedStream | None = None
        self._applied = self._discarded = 0

    def go_on(self, until: int) -> None:
        """Fold what the log has up to a position, unless an event does not apply. Raises HoleInStream, Unavailable."""
        while self.parked is None:
            events = self._log.read(self.mark.stream, self.version, until, CHUNK)
            for event in events:
                self._take(event)
                if self.parked is not None:
                    return
            if len(events) < CHUNK:
                return

    def has_changed(self) -> bool:
        """Whether there is anything to write."""
        return self.parked is None or self.parked != self.mark or self.after is not self.before

    def result(self) -> Redriven:
        """What became of the stream."""
        return Redriven(self.mark.stream, self._applied, self._discarded, self.parked)

    def _take(self, event: LoggedEvent) -> None:
        if event.version != self.version + 1:
            raise HoleInStream(
                f"Hole in {self.mark.stream}: after version {self.version} the log has {event.version} "
                f"(position {event.position})"
            )
        if self._stop is not None and event.version == self._stop.version:
            self._park(event, self._stop.reason)
            return
        if event.version in self._left_out:
            if self.after is not None:
                self.after = replace(self.after, version=event.version, position=event.position)
            self._discarded += 1
        else:
            outcome = Outcome()
            item = Item(_Record(event.value), _decoded(self.mark.stream, event))
            self.after = fold_stream(self._catalogue, self._run, self.after, [item], None, outcome)
            if outcome.parked:
                self._park(event, outcome.parked[0].reason)
                return
            self._applied += 1
        self.version = event.version

    def _park(self, event: LoggedEvent, reason: str) -> None:
        offset = self.mark.offset if event.version == self.mark.version else None
        self.parked = replace(self.mark, version=event.version, position=event.position, offset=offset, reason=reason)


@dataclass(frozen=True, slots=True)
class _Record:
    """An event of the log, in the place of a record: it has no offset."""

    value: bytes | None
    offset: int = -1
    key: bytes | None = None


def _decoded(stream: str, event: LoggedEvent) -> RecordedEvent | Undecodable:
    try:
        return wire.decode(event.value)
    except BadData as error:
        return Undecodable(stream, event.version, event.position, str(error), wire.decode_traceparent(event.value))


def _row(parked: ParkedStream) -> Mapping[str, object]:
    return {
        "key": parked_key(parked.stream),
        "stream": parked.stream,
        "version": parked.version,
        "position": parked.position,
        "topic": parked.topic,
        "partition": parked.partition,
        "offset": parked.offset,
        "reason": parked.reason,
    }
