"""Streams that a sink of one's own has parked are redriven from the log, beside its worker."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from typing import Any

import pytest
from msgspec.structs import replace

from holonstream.schemas.errors import Unavailable
from holonstream.schemas.event import RecordedEvent
from holonstream.schemas.partition import partition_of
from holonstream.sinks import own_redrive
from holonstream.sinks.base import Batch, DeadLetter
from holonstream.sinks.errors import CheckpointMoved
from holonstream.sinks.own import SinkBatch, SinkPlace
from holonstream.sinks.own_redrive import CannotRedrive, SinkRedriver
from holonstream.sinks.own_worker import EventSinkWriter, SinkCheckpoint
from holonstream.sinks.parked import NotParked, RedriveResult
from holonstream.testing.records import records_of
from holonstream.testing.sinks import TOPIC, LoggedEvents, history
from tests.unit.test_own_sink import ListSink, Store

STREAM = history(1)[0].stream
PARTITION = 0


def changes(count: int) -> list[RecordedEvent]:
    """A stream of so many events."""
    first, second = history(1, 2)
    return [first, *(replace(second, id=f"e-{n}", version=n, position=n) for n in range(2, count + 1))]


def refused(events: Sequence[RecordedEvent], *versions: int) -> list[RecordedEvent]:
    """The same events, of which the sink refuses some."""
    return [replace(e, payload={"title": "refused"}) if e.version in versions else e for e in events]


async def no_letters(letters: Sequence[DeadLetter]) -> None:
    assert letters


async def worked(store: Store, events: Sequence[RecordedEvent]) -> EventSinkWriter:
    """A worker that has written events of one stream, in one batch."""
    writer = EventSinkWriter(ListSink(store), no_letters)
    await writer.assign(TOPIC, PARTITION, None)
    await writer.write_batches([Batch(TOPIC, PARTITION, records_of(events), len(events))])
    return writer


def redriver(sink: ListSink, log: Sequence[RecordedEvent]) -> SinkRedriver:
    assert partition_of(STREAM, 1) == PARTITION
    return SinkRedriver(sink, TOPIC, 1, LoggedEvents(log))


async def redriven(sink: ListSink, log: Sequence[RecordedEvent]) -> RedriveResult:
    (result,) = [result async for result in redriver(sink, log).redrive([STREAM])]
    return result


@pytest.fixture
def store() -> Store:
    return Store()


def run(test: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(test, 60))


def test_the_guilty_event_is_found_in_a_long_stream_and_discarded(store: Store) -> None:
    log = refused(changes(3_000), 2, 2_500)

    async def test() -> None:
        await worked(store, log)
        assert store.parked == {PARTITION: {STREAM: 2}}
        sink = ListSink(store)
        again = await redriven(sink, log)
        assert again.parked is not None
        assert (again.applied, again.parked.version, len(store.seen)) == (0, 2, 1)
        fixed = refused(changes(3_000), 2_500)
        stopped = await redriven(sink, fixed)
        assert stopped.parked is not None
        assert (stopped.applied, stopped.parked.version) == (2_498, 2_500)
        assert "I do not like the title" in stopped.parked.reason
        assert len(sink.batches) < 40  # halves, not one by one
        with pytest.raises(NotParked, match="is parked at 2500"):
            await redriver(sink, fixed).discard(STREAM, 2)
        assert await redriver(sink, fixed).discard(STREAM, 2_500) == RedriveResult(STREAM, 500, 1, None)
        assert [version for _, version in store.seen] == [n for n in range(1, 3_001) if n != 2_500]
        with pytest.raises(NotParked):
            await redriver(sink, fixed).find(STREAM)

    run(test())


def test_parked_streams_are_listed_without_a_question_to_the_log(store: Store) -> None:
    """What only the log knows, the command asks once for all of them."""

    async def test() -> None:
        await worked(store, refused(changes(3), 2))
        lists = redriver(ListSink(store), [])
        (mark,) = await lists.parked()
        assert (mark.stream, mark.version, mark.position) == (STREAM, 2, 0)
        assert await lists.find(STREAM) == mark

    run(test())


def test_what_the_worker_writes_meanwhile_is_redriven_too(store: Store) -> None:
    """The worker dead-letters one more event of the stream after the redrive has read the checkpoint."""
    log = history(1, 4)

    async def test() -> None:
        worker = await worked(store, refused(log[:2], 2))
        more = [Batch(TOPIC, PARTITION, records_of([log[2]], 2), 3)]

        class Overtaken(ListSink):
            async def assign(self, partition: int) -> SinkPlace:
                place = await super().assign(partition)
                while more:
                    await worker.write_batches([more.pop()])
                return place

        assert await redriven(Overtaken(store), log) == RedriveResult(STREAM, 2, 0, None)
        assert [version for _, version in store.seen] == [1, 2, 3]
        with pytest.raises(CheckpointMoved):
            await worker.write_batches([Batch(TOPIC, PARTITION, records_of([log[3]], 3), 4)])
        await worker.assign(TOPIC, PARTITION, None)
        await worker.write_batches([Batch(TOPIC, PARTITION, records_of([log[3]], 3), 4)])
        assert [version for _, version in store.seen] == [1, 2, 3, 4]

    run(test())


def test_a_worker_without_new_records_notices_a_redrive(store: Store) -> None:
    log = history(1)

    async def test() -> None:
        worker = await worked(store, refused(log, 3))
        await worker.ping()
        assert worker.parked_streams == 1
        await redriven(ListSink(store), log)
        with pytest.raises(CheckpointMoved, match="redrive"):
            await worker.ping()
        assert await worker.assign(TOPIC, PARTITION, None) == len(log)
        assert worker.parked_streams == 0
        await worker.ping()

    run(test())


def test_an_outage_in_between_leaves_the_stream_parked_further_on(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(own_redrive, "CHUNK", 2)
    log = history(1, 7)

    class Failing(ListSink):
        async def write(self, batch: SinkBatch) -> None:
            await super().write(batch)
            store.down = True

    async def test() -> None:
        await worked(store, refused(log, 2))
        with pytest.raises(Unavailable, match="the store is down"):
            await redriven(Failing(store), log)
        store.down = False
        assert store.parked == {PARTITION: {STREAM: 4}}
        assert await redriven(ListSink(store), log) == RedriveResult(STREAM, 4, 0, None)
        assert [version for _, version in store.seen] == list(range(1, 8))

    run(test())


def test_sinks_that_do_not_keep_to_the_protocol_are_named(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(own_redrive, "MOVES", 3)
    log = history(1)

    class Ignoring(ListSink):
        async def write(self, batch: SinkBatch) -> None:
            await super().write(
                SinkBatch(batch.topic, batch.partition, batch.events, (), batch.expected, batch.checkpoint)
            )

    class Moving(ListSink):
        async def write(self, batch: SinkBatch) -> None:
            raise batch.moved()

    async def test() -> None:
        await worked(store, refused(log, 2))
        with pytest.raises(CheckpointMoved):
            await redriven(Moving(store), log)
        with pytest.raises(CannotRedrive, match=r"SinkBatch\.unparked"):
            await redriven(Ignoring(store), log)

    run(test())


@pytest.mark.parametrize("checkpoint", [SinkCheckpoint(0, None, None, 1), SinkCheckpoint(5, 7, "A" * 22, 12)])
def test_a_redriven_checkpoint_is_read_as_it_was_written(checkpoint: SinkCheckpoint) -> None:
    assert SinkCheckpoint.parse(checkpoint.text()) == checkpoint
