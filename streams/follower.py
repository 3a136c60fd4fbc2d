"""Hands runs to a sink, one after the other, and knows when not to."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from time import monotonic
from typing import Any, TypeVar

import structlog
from faust.types import TP

from schemas.errors import Unavailable
from sinks.base import Run, Sink, Written
from sinks.errors import CheckpointMoved
from streams.transport import FetchedRun, Mark

log = structlog.get_logger(__name__)

T = TypeVar("T")

FIRST_BACKOFF = 0.1  # seconds before the first new try
LONGEST_BACKOFF = 5.0  # seconds
LOOK = 0.05  # seconds between looks at whether to give up
GRACE = 5.0  # seconds that a write in hand gets once the worker stops or the group rebalances


class GivenUp(Exception):
    """The worker stops or the group rebalances: leave the run, it will be read again."""


class Follower:
    """Couples one consumer to one sink.

    Per assigned partition it knows the offset at which the next run must start; nothing is known of it until the sink
    has said where its own checkpoint is.
    """

    def __init__(self, app: Any, sink: Sink, *, write_timeout: float = 30.0) -> None:
        self._app = app
        self._sink = sink
        self._write_timeout = write_timeout
        self._expected: dict[TP, int] = {}
        self._positions: dict[TP, int | None] = {}
        self._opening: dict[TP, asyncio.Task[None]] = {}
        self._letting_go = False
        self.runs = 0
        self.events = 0
        self.dead = 0
        self.retries = 0
        self.retrying_since: float | None = None
        """monotonic seconds; None while the sink works"""

    async def follow(self, stream: Any) -> None:
        """The agent: every run of the stream, in order."""
        async for event in stream.events():
            await self.handle(event.value)
            self._app.consumer.unacked.discard(event.message)

    # --- partitions come and go ------------------------------------------------------------------------------------

    def let_go(self) -> None:
        """A rebalance begins: no new try, no new run until `begin`. Called from the consumer's thread."""
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
            log.error("partition.open_failed", partition=tp.partition, error=repr(error))
            await self._app.crash(error)

    async def _take(self, tp: TP, mark: Mark) -> None:
        """Learn from the sink where the partition goes on, and go there."""
        checkpoint = await self._insist(lambda: self._sink.assign(tp.topic, tp.partition, mark.position), tp)
        start = mark.offset if checkpoint is None else checkpoint
        if start != mark.offset:
            log.info("partition.seek", partition=tp.partition, committed=mark.offset, checkpoint=start)
            await self._app.consumer.seek_to(tp, start)
        self._expected[tp] = start
        self._positions[tp] = mark.position
        self._opening.pop(tp, None)

    # --- runs ------------------------------------------------------------------------------------------------------

    async def handle(self, fetched: FetchedRun) -> None:
        """Write one run, for as long as it takes; leave it when the partition is no longer ours to write."""
        tp = TP(fetched.topic, fetched.partition)
        try:
            await self._opened(tp)
            expected = self._expected.get(tp)
            if expected is None:
                return
            if fetched.start != expected:
                log.info("run.does_not_join", partition=tp.partition, start=fetched.start, expected=expected)
                await self._app.consumer.seek_to(tp, expected)
                return
            if fetched.records:
                written = await self._write(tp, fetched)
                if written is None:
                    return
                self.events += written.applied
                self.dead += written.dead
                if written.position is not None:
                    self._positions[tp] = written.position
            self.runs += 1
            self._expected[tp] = fetched.next_offset
            self._app.consumer.written(tp, Mark(fetched.next_offset, self._positions.get(tp)))
        except GivenUp:
            pass

    async def _opened(self, tp: TP) -> None:
        opening = self._opening.get(tp)
        while opening is not None and not opening.done():
            self._check()
            await asyncio.wait({opening}, timeout=LOOK)

    async def _write(self, tp: TP, fetched: FetchedRun) -> Written | None:
        run = Run(fetched.topic, fetched.partition, fetched.records, fetched.next_offset)
        try:
            return await self._insist(lambda: self._sink.write(run), tp)
        except CheckpointMoved as moved:
            log.warning("partition.checkpoint_moved", partition=tp.partition, reason=str(moved))
            await self._take(tp, Mark(-1, self._positions.get(tp)))
            return None

    async def _insist(self, call: Callable[[], Awaitable[T]], tp: TP) -> T:
        """The call's result, tried again while the store is down. Raises GivenUp, or the bug that it met."""
        backoff = FIRST_BACKOFF
        while True:
            self._check()
            try:
                result = await self._bounded(call)
            except (Unavailable, TimeoutError) as error:
                self.retries += 1
                if self.retrying_since is None:
                    self.retrying_since = monotonic()
                    log.warning("sink.unavailable", partition=tp.partition, error=str(error) or repr(error))
            else:
                if self.retrying_since is not None:
                    log.info(
                        "sink.available", partition=tp.partition, after=round(monotonic() - self.retrying_since, 3)
                    )
                    self.retrying_since = None
                return result
            until = monotonic() + backoff
            while monotonic() < until:
                self._check()
                await asyncio.sleep(min(LOOK, backoff))
            backoff = min(2 * backoff, LONGEST_BACKOFF)

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

    def _check(self) -> None:
        if self._must_let_go():
            raise GivenUp

    def _must_let_go(self) -> bool:
        return self._letting_go or bool(self._app.should_stop)
