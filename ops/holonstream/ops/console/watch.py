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

from holonstream.client.connections import redis_client
from holonstream.ops.console.freshness import FreshnessHour
from holonstream.ops.kafka import client
from holonstream.ops.pipeline import PipelineStatus, pipeline_status
from holonstream.ops.settings import Settings
from holonstream.ops.status import TopicStatus
from holonstream.producers.errors import KafkaUnavailable
from holonstream.schemas.errors import HolonstreamError
from holonstream.schemas.incident import incident
from holonstream.sinks.cache.driver import redis_errors
from holonstream.sinks.graph.driver import GraphConnection
from holonstream.sinks.graph.parking import parked_streams

log = structlog.get_logger(__name__)

WATCHED = 1.0  # seconds between two polls while a page shows the pipeline
FRESH = 2.0  # seconds for which an answer is given again
STORES = 5.0  # seconds between two polls of the stores and the workers
STORE_TIMEOUT = 3.0  # seconds for a store's answer
RECENT = 60  # snapshots that are kept
HOUR = 3_600.0


@dataclass(frozen=True, slots=True)
class Observation:
    """What one poll found."""

    at: float
    """seconds since the epoch"""
    status: PipelineStatus | None
    """None when brokers or log did not answer"""
    errors: dict[str, str]
    """why a part did not answer"""
    parked: int | None
    """streams; None when the graph did not answer"""


class Watch:
    """The last answers; see the module's docstring."""

    def __init__(self, settings: Settings, connection: GraphConnection) -> None:
        self._settings, self._connection = settings, connection
        self._topic: TopicStatus | None = None
        self._polling = asyncio.Lock()
        self._error: HolonstreamError | None = None
        self._polled_at = self._stores_at = -HOUR
        self._store_errors: dict[str, str] = {}
        self._parked: int | None = None
        self._changed = asyncio.Event()
        self._wanted = asyncio.Event()
        self._pages = 0
        self.polls = 0
        """how often brokers and log were asked"""
        self.history: deque[Observation] = deque(maxlen=RECENT)
        self.lags: deque[tuple[float, dict[str, float]]] = deque()
        """over the last hour: when, and the age of the oldest event that a group had not handled"""
        self.freshness = FreshnessHour()

    async def run(self) -> None:
        """Poll until cancelled."""
        while True:
            try:
                await self._poll(0)
            except Exception as error:  # a bug: the pages would show its last answer for ever, as if all were well
                log.error("console.watch.failed", **incident(error))
            pause = WATCHED if self._pages else self._settings.metrics_interval
            with suppress(TimeoutError):
                await asyncio.wait_for(self._wanted.wait(), pause)
            self._wanted.clear()

    async def close(self) -> None:
        """Close the connections to the brokers."""
        async with self._polling:
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
        if self._pages == 1:
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
        async with self._polling:
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
            if monotonic() - self._stores_at > STORES:
                await self._ask_stores()
            self._polled_at = monotonic()
            self._keep(status)

    def _keep(self, status: PipelineStatus | None) -> None:
        now = time()
        errors = dict(self._store_errors)
        if self._error is not None:
            errors["topic" if isinstance(self._error, KafkaUnavailable) else "log"] = str(self._error)
        self.history.append(Observation(now, status, errors, self._parked))
        if status is not None and (not self.lags or now - self.lags[-1][0] >= STORES):
            self.lags.append((now, {name: group.lag_seconds for name, group in status.groups.items()}))
        while self.lags and self.lags[0][0] < now - HOUR:
            self.lags.popleft()
        self._changed.set()
        self._changed = asyncio.Event()

    async def _ask_stores(self) -> None:
        errors = {}
        try:
            async with asyncio.timeout(STORE_TIMEOUT):
                await self._connection.open()
                self._parked = len(await parked_streams(self._connection, self._settings.topic))
        except (HolonstreamError, TimeoutError) as error:
            self._parked = None
            errors["graph"] = str(error) or "Neo4j does not answer"
        try:
            async with redis_client(self._settings, timeout=STORE_TIMEOUT) as redis:
                with redis_errors("asking"):
                    await redis.ping()
        except HolonstreamError as error:
            errors["cache"] = str(error)
        if self._settings.console_workers:
            await asyncio.to_thread(self.freshness.scrape, self._settings.console_workers, time())
        self._store_errors = errors
        self._stores_at = monotonic()

    def _ask(self) -> PipelineStatus:
        if self._topic is None:
            self._topic = TopicStatus(client(self._settings), self._settings.topic)
        return pipeline_status(self._settings, self._topic)

    def _leave(self) -> None:
        topic, self._topic = self._topic, None
        if topic is not None:
            topic.close()
