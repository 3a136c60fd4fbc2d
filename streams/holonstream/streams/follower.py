"""Hands batches to a sink, in order, and knows when not to."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from functools import partial
from time import monotonic
from typing import Any, TypeVar

import structlog
from faust.types import TP

from holonstream.schemas.errors import Unavailable
from holonstream.schemas.incident import incident
from holonstream.schemas.retry import backoff
from holonstream.sinks.base import Batch, Sink, WriteResult, first_of
from holonstream.sinks.errors import CheckpointMoved
from holonstream.streams.transport import FetchedBatch, Mark

log = structlog.get_logger(__name__)

T = TypeVar("T")

LOOK = 0.05  # seconds between looks at whether to give up
GRACE = 5.0  # seconds that a write in hand gets once the worker stops or the group rebalances


class GivenUp(Exception):
    """The worker stops or the group rebalances: leave the batches, they will be read again."""


class Follower:
    """Couples one consumer to one sink.

    What has queued up while the sink was writing is written together, one batch per partition: a transaction costs the
    same for one event as for hundreds. What the sink does not manage within `write_timeout`, or finds too much, is
    tried again in smaller parts, for whole it might never be written. Per assigned partition the follower knows the
    offset at which the next batch must start; nothing is known of it until the sink has said where its own checkpoint
    is.
    """

    def __init__(self, app: Any, sink: Sink, *, max_events: int, write_timeout: float) -> None:
        """`max_events` are written together at most, if one batch does not have more; `write_timeout` is in seconds."""
        self._app = app
        self._sink = sink
        self._max_events = max_events
        self._most = self._at_once = 2 * max_events  # what is taken from the queue is never more
        self._write_timeout = write_timeout
        self._expected: dict[TP, int] = {}
        self._positions: dict[TP, int | None] = {}
        self._opening: dict[TP, asyncio.Task[None]] = {}
        self._letting_go = False
        self.writes = 0
        """that succeeded, whole or in part; and batches in which there was nothing to write"""
        self.retries = 0
        self.causes: Counter[str] = Counter()
        """retries by the error's class"""
        self.in_hand: Sequence[Batch] = ()
        """what is being written"""
        self.on_written: Callable[[Sequence[Batch], Sequence[WriteResult], float], None] | None = None
        """told of every write that succeeded: the batches, what each came to, and the seconds that it took"""
        self.retrying_since: float | None = None
        """monotonic seconds; None while the sink works"""
        self.retry_reason = ""
        """of the last retry"""

    async def follow(self, stream: Any) -> None:
        """The agent: every batch of the stream, in order."""
        async for event in stream.events():
            fetched = [event.value]
            await self.handle(fetched + self._queued(stream.channel.queue, len(event.value.records)))
            self._app.consumer.unacked.discard(event.message)

    def _queued(self, queue: asyncio.Queue[Any], count: int) -> list[FetchedBatch]:
        """What else waits in the stream's queue, up to `max_events`.

        Faust does not track these as being in hand; it need not, for they are handled while the first one is.
        """
        fetched = []
        while count < self._max_events and not queue.empty():
            event = queue.get_nowait()
            if event.message.generation_id == self._app.consumer_generation_id:
                fetched.append(event.value)
                count += len(event.value.records)
        return fetched

    # --- partitions come and go ------------------------------------------------------------------------------------

    def let_go(self) -> None:
        """A rebalance begins: no new try, no new batch until `begin`. Called from the consumer's thread."""
        self._letting_go = True

    def begin(self, marks: Mapping[TP, Mark]) -> None:
        """Partitions were assigned; reading starts at these marks unless the sink knows better."""
        self.end(set(self._opening) | set(self._expected))
        self._letting_go = False
        for tp, mark in marks.items():
            self._opening[tp] = asyncio.ensure_future(self._open(tp, mark))

    def end(self, tps: Iterable[TP]) -> None:
        """Partitions were revoked."""
        for tp in tps:
            opening = self._opening.pop(tp, None)
            if opening is not None:
                opening.cancel()
            self._expected.pop(tp, None)
            self._positions.pop(tp, None)
            self._sink.revoke(*tp)

    async def _open(self, tp: TP, mark: Mark) -> None:
        try:
            await self._take(tp, mark)
        except GivenUp:
            pass
        except Exception as error:
            log.error("partition.open_failed", partition=tp.partition, **incident(error))
            await self._app.crash(error)

    async def _take(self, tp: TP, mark: Mark) -> None:
        """Learn from the sink where the partition goes on, and go there."""
        checkpoint = await self._insist(lambda: self._sink.assign(tp.topic, tp.partition, mark.position))
        start = mark.offset if checkpoint is None else checkpoint
        if start != mark.offset:
            log.info("partition.seek", partition=tp.partition, committed=mark.offset, checkpoint=start)
            await self._app.consumer.seek_to(tp, start)
            # What an earlier owner wrote and did not live to commit: it would look like a lag until the next event.
            self._app.consumer.written(tp, Mark(start, None))
        self._expected[tp] = start
        self._positions[tp] = mark.position
        self._opening.pop(tp, None)

    # --- batches ------------------------------------------------------------------------------------------------------

    async def handle(self, fetched: Sequence[FetchedBatch]) -> None:
        """Write batches, for as long as it takes; leave those whose partition is no longer ours to write."""
        try:
            joined = await self._join(fetched)
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
                    await self._take(tp, Mark(-1, position))
        except GivenUp:
            pass

    async def _join(self, fetched: Sequence[FetchedBatch]) -> dict[TP, FetchedBatch]:
        """The batches that go on where their partitions are, those of one partition as one."""
        joined: dict[TP, FetchedBatch] = {}
        for batch in fetched:
            tp = TP(batch.topic, batch.partition)
            await self._opened(tp)
            before = joined.get(tp)
            expected = before.next_offset if before else self._expected.get(tp)
            if expected is None:
                continue
            if batch.start != expected:
                log.info("batch.does_not_join", partition=tp.partition, start=batch.start, expected=expected)
                await self._app.consumer.seek_to(tp, expected)
            elif before is None:
                joined[tp] = batch
            else:
                records = [*before.records, *batch.records]
                joined[tp] = FetchedBatch(tp.topic, tp.partition, before.start, batch.next_offset, records)
        return joined

    async def _opened(self, tp: TP) -> None:
        opening = self._opening.get(tp)
        while opening is not None and not opening.done():
            self._check()
            await asyncio.wait({opening}, timeout=LOOK)

    async def _write(self, joined: Mapping[TP, FetchedBatch]) -> None:
        left = [Batch(r.topic, r.partition, r.records, r.next_offset) for r in joined.values() if r.records]
        try:
            while left:
                left = await self._insist(partial(self._write_some, left))
        finally:
            self.in_hand = ()
        self.writes += 1
        for tp, batch_ in joined.items():
            if tp in self._expected:  # else it was revoked meanwhile
                self._expected[tp] = batch_.next_offset
                self._app.consumer.written(tp, Mark(batch_.next_offset, self._positions.get(tp)))

    async def _write_some(self, batches: Sequence[Batch]) -> list[Batch]:
        """Write as much of batches as the sink has lately managed in time; what is left."""
        began = monotonic()
        self.in_hand, left = first_of(batches, self._at_once)
        results = await self._sink.write_batches(self.in_hand)
        for batch, written in zip(self.in_hand, results, strict=True):
            if written.position is not None:
                self._positions[TP(batch.topic, batch.partition)] = written.position
        if self.on_written is not None:
            self.on_written(self.in_hand, results, monotonic() - began)
        self._at_once = min(2 * self._at_once, self._most)
        self.writes += 1
        return left

    async def _insist(self, call: Callable[[], Awaitable[T]]) -> T:
        """The call's result, tried again while the store is down. Raises GivenUp, or the bug that it met."""
        delays = backoff()
        while True:
            self._check()
            try:
                result = await self._bounded(call)
            except (Unavailable, TimeoutError) as error:
                if self.in_hand and (isinstance(error, TimeoutError) or error.too_much):
                    self._at_once = max(sum(len(batch.records) for batch in self.in_hand) // 2, 1)
                self.retries += 1
                self.causes[type(error).__name__] += 1
                self.retry_reason = str(error) or repr(error)
                if self.retrying_since is None:
                    self.retrying_since = monotonic()
                    places = {tp.partition: self._positions.get(tp) for tp in self._expected}
                    log.warning("sink.unavailable", group=self._group(), positions=places, **incident(error))
            else:
                if self.retrying_since is not None:
                    log.info("sink.available", group=self._group(), after=round(monotonic() - self.retrying_since, 3))
                    self.retrying_since = None
                return result
            until = monotonic() + next(delays)
            while (left := until - monotonic()) > 0:
                self._check()
                await asyncio.sleep(min(LOOK, left))

    async def _bounded(self, call: Callable[[], Awaitable[T]]) -> T:
        """One try: ended by its own time limit, and soon once the worker has to let go."""
        task = asyncio.ensure_future(call())
        deadline = monotonic() + self._write_timeout
        try:
            while True:
                done, _ = await asyncio.wait({task}, timeout=LOOK * 5)
                if done:
                    return task.result()
                if self._must_let_go():
                    deadline = min(deadline, monotonic() + GRACE)
                if monotonic() > deadline:
                    raise TimeoutError(f"no answer for {self._write_timeout:g} s")
        finally:
            if not task.done():
                task.cancel()
                await asyncio.wait({task}, timeout=GRACE)

    def _group(self) -> str:
        return str(self._app.conf.id)

    def _check(self) -> None:
        if self._must_let_go():
            raise GivenUp

    def _must_let_go(self) -> bool:
        return self._letting_go or bool(self._app.should_stop)
