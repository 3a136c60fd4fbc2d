"""Passes batches to a sink, in order, and retries while the store is down."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterable, Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from time import monotonic
from typing import Any, Protocol, TypeVar

import structlog
from faust.types import TP

from holonstream.schemas import tracing
from holonstream.schemas.errors import TopicReplaced, Unavailable
from holonstream.schemas.incident import incident
from holonstream.schemas.retry import backoff
from holonstream.sinks.base import Batch, ParkingSink, Sink, WriteResult, first_of
from holonstream.sinks.errors import CheckpointMoved
from holonstream.streams.transport import Fetch, GroupOffset

log = structlog.get_logger(__name__)

T = TypeVar("T")

WRITE_BYTES = 4 << 20  # of records written together; decoded and packed they take several times as much memory
POLL_INTERVAL = 0.05  # seconds between two checks whether to stop waiting
CALL_POLL_INTERVAL = 0.25  # seconds, the same while a call of the sink is running
FINISH_TIMEOUT = 5.0  # seconds that a running write gets once the worker stops or the group rebalances


class OffsetStore(Protocol):
    """What the follower asks of its consumer (`transport.FetchConsumer`)."""

    async def seek_to(self, tp: TP, offset: int) -> None: ...
    async def check_place(self, tp: TP, offset: int) -> None: ...
    def mark_written(self, tp: TP, offset: GroupOffset) -> None: ...
    def release(self, message: Any) -> None: ...


class FollowerApp(Protocol):
    """What the follower asks of its Faust app."""

    @property
    def consumer(self) -> OffsetStore: ...
    @property
    def consumer_generation_id(self) -> int: ...
    @property
    def should_stop(self) -> bool: ...
    async def topic_id(self) -> str | None: ...
    async def crash(self, reason: BaseException) -> None: ...


class Message(Protocol):
    """Faust's message around the fetches of a poll."""

    generation_id: int


class PollEvent(Protocol):
    """The fetches of a poll, as they come out of Faust's stream: at most one of each partition."""

    value: Sequence[Fetch]
    message: Message


class Channel(Protocol):
    """Where a stream's polls wait."""

    queue: asyncio.Queue[PollEvent]


class Stream(Protocol):
    """Faust's stream of polls."""

    channel: Channel

    def events(self) -> AsyncIterable[PollEvent]: ...


class Interruption(Exception):
    """The worker stops or the group rebalances: leave the batches, they will be read again."""


