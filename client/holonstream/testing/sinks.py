"""What every sink must do (`sinks.own`), as tests for pytest: subclass SinkContract (docs/own-sink.md).

The tests do what a worker does: take partitions, write batches, retry an outage, take a partition again whose
checkpoint has moved, read on from the sink's checkpoint or from what the group has committed. In between they do what
happens to workers: they die before the commit, get partitions of others, lose partitions without noticing.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Sequence
from contextlib import AbstractContextManager, asynccontextmanager
from dataclasses import dataclass, field
from functools import wraps
from typing import Any, TypeVar

import pytest

from holonstream.schemas.catalogue import Catalogue
from holonstream.schemas.errors import Unavailable
from holonstream.schemas.event import Event, RecordedEvent
from holonstream.schemas.partition import partition_of
from holonstream.schemas.projection import recorded
from holonstream.schemas.wire import LoggedEvent
from holonstream.sinks.base import Batch, DeadLetter, Sink, WriteResult
from holonstream.sinks.errors import CheckpointMoved
from holonstream.sinks.own import EventSink
from holonstream.sinks.own_redrive import CannotRedrive, SinkRedriver
from holonstream.sinks.own_worker import EventSinkWriter
from holonstream.sinks.parked import ParkedStream, RedriveResult
from holonstream.testing.records import Record, batches_of, records_of, wire_value

TOPIC = "contract.events"
TOPIC_ID = "AAAAAAAAAAAAAAAAAAAAAA"
PARTITIONS = 3
LONGEST_TEST = 300.0  # seconds; a test that waits for what never comes must fail
BIG_BATCH = 5_000

C = TypeVar("C", bound="SinkContract")


def in_loop(test: Callable[[C], Coroutine[Any, Any, None]]) -> Callable[[C], None]:
    """Run a coroutine as a test, in a loop of its own."""

    @wraps(test)
    def run(self: C) -> None:
        asyncio.run(asyncio.wait_for(test(self), LONGEST_TEST))

    return run


@dataclass
class SimulatedWorker:
    """A worker without Kafka: it reads the records of a topic that is a list for each partition."""

    sink: Sink
    topic: dict[int, list[Record]]
    committed: dict[int, int]
    """what the group has committed, by partition: shared by all its workers"""
    next: dict[int, int] = field(default_factory=dict)
    """where each partition that this worker has continues"""

    async def take(self, *partitions: int) -> None:
        """Take partitions, at the same time: read on from the sink's checkpoint, else from the group's offset."""
        places = await asyncio.gather(*(self.sink.assign(TOPIC, p, None, TOPIC_ID) for p in partitions))
        for partition, own in zip(partitions, places, strict=True):
            self.next[partition] = self.committed.get(partition, 0) if own is None else own

    def give_back(self, *partitions: int) -> None:
        """Give partitions back."""
        for partition in partitions:
            del self.next[partition]
            self.sink.revoke(TOPIC, partition)

    def batch(self, partition: int, size: int) -> Batch | None:
        """The next records of a partition, None when there are no more."""
        left = [record for record in self.topic[partition] if record.offset >= self.next[partition]][:size]
        return batches_of(left, size, TOPIC, partition)[0] if left else None

    async def step(self, size: int, *, commits: bool = True) -> bool:
        """Write one batch of every partition that has one; False when none has. `commits` False dies before that."""
        batches = [batch for partition in self.next if (batch := self.batch(partition, size)) is not None]
        if not batches:
            return False
        for batch, _ in zip(batches, await self.sink.write_batches(batches), strict=True):
            self.next[batch.partition] = batch.next_offset
            if commits:
                self.committed[batch.partition] = batch.next_offset
        return True

    async def finish(self, size: int = 7) -> None:
        """Write everything that is left, as a worker does that takes partitions again whose checkpoint has moved."""
        while True:
            try:
                if not await self.step(size):
                    return
            except CheckpointMoved as moved:
                await self.take(moved.partition)


class SinkContract(ABC):
    """The suite. Each test begins with an empty store: make it in an autouse fixture of the subclass."""

    keeps_checkpoint = True
    """whether the sink stores checkpoints, so that each event counts exactly once"""
    parks = True
    """whether it parks streams, and stores which are parked"""
    redrives = True
    """whether it removes those that `SinkBatch.unparked` names, so that streams can be redriven"""

    def make_sink(self) -> EventSink:
        """A sink over the test's store; called for each worker of a test."""
        raise NotImplementedError

    def make_writer(self, publish: Callable[[Sequence[DeadLetter]], Coroutine[Any, Any, None]]) -> Sink:
        """What a worker makes of it; to be overridden by sinks that handle records themselves."""
        return EventSinkWriter(self.make_sink(), publish)

    @abstractmethod
    async def contents(self) -> Any:
        """What is in the store, in a form that can be compared."""

    @abstractmethod
    def expected(self, events: Sequence[RecordedEvent]) -> Any:
        """What must be in the store after these events, each once, in this order."""

    def events(self) -> Sequence[RecordedEvent]:
        """The events of most tests; override it for event types of your own."""
        return history(30)

    def refuse(self, event: RecordedEvent) -> Iterable[RecordedEvent]:
        """The same event so that the sink refuses it (BadData); none for a sink that takes every event."""
        return ()

    def outage(self) -> AbstractContextManager[None] | None:
        """Inside it the store does not answer; None leaves the test of outages to you."""
        return None

    # --- the tests -------------------------------------------------------------------------------------------------

    @in_loop
    async def test_events_arrive_in_order(self) -> None:
        log = self.events()
        async with self._worker(log) as worker:
            await worker.take(*range(PARTITIONS))
            await worker.finish()
        await self._assert_has(log)

    @in_loop
    async def test_a_batch_of_thousands(self) -> None:
        log = history(BIG_BATCH // 10, 10)
        async with self._worker(log) as worker:
            await worker.take(*range(PARTITIONS))
            await worker.finish(BIG_BATCH)
        await self._assert_has(log)

    @in_loop
    async def test_everything_comes_again(self) -> None:
        log = self.events()
        committed: dict[int, int] = {}
        for size in (7, 5, 100):
            async with self._worker(log, committed) as worker:
                await worker.take(*range(PARTITIONS))
                await worker.finish(size)
            await self._assert_has(log)
            committed.clear()  # as after the end of the retention of offsets

    @in_loop
    async def test_workers_die_between_write_and_commit(self) -> None:
        log = self.events()
        committed: dict[int, int] = {}
        left = True
        size = 1
        while left:
            size = size % 5 + 2
            async with self._worker(log, committed) as worker:
                await worker.take(*range(PARTITIONS))
                left = await worker.step(size)
                await worker.step(size, commits=False)
        await self._assert_has(log)

    @in_loop
    async def test_offsets_have_gaps(self) -> None:
        """Markers of transactions, and aborted records, take offsets."""
        log = self.events()
        async with self._worker(log) as worker:
            for records in worker.topic.values():
                records[:] = [Record(3 * r.offset + r.offset // 4, r.key, r.value) for r in records]
            await worker.take(*range(PARTITIONS))
            await worker.finish()
        await self._assert_has(log)

    @in_loop
    async def test_each_worker_has_partitions_of_its_own(self) -> None:
        log = self.events()
        committed: dict[int, int] = {}
        async with self._worker(log, committed) as one, self._worker(log, committed) as other:
            await one.take(0)
            await other.take(*range(1, PARTITIONS))
            while await one.step(3):
                await other.step(2)
            one.give_back(0)
            await other.take(0)
            await other.finish()
        await self._assert_has(log)

    @in_loop
    async def test_a_worker_has_lost_its_partition_without_noticing(self) -> None:
        log = self.events()
        committed: dict[int, int] = {}
        async with self._worker(log, committed) as lost, self._worker(log, committed) as owner:
            await lost.take(*range(PARTITIONS))
            await lost.step(4)
            await owner.take(*range(PARTITIONS))
            await owner.step(9)
            if self.keeps_checkpoint:
                with pytest.raises(CheckpointMoved):
                    await lost.step(4, commits=False)
            else:
                await lost.step(4, commits=False)
            await owner.finish()
            await self._assert_has(log)
            if not self.keeps_checkpoint:
                await lost.step(4, commits=False)  # old events, after newer ones
        await self._assert_has(log)

    @in_loop
    async def test_the_answer_to_a_write_is_lost(self) -> None:
        """The store has the batch, and the worker does not know: it writes it again."""
        log = self.events()
        async with self._worker(log) as worker, self._worker(log, worker.committed) as ghost:
            await worker.take(*range(PARTITIONS))
            await ghost.take(*range(PARTITIONS))
            await ghost.step(6, commits=False)
            await worker.finish(6)
        await self._assert_has(log)

    @in_loop
    async def test_records_of_others_change_nothing(self) -> None:
        log = self.events()
        async with self._worker(log) as worker:
            for records in worker.topic.values():
                foreign = [Record(0, None, None), Record(0, b"x", b"\xff"), Record(0, b"x", records[0].value)]
                records[:] = [Record(n, r.key, r.value) for n, r in enumerate([*foreign, *records, *foreign])]
            await worker.take(*range(PARTITIONS))
            await worker.finish(4)
        await self._assert_has(log)

    @in_loop
    async def test_a_hole_in_a_stream_parks_it(self) -> None:
        if not self.parks:
            return
        log = self.events()
        stream = log[0].stream
        lost = [event for event in log if event.stream == stream][2]
        async with self._worker([event for event in log if event is not lost]) as worker:
            await worker.take(*range(PARTITIONS))
            await worker.finish()
        await self._assert_has([e for e in log if e.stream != stream or e.version < lost.version])

    @in_loop
    async def test_a_refused_event_parks_its_stream_alone(self) -> None:
        log = list(self.events())
        index, refused = next(
            ((n, bad) for n, event in enumerate(log) if event.version == 2 for bad in self.refuse(event)), (0, None)
        )
        if refused is None:
            return
        log[index] = refused
        applied = [e for e in log if e.stream != refused.stream or e.version < refused.version]
        committed: dict[int, int] = {}
        letters: list[DeadLetter] = []
        for _ in range(2):  # the second time by another worker, which reads all again if there is no checkpoint
            async with self._worker(log, committed, letters) as worker:
                await worker.take(*range(PARTITIONS))
                for _ in range(2):
                    await worker.step(20)
            committed.clear()
        async with self._worker(log, committed, letters) as worker:
            await worker.take(*range(PARTITIONS))
            await worker.finish()
        await self._assert_has(applied)
        parked = {e.version for e in log if e.stream == refused.stream and e.version >= refused.version}
        assert {letter.stream for letter in letters} == {refused.stream}
        assert {letter.version for letter in letters} == parked

    @in_loop
    async def test_a_parked_stream_is_redriven_while_its_worker_runs(self) -> None:
        log = list(self.events())
        found = ((n, bad) for n, event in enumerate(log) if event.version == 2 for bad in self.refuse(event))
        index, refused = next(found, (0, None))
        if refused is None or not (self.parks and self.redrives):
            return
        bad = [*log[:index], refused, *log[index + 1 :]]
        async with self._worker(bad) as worker:
            await worker.take(*range(PARTITIONS))
            while not await self._parked(bad):
                assert await worker.step(1), "the refused event parks its stream"
            if not self.keeps_checkpoint:
                with pytest.raises(CannotRedrive):
                    await self._redrive(bad, refused.stream)
                return
            still = await self._redrive(bad, refused.stream)
            assert still.parked is not None, "the event is refused as before"
            assert (still.applied, still.parked.version) == (0, 2)
            assert [(mark.stream, mark.version) for mark in await self._parked(bad)] == [(refused.stream, 2)]
            assert await self._redrive(log, refused.stream) == RedriveResult(refused.stream, 1, 0, None)
            assert await self._parked(log) == []
            await worker.finish()  # notices, and writes the stream's later events
        await self._assert_has(log)

    @in_loop
    async def test_an_outage_is_waited_for(self) -> None:
        log = self.events()
        outage = self.outage()
        if outage is None:
            return
        async with self._worker(log) as worker:
            await worker.take(*range(PARTITIONS))
            await worker.step(5)
            with outage:
                for _ in range(3):
                    with pytest.raises((Unavailable, TimeoutError)):
                        await asyncio.wait_for(worker.step(5), 10)
            await self._when_available(worker)
            await worker.finish()
        await self._assert_has(log)

    @in_loop
    async def test_opening_and_closing(self) -> None:
        async with self._worker([]) as worker:
            await worker.sink.close()
        writer = self.make_writer(_Letters([]).publish)
        await writer.close()

    # --- parts of the tests ----------------------------------------------------------------------------------------

    @asynccontextmanager
    async def _worker(
        self,
        log: Sequence[RecordedEvent],
        committed: dict[int, int] | None = None,
        letters: list[DeadLetter] | None = None,
    ) -> AsyncIterator[SimulatedWorker]:
        writer = self.make_writer(_Letters([] if letters is None else letters).publish)
        await writer.open()
        try:
            yield SimulatedWorker(writer, topic_of(log), {} if committed is None else committed)
        finally:
            await writer.close()

    @asynccontextmanager
    async def _redriver(self, log: Sequence[RecordedEvent]) -> AsyncIterator[SinkRedriver]:
        redriver = SinkRedriver(self.make_sink(), TOPIC, PARTITIONS, LoggedEvents(log))
        await redriver.open()
        try:
            yield redriver
        finally:
            await redriver.close()

    async def _parked(self, log: Sequence[RecordedEvent]) -> list[ParkedStream]:
        async with self._redriver(log) as redriver:
            return await redriver.parked()

    async def _redrive(self, log: Sequence[RecordedEvent], stream: str) -> RedriveResult:
        async with self._redriver(log) as redriver:
            (result,) = [result async for result in redriver.redrive([stream])]
            return result

    async def _when_available(self, worker: SimulatedWorker) -> None:
        """One batch, however many attempts it takes: an open connection is lost with the store."""
        while True:
            try:
                await worker.step(5)
                return
            except CheckpointMoved as moved:
                await worker.take(moved.partition)
            except (Unavailable, TimeoutError):
                await asyncio.sleep(0.05)

    async def _assert_has(self, log: Sequence[RecordedEvent]) -> None:
        assert await self.contents() == self.expected(log)


class LoggedEvents:
    """The log, from which parked streams are redriven."""

    def __init__(self, events: Sequence[RecordedEvent]) -> None:
        self._events = events

    def read(self, stream: str, after_version: int, until: int, limit: int) -> Sequence[LoggedEvent]:
        """The first `limit` events of a stream beyond a version and up to a position."""
        return [
            LoggedEvent(event.stream, event.version, event.position, wire_value(event))
            for event in self._events
            if event.stream == stream and event.version > after_version and event.position <= until
        ][:limit]


class _Letters:
    """Dead letters, as they are published."""

    def __init__(self, letters: list[DeadLetter]) -> None:
        self._letters = letters

    async def publish(self, letters: Sequence[DeadLetter]) -> None:
        self._letters.extend(letters)


def history(persons: int, changes: int = 4) -> list[RecordedEvent]:
    """A log of positions that are created and changed by turns, each with so many events."""
    made: list[Event] = []
    for change in range(changes):
        for number in range(persons):
            new, named = change == 0, f"position {number}, edition {change}"
            payload = {"title": named} if new else {"updates": {"title": named, f"change{change}": number}}
            made.append(
                Event(
                    type="PositionCreated" if new else "PositionModified",
                    occurred_at=f"2026-01-{change + 1:02}T08:00:00.000Z",
                    actor="contract",
                    subjects=(f"position-{number}",),
                    payload=payload,
                    source_system="contract",
                )
            )
    return list(recorded(Catalogue.load(), made))


def topic_of(log: Sequence[RecordedEvent]) -> dict[int, list[Record]]:
    """The records of each partition, as the relay would send them."""
    return {
        partition: records_of(event for event in log if partition_of(event.stream, PARTITIONS) == partition)
        for partition in range(PARTITIONS)
    }


__all__ = ["PARTITIONS", "TOPIC", "SinkContract", "WriteResult", "history"]
