"""What a worker knows of itself beside its batches: that its loop turns, how far it is behind, whether its store
answers.

Looked at by metrics and health checks, from other threads: every attribute is replaced as a whole, never changed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING

from faust.types import TP

from holonstream.schemas.errors import HolonstreamError
from holonstream.sinks.base import Answering
from holonstream.streams.transport import Mark

if TYPE_CHECKING:
    from holonstream.streams.app import SinkApp

BEAT = 0.5  # seconds between two heartbeats
PATIENCE = 5.0  # seconds that the store or the brokers get for an answer


@dataclass(frozen=True, slots=True)
class Behind:
    """A partition whose event below `end` was there, and not handled, at the time `since` (monotonic seconds)."""

    end: int
    since: float


class Vitals:
    """Of one worker. `interval` is in seconds, between two looks at the brokers and the store."""

    def __init__(self, app: SinkApp, interval: float) -> None:
        self._app = app
        self._interval = interval
        self.opened = False
        """whether the sink has been opened"""
        self.beat_at = monotonic()
        """when the loop last turned, in monotonic seconds"""
        self.moved_at = monotonic()
        """when something was last written or the assignment changed"""
        self.ends: Mapping[TP, int] = {}
        """the last stable offset of each assigned partition"""
        self.behind: Mapping[TP, Behind] = {}
        self.store_error: str | None = None
        self.broker_error: str | None = None

    @property
    def generation(self) -> int:
        """Of the group, as this worker knows it; 0 before it has joined."""
        return int(self._app.consumer_generation_id)

    def marks(self) -> dict[TP, Mark]:
        """How far each assigned partition is written."""
        app = self._app
        return {} if app._consumer is None else app.consumer.marks()

    def lag(self) -> dict[TP, int]:
        """Offsets to go per assigned partition, transaction markers counted."""
        marks, ends = self.marks(), self.ends
        return {tp: max(ends[tp] - mark.offset, 0) for tp, mark in marks.items() if tp in ends}

    async def keep(self) -> None:
        """Beat and look, until cancelled."""
        looking = asyncio.ensure_future(self._look_again_and_again())
        try:
            seen: object = None
            while not looking.done():
                self.beat_at = monotonic()
                state = (self._app.follower.writes, self.generation)
                if state != seen:
                    seen, self.moved_at = state, self.beat_at
                await asyncio.wait({looking}, timeout=BEAT)
            looking.result()
        finally:
            looking.cancel()

    async def _look_again_and_again(self) -> None:
        asked: asyncio.Future[dict[TP, int]] | None = None
        while True:
            if self.opened:
                await self._ping()
            if self._app._consumer is not None and self.generation:
                # Not cancelled when it is late: it occupies the consumer's thread in any case.
                asked = asked or asyncio.ensure_future(self._app.consumer.end_offsets())
                await asyncio.wait({asked}, timeout=PATIENCE)
                self._learn(asked)
                asked = None if asked.done() else asked
            await asyncio.sleep(self._interval)

    async def _ping(self) -> None:
        sink = self._app.sink
        if not isinstance(sink, Answering):
            return
        try:
            async with asyncio.timeout(PATIENCE):
                await sink.ping()
        except TimeoutError:
            self.store_error = f"no answer for {PATIENCE:g} s"
        except HolonstreamError as error:
            self.store_error = str(error)
        else:
            self.store_error = None

    def _learn(self, asked: asyncio.Future[dict[TP, int]]) -> None:
        if not asked.done():
            self.broker_error = f"no answer for {PATIENCE:g} s"
        elif (error := asked.exception()) is not None:
            self.broker_error = type(error).__name__
        else:
            self.broker_error = None
            self.ends = asked.result()
            now, marks = monotonic(), self.marks()
            behind = {tp: b for tp, b in self.behind.items() if tp in marks and marks[tp].offset < b.end}
            for tp, end in self.ends.items():
                if tp in marks and marks[tp].offset < end:
                    behind.setdefault(tp, Behind(end, now))
            self.behind = behind