class Follower:
    """Couples one consumer to one sink; a `transport.RebalanceListener`.

    What was fetched while the sink was writing is written together, one batch per partition: a transaction costs the
    same for one event as for hundreds. A write that does not end within `write_timeout`, or that the sink finds too
    large, is retried in smaller parts: as a whole it might never succeed. Per assigned partition the follower knows the
    offset at which the next batch must start; before it has asked the sink for its checkpoint, it knows none and writes
    nothing.
    """

    def __init__(self, app: FollowerApp, group: str, sink: Sink, *, max_events: int, write_timeout: float) -> None:
        """`max_events` are written together at most, unless one poll has more; `write_timeout` is in seconds."""
        self._app = app
        self._group = group
        self._sink = sink
        self._max_events = max_events
        self._largest_write = self._write_size = 2 * max_events  # what is taken from the queue is never more
        self._write_timeout = write_timeout
        self._expected: dict[TP, int] = {}
        self._positions: dict[TP, int | None] = {}
        self._topic_id: str | None = None
        self._starting: dict[TP, asyncio.Task[None]] = {}
        self._rebalancing = False
        self._logged: set[str] = set()  # causes of the present retries
        self.writes = 0
        """writes that succeeded, whole or in part, and batches without anything to write"""
        self.retries = 0
        self.causes: Counter[str] = Counter()
        """retries by the error's class"""
        self.in_hand: Sequence[Batch] = ()
        """what is being written"""
        self.on_written: Callable[[Sequence[Batch], Sequence[WriteResult], float], None] | None = None
        """called after every write that succeeded: the batches, the result of each, and the seconds that it took"""
        self.retrying_since: float | None = None
        """monotonic seconds; None while the sink works"""
        self.retry_reason = ""
        """of the last retry"""

    async def follow(self, stream: Stream) -> None:
        """The agent: every poll of the stream, in order."""
        async for event in stream.events():
            for fetches in _parts([*event.value, *self._queued(stream.channel.queue, event.value)]):
                await self.handle(fetches)
            self._app.consumer.release(event.message)

    def _queued(self, queue: asyncio.Queue[PollEvent], first: Sequence[Fetch]) -> list[Fetch]:
        """What else waits in the stream's queue, until `max_events` or WRITE_BYTES are reached.

        Faust does not track these as being in progress; it need not, as they are handled while the first one is.
        """
        fetches: list[Fetch] = []
        count, size = _count(first), _size(first)
        while count < self._max_events and size < WRITE_BYTES and not queue.empty():
            event = queue.get_nowait()
            if event.message.generation_id == self._app.consumer_generation_id:
                fetches += event.value
                count += _count(event.value)
                size += _size(event.value)
        return fetches

    # --- partitions come and go ------------------------------------------------------------------------------------

    def on_rebalance_start(self) -> None:
        """No retry and no new batch until partitions are assigned again. Called from the consumer's thread."""
        self._rebalancing = True

    def on_assigned(self, offsets: Mapping[TP, GroupOffset]) -> None:
        """Reading starts at these offsets, unless the sink has a checkpoint of its own."""
        self.on_revoked(set(self._starting) | set(self._expected))
        self._rebalancing = False
        for tp, offset in offsets.items():
            self._starting[tp] = asyncio.ensure_future(self._start(tp, offset))

    def on_revoked(self, partitions: Iterable[TP]) -> None:
        """Forget partitions that this worker no longer has."""
        for tp in partitions:
            starting = self._starting.pop(tp, None)
            if starting is not None:
                starting.cancel()
            self._expected.pop(tp, None)
            self._positions.pop(tp, None)
            self._sink.revoke(*tp)

    async def _start(self, tp: TP, offset: GroupOffset) -> None:
        try:
            await self._seek_to_checkpoint(tp, offset)
        except Interruption:
            pass
        except Exception as error:
            log.error("partition.start_failed", partition=tp.partition, **incident(error))
            await self._app.crash(error)

    async def _seek_to_checkpoint(self, tp: TP, committed: GroupOffset) -> None:
        """Ask the sink where the partition continues, and seek to that offset.

        Raises TopicReplaced or TopicCut when that place is not there, so that events would be missed.
        """
        start = await self._retry(partial(self._find_place, tp, committed))
        if start.offset != committed.offset:
            log.info("partition.seek", partition=tp.partition, committed=committed.offset, checkpoint=start.offset)
            await self._app.consumer.seek_to(tp, start.offset)
        if start != committed:
            # An earlier owner wrote this and ended before its commit: it would look like a lag until the next event.
            self._app.consumer.mark_written(tp, start)
        self._expected[tp] = start.offset
        self._positions[tp] = committed.position
        self._starting.pop(tp, None)

    async def _find_place(self, tp: TP, committed: GroupOffset) -> GroupOffset:
        """Where a partition continues, proven to be in the topic as it is now.

        A sink without checkpoints may read a topic that was made again from its beginning: the relay has put all events
        there again (`producers.relay.recovery`), and the sink is idempotent.
        """
        topic_id = await self._app.topic_id()
        self.check_topic(topic_id)
        offset, position = committed.offset, committed.position
        if committed.topic_id not in (None, topic_id):
            log.warning("partition.topic_replaced", partition=tp.partition, was=committed.topic_id, now=topic_id)
            offset = 0
        elif offset > 0 and committed.topic_id is None and position is None:
            reason = "another program set the group's offset, which says nothing of what was handled: reading from 0"
            log.warning("partition.offset_set_by_hand", partition=tp.partition, committed=offset, reason=reason)
            offset = 0
        checkpoint = await self._sink.assign(tp.topic, tp.partition, position, topic_id)
        if checkpoint is not None and checkpoint != offset:
            if checkpoint < offset:
                reason = (
                    "the store was restored from a backup, emptied, or is another one: reading from its own checkpoint"
                )
                log.warning("partition.store_behind", partition=tp.partition, checkpoint=checkpoint, reason=reason)
            offset, position = checkpoint, None
        await self._app.consumer.check_place(tp, offset)
        return GroupOffset(offset, position, topic_id, self._parked(tp))

    def _parked(self, tp: TP) -> int | None:
        return self._sink.parked_in(*tp) if isinstance(self._sink, ParkingSink) else None

    def has_place(self, tp: TP) -> bool:
        """Whether it is proven how far a partition is written; else that is only what the group has committed."""
        return tp in self._expected

    def check_topic(self, topic_id: str | None) -> None:
        """Check that the topic, which has this id now, is the one that was read so far. Raises TopicReplaced."""
        if self._topic_id not in (None, topic_id):
            raise TopicReplaced(
                f"The topic was deleted and made again under this worker of {self._group} (its id was "
                f"{self._topic_id}, and is {topic_id}). Start the worker again. If events are missing in the new one, "
                "the relay refuses it, and says what to type"
            )
        self._topic_id = topic_id

    def take_again(self, moved: CheckpointMoved) -> None:
        """Ask the sink again where a partition continues: its checkpoint was moved while nothing was written."""
        tp = TP(moved.topic, moved.partition)
        if tp in self._expected:
            log.warning("partition.checkpoint_moved", partition=moved.partition, reason=str(moved))
            del self._expected[tp]
            self._starting[tp] = asyncio.ensure_future(self._start(tp, GroupOffset(-1, self._positions.get(tp))))

    # --- batches ------------------------------------------------------------------------------------------------------

    async def handle(self, fetches: Sequence[Fetch]) -> None:
        """Write what was fetched, for as long as it takes; leave out partitions that another worker has taken."""
        try:
            joined = await self._join(fetches)
            while joined:
                try:
                    await self._write(joined)
                    return
                except CheckpointMoved as moved:
                    log.warning("partition.checkpoint_moved", partition=moved.partition, reason=str(moved))
                    tp = TP(moved.topic, moved.partition)
                    joined.pop(tp)
                    position = self._positions.get(tp)
                    self._expected.pop(tp, None)
                    await self._seek_to_checkpoint(tp, GroupOffset(-1, position))
        except Interruption:
            pass

    async def _join(self, fetches: Sequence[Fetch]) -> dict[TP, Fetch]:
        """The fetches that follow what is written, those of one partition as one."""
        joined: dict[TP, Fetch] = {}
        for fetch in fetches:
            tp = TP(fetch.topic, fetch.partition)
            await self._started(tp)
            before = joined.get(tp)
            expected = before.next_offset if before else self._expected.get(tp)
            if expected is None:
                continue
            if fetch.start != expected:
                log.info("fetch.out_of_place", partition=tp.partition, start=fetch.start, expected=expected)
                await self._app.consumer.seek_to(tp, expected)
            elif before is None:
                joined[tp] = fetch
            else:
                records = [*before.records, *fetch.records]
                joined[tp] = Fetch(tp.topic, tp.partition, before.start, fetch.next_offset, records)
        return joined

    async def _started(self, tp: TP) -> None:
        starting = self._starting.get(tp)
        while starting is not None and not starting.done():
            self._check()
            await asyncio.wait({starting}, timeout=POLL_INTERVAL)

    async def _write(self, joined: Mapping[TP, Fetch]) -> None:
        left = [Batch(f.topic, f.partition, f.records, f.next_offset) for f in joined.values() if f.records]
        try:
            while left:
                left = await self._retry(partial(self._write_some, left))
        finally:
            self.in_hand = ()
        self.writes += 1
        for tp, fetch in joined.items():
            if tp in self._expected:  # else it was revoked meanwhile
                self._expected[tp] = fetch.next_offset
                position = self._positions.get(tp)
                reached = GroupOffset(fetch.next_offset, position, self._topic_id, self._parked(tp))
                self._app.consumer.mark_written(tp, reached)

    async def _write_some(self, batches: Sequence[Batch]) -> list[Batch]:
        """Write as many records as the sink has lately written in time. Returns the rest."""
        began = monotonic()
        self.in_hand, left = first_of(batches, self._write_size)
        values = (record.value for batch in self.in_hand for record in batch.records)
        count = sum(len(batch.records) for batch in self.in_hand)
        with tracing.batch_span("sink write", values, group=self._group, records=count):
            results = await self._sink.write_batches(self.in_hand)
        for batch, written in zip(self.in_hand, results, strict=True):
            if written.position is not None:
                self._positions[TP(batch.topic, batch.partition)] = written.position
        if self.on_written is not None:
            self.on_written(self.in_hand, results, monotonic() - began)
        self._write_size = min(2 * self._write_size, self._largest_write)
        self.writes += 1
        return left

    async def _retry(self, call: Callable[[], Awaitable[T]]) -> T:
        """The result of a call of the sink, retried while the store is down. Raises Interruption, and every bug."""
        delays = backoff()
        while True:
            self._check()
            try:
                result = await self._bounded(call)
            except (Unavailable, TimeoutError) as error:
                self._failed(error)
            else:
                if self.retrying_since is not None:
                    log.info("sink.available", group=self._group, after=round(monotonic() - self.retrying_since, 3))
                    self.retrying_since = None
                return result
            until = monotonic() + next(delays)
            while (left := until - monotonic()) > 0:
                self._check()
                await asyncio.sleep(min(POLL_INTERVAL, left))

    def _failed(self, error: Unavailable | TimeoutError) -> None:
        if self.in_hand and (isinstance(error, TimeoutError) or error.too_much):
            self._write_size = max(sum(len(batch.records) for batch in self.in_hand) // 2, 1)
        self.retries += 1
        self.causes[type(error).__name__] += 1
        self.retry_reason = str(error) or repr(error)
        if self.retrying_since is None:
            self.retrying_since = monotonic()
            self._logged.clear()
        if (cause := type(error).__name__) not in self._logged:
            self._logged.add(cause)
            positions = {tp.partition: self._positions.get(tp) for tp in self._expected}
            log.warning("sink.unavailable", group=self._group, positions=positions, **incident(error))

    async def _bounded(self, call: Callable[[], Awaitable[T]]) -> T:
        """One attempt, with a time limit, which is short once the worker has to stop."""
        task = asyncio.ensure_future(call())
        deadline = monotonic() + self._write_timeout
        try:
            while True:
                done, _ = await asyncio.wait({task}, timeout=CALL_POLL_INTERVAL)
                if done:
                    return task.result()
                if self._interrupted():
                    deadline = min(deadline, monotonic() + FINISH_TIMEOUT)
                if monotonic() > deadline:
                    raise TimeoutError(f"no answer for {self._write_timeout:g} s")
        finally:
            if not task.done():
                task.cancel()
                await asyncio.wait({task}, timeout=FINISH_TIMEOUT)

    def _check(self) -> None:
        if self._interrupted():
            raise Interruption

    def _interrupted(self) -> bool:
        return self._rebalancing or self._app.should_stop


def _parts(fetches: Sequence[Fetch]) -> Iterator[list[Fetch]]:
    """The fetches in parts that end where WRITE_BYTES are reached."""
    part: list[Fetch] = []
    size = 0
    for fetch in fetches:
        part.append(fetch)
        size += fetch.size
        if size >= WRITE_BYTES:
            yield part
            part, size = [], 0
    if part:
        yield part


def _count(fetches: Sequence[Fetch]) -> int:
    return sum(len(fetch.records) for fetch in fetches)


def _size(fetches: Sequence[Fetch]) -> int:
    return sum(fetch.size for fetch in fetches)
