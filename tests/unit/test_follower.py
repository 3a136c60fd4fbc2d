"""How much a follower gives its sink at once, without brokers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import pytest
from faust.types import TP

from holonstream.schemas.errors import TopicCut
from holonstream.sinks.base import Batch, WriteResult
from holonstream.streams.follower import WRITE_BYTES, Follower
from holonstream.streams.transport import Bounds, Fetch, FetchConsumer, GroupOffset

GENERATION = 1


@dataclass(frozen=True)
class Record:
    offset: int
    value: bytes
    key: bytes | None = None


@dataclass(frozen=True)
class Message:
    generation_id: int = GENERATION


@dataclass(frozen=True)
class Event:
    value: Sequence[Fetch]
    message: Message = Message()


class Stream:
    """Polls that wait in a queue."""

    def __init__(self, polls: Sequence[Sequence[Fetch]]) -> None:
        self.channel: Any = SimpleNamespace(queue=asyncio.Queue())
        for fetches in polls:
            self.channel.queue.put_nowait(Event(fetches))

    async def events(self) -> AsyncIterator[Any]:
        while not self.channel.queue.empty():
            yield self.channel.queue.get_nowait()


class App:
    """The app and its consumer."""

    consumer_generation_id = GENERATION
    should_stop = False

    @property
    def consumer(self) -> App:
        return self

    async def topic_id(self) -> None:
        return None

    async def check_place(self, tp: TP, offset: int) -> None:
        Bounds(0, 1_000).check(tp, offset)

    async def seek_to(self, tp: TP, offset: int) -> None:
        raise AssertionError(f"not in order: {offset}")

    def __init__(self) -> None:
        self.written: dict[TP, int] = {}

    def mark_written(self, tp: TP, offset: GroupOffset) -> None:
        self.written[tp] = offset.offset

    def release(self, message: Any) -> None:
        pass

    async def crash(self, reason: BaseException) -> None:
        raise reason


class Sink:
    """Takes note of how many records each write has."""

    def __init__(self) -> None:
        self.writes: list[int] = []

    async def open(self) -> None:
        pass

    async def close(self) -> None:
        pass

    async def assign(self, topic: str, partition: int, committed: int | None, topic_id: str | None = None) -> None:
        return None

    def revoke(self, topic: str, partition: int) -> None:
        pass

    async def write_batches(self, batches: Sequence[Batch]) -> list[WriteResult]:
        self.writes.append(sum(len(batch.records) for batch in batches))
        return [WriteResult(len(batch.records), 0, 0, None) for batch in batches]


def writes_of(polls: Sequence[Sequence[Fetch]], max_events: int) -> list[int]:
    """How many records each write had of polls that all waited."""
    ends = {TP(fetch.topic, fetch.partition): fetch.next_offset for fetches in polls for fetch in fetches}

    async def follow() -> list[int]:
        app, sink = App(), Sink()
        follower = Follower(app, "group", sink, max_events=max_events, write_timeout=5.0)
        follower.on_assigned({tp: GroupOffset(0, None) for tp in ends})
        await follower.follow(Stream(polls))
        assert app.written == ends
        return sink.writes

    return asyncio.run(follow())


def polls_of(count: int, records: int, size: int, partitions: int = 1) -> list[list[Fetch]]:
    def fetch(number: int, partition: int) -> Fetch:
        first = number * records
        values = [Record(first + n, b"x" * size) for n in range(records)]
        return Fetch("events", partition, first, first + records, values)

    return [[fetch(number, partition) for partition in range(partitions)] for number in range(count)]


def test_what_waits_is_written_together_up_to_a_number_of_records() -> None:
    assert writes_of(polls_of(10, records=10, size=100), max_events=40) == [40, 40, 20]


def test_what_waits_is_written_together_up_to_a_number_of_bytes() -> None:
    assert writes_of(polls_of(10, records=1, size=WRITE_BYTES // 4), max_events=5_000) == [4, 4, 2]


def test_what_a_poll_brought_of_all_partitions_is_written_together() -> None:
    assert writes_of(polls_of(2, records=2, size=100, partitions=12), max_events=24) == [24, 24]


def test_a_poll_is_divided_where_it_is_too_large() -> None:
    assert writes_of(polls_of(2, records=1, size=WRITE_BYTES // 4, partitions=6), max_events=5_000) == [4, 2, 4, 2]


def test_a_fetch_is_never_divided_for_its_size() -> None:
    assert writes_of(polls_of(3, records=2, size=WRITE_BYTES), max_events=5_000) == [2, 2, 2]


class Thread:
    """What the consumer's thread knows of one partition since its seek, and what the brokers say now."""

    def __init__(self) -> None:
        self.at_seek = {TP("t", 0): Bounds(5, 10)}
        self.asked = 0

    async def bounds(self, tps: list[TP]) -> dict[TP, Bounds]:
        self.asked += 1
        return {tp: Bounds(6, 12) for tp in tps}


@pytest.mark.parametrize(
    ("partition", "offset", "asked", "refused"),
    [(0, 5, 0, False), (0, 10, 0, False), (0, 11, 1, False), (0, 13, 1, True), (0, 4, 1, True), (1, 7, 1, False)],
)
def test_the_brokers_are_asked_for_one_partition_only_where_what_is_known_does_not_suffice(
    partition: int, offset: int, asked: int, refused: bool
) -> None:
    """An answer waits behind a fetch that waits for records: of twelve partitions one by one, for six seconds."""
    consumer = FetchConsumer.__new__(FetchConsumer)
    thread = consumer._thread = Thread()  # type: ignore[assignment]
    with pytest.raises(TopicCut) if refused else nullcontext():
        asyncio.run(consumer.check_place(TP("t", partition), offset))
    assert thread.asked == asked
