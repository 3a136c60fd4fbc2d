"""Watching the pipeline: one poll for all pages and for the API.

Polled every second while a page shows it, else as often as the metrics are, so that the last hour is there when a page
opens.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass
from time import monotonic, time

import structlog

from holonstream.ops.kafka import client
from holonstream.ops.pipeline import PipelineStatus, pipeline_status
from holonstream.ops.settings import Settings
from holonstream.ops.status import TopicStatus
from holonstream.schemas.errors import HolonstreamError
from holonstream.schemas.incident import incident

log = structlog.get_logger(__name__)

WATCHED = 1.0  # seconds between two polls while a page shows the pipeline
FRESH = 2.0  # seconds for which an answer is given again
HOUR = 3_600.0


@dataclass(frozen=True, slots=True)
class Observation:
    """What one poll found."""

    at: float
    """seconds since the epoch"""
    status: PipelineStatus | None
    """None when brokers or log did not answer"""
    error: str | None


class Watch:
    """The last answers; see the module's docstring."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._topic: TopicStatus | None = None
        self._poll_lock = asyncio.Lock()
        self._error: HolonstreamError | None = None
        self._polled_at = -HOUR
        self._changed = asyncio.Event()
        self._wanted = asyncio.Event()
        self._pages = 0
        self.polls = 0
        """how often brokers and log were asked"""
        self.history: deque[Observation] = deque()

    async def run(self) -> None:
        """Poll until cancelled."""
        while True:
            await self._poll(0)
            pause = WATCHED if self._pages else self._settings.metrics_interval
            with suppress(TimeoutError):
                await asyncio.wait_for(self._wanted.wait(), pause)
            self._wanted.clear()

    async def close(self) -> None:
        """Close the connections to the brokers."""
        async with self._poll_lock:
            self._leave()

    async def status(self) -> PipelineStatus:
        """The pipeline, FRESH seconds old at most. Raises KafkaUnavailable, LogUnavailable, NotInitialised."""
        await self._poll(FRESH)
        if self._error is not None:
            raise self._error
        status = self.history[-1].status
        assert status is not None
        return status

    async def observations(self) -> AsyncIterator[Observation]:
        """The last snapshot, and each new one, without end."""
        self._pages += 1
        self._wanted.set()
        try:
            while True:
                changed = self._changed
                if self.history:
                    yield self.history[-1]
                await changed.wait()
        finally:
            self._pages -= 1

    async def _poll(self, age: float) -> None:
        """Ask, unless the last answer is not older than `age` seconds."""
        async with self._poll_lock:
            if monotonic() - self._polled_at <= age:
                return
            self.polls += 1
            status: PipelineStatus | None = None
            try:
                status = await asyncio.to_thread(self._ask)
                self._error = None
            except HolonstreamError as error:
                if self._error is None:
                    log.warning("console.watch.unavailable", **incident(error))
                self._error = error
                self._leave()
            self._polled_at = monotonic()
            now = time()
            self.history.append(Observation(now, status, None if self._error is None else str(self._error)))
            while self.history[0].at < now - HOUR:
                self.history.popleft()
            self._changed.set()
            self._changed = asyncio.Event()

    def _ask(self) -> PipelineStatus:
        if self._topic is None:
            self._topic = TopicStatus(client(self._settings), self._settings.topic)
        return pipeline_status(self._settings, self._topic)

    def _leave(self) -> None:
        topic, self._topic = self._topic, None
        if topic is not None:
            topic.close()
