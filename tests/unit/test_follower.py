"""How much a follower gives its sink at once, without brokers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

from faust.types import TP

from holonstream.sinks.base import Batch, WriteResult
from holonstream.streams.follower import WRITE_BYTES, Follower
from holonstream.streams.transport import Bounds, Fetch, GroupOffset

PLACE = TP("events", 0)
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
    value: Fetch
    message: Message = Message()


class Stream:
    """Fetches that wait in a queue."""

    def __init__(self, fetches: Sequence[Fetch]) -> None:
        self.channel: Any = SimpleNamespace(queue=asyncio.Queue())
        for fetch in fetches:
            self.channel.queue.put_nowait(Event(fetch))

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

    async def bounds(self, tp: TP) -> Bounds:
        return Bounds(0, 1_000)

    async def seek_to(self, tp: TP, offset: int) -> None:
        raise AssertionError(f"not in order: {offset}")

    def mark_written(self, tp: TP, offset: GroupOffset) -> None:
        self.written = offset.offset

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


def writes_of(fetches: Sequence[Fetch], max_events: int) -> list[int]:
    """How many records each write had of fetches that all waited."""

    async def follow() -> list[int]:
        app, sink = App(), Sink()
        follower = Follower(app, "group", sink, max_events=max_events, write_timeout=5.0)
        follower.on_assigned({PLACE: GroupOffset(0, None)})
        await follower.follow(Stream(fetches))
        assert app.written == fetches[-1].next_offset
        return sink.writes

    return asyncio.run(follow())


def fetches_of(count: int, records: int, size: int) -> list[Fetch]:
    return [
        Fetch(
            PLACE.topic,
            PLACE.partition,
            i * records,
            (i + 1) * records,
            [Record(i * records + n, b"x" * size) for n in range(records)],
        )
        for i in range(count)
    ]


def test_what_waits_is_written_together_up_to_a_number_of_records() -> None:
    assert writes_of(fetches_of(10, records=10, size=100), max_events=40) == [40, 40, 20]


def test_what_waits_is_written_together_up_to_a_number_of_bytes() -> None:
    assert writes_of(fetches_of(10, records=1, size=WRITE_BYTES // 4), max_events=5_000) == [4, 4, 2]


def test_a_fetch_is_never_divided_for_its_size() -> None:
    assert writes_of(fetches_of(3, records=2, size=WRITE_BYTES), max_events=5_000) == [2, 2, 2]
