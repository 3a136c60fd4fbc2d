"""What a worker knows of its own health: its loop turns, its store answers, how far it lags, whether it stalls.

It also does what Faust leaves out: asks the group's coordinator for errors, and ends a worker that stalls.
Metrics and health checks read this from other threads: every attribute is replaced as a whole, never changed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING

import structlog
from aiokafka.errors import InconsistentGroupProtocolError
from faust.types import TP

from holonstream.schemas.errors import HolonstreamError, NotInitialised, Unavailable
from holonstream.schemas.incident import incident
from holonstream.sinks.base import PingableSink
from holonstream.sinks.errors import CheckpointMoved
from holonstream.streams.transport import Bounds, GroupOffset

if TYPE_CHECKING:
    from holonstream.streams.app import SinkApp

log = structlog.get_logger(__name__)

HEARTBEAT_INTERVAL = 0.5  # seconds
COORDINATOR_INTERVAL = 1.0  # seconds between two polls of the coordinator's errors
FOREIGN_MEMBER = "a program outside the pipeline is a member of the group (`holonstream status --json`)"
ANSWER_TIMEOUT = 5.0  # seconds that the store or the brokers get for an answer


class Stalled(HolonstreamError):
    """A worker lags, its store answers, and still nothing is written."""


@dataclass(frozen=True, slots=True)
class Backlog:
    """In a partition: at `since` (monotonic seconds) there was an event below `end` that was not yet handled."""

    end: int
    since: float


class WorkerHealth:
    """The health of one worker. Brokers and store are polled every `poll_interval` seconds, once `watch` runs."""

    def __init__(self, app: SinkApp, *, poll_interval: float, stall_timeout: float) -> None:
        self._app = app
        self._poll_interval = poll_interval
        self._stall_timeout = stall_timeout
        self._seen: object = None
        self._topic_missing = False
        self.opened = False
        """whether the sink has been opened"""
        self.turned_at = monotonic()
        """when the loop last turned, in monotonic seconds"""
        self.moved_at = monotonic()
        """when something was last written, the store or the brokers last failed, or the assignment last changed"""
        self.ends: Mapping[TP, int] = {}
        """the last stable offset of each assigned partition"""
        self.backlogs: Mapping[TP, Backlog] = {}
        self.store_error: str | None = None
        self.broker_error: str | None = None

    @property
    def generation(self) -> int:
        """Of the group, as this worker knows it; 0 before it has joined."""
        return int(self._app.consumer_generation_id)

    def written_offsets(self) -> dict[TP, GroupOffset]:
        """How far each assigned partition is written."""
        consumer = self._app.fetch_consumer
        return {} if consumer is None else consumer.written_offsets()

    def lag(self) -> dict[TP, int]:
        """Offsets to go per assigned partition, transaction markers counted."""
        written, ends = self.written_offsets(), self.ends
        return {tp: max(ends[tp] - offset.offset, 0) for tp, offset in written.items() if tp in ends}

    def behind_since(self) -> float | None:
        """Since when the worker has known of an event that it has not handled yet; None when it knows of none."""
        written = self.written_offsets()
        open_since = [b.since for tp, b in self.backlogs.items() if tp in written and written[tp].offset < b.end]
        return min(open_since, default=None)

    def stalled_seconds(self) -> float:
        """For how long the worker has been behind, has written nothing, and store and brokers were not the reason."""
        behind_since = self.behind_since()
        return 0.0 if behind_since is None else monotonic() - max(self.moved_at, behind_since)

    async def watch(self) -> None:
        """Keep all this current, until cancelled. Crashes the app when it stalls or has lost its group permanently."""
        watching = [asyncio.ensure_future(self._poll()), asyncio.ensure_future(self._watch_coordinator())]
        try:
            while True:
                self.turned_at = monotonic()
                self._notice_progress()
                if (seconds := self.stalled_seconds()) > self._stall_timeout:
                    await self._app.crash(Stalled(f"nothing written for {seconds:.0f} s while behind by {self.lag()}"))
                    return
                await asyncio.wait(watching, timeout=HEARTBEAT_INTERVAL, return_when=asyncio.FIRST_COMPLETED)
                for task in watching:
                    if task.done():
                        task.result()
        finally:
            for task in watching:
                task.cancel()

    def _notice_progress(self) -> None:
        follower = self._app.follower
        seen = (follower.writes, follower.retries, self.generation)
        waiting = follower.retrying_since is not None or self.broker_error is not None
        if seen != self._seen or waiting:
            self._seen, self.moved_at = seen, monotonic()

    async def _watch_coordinator(self) -> None:
        """Ask the coordinator for errors. One of a join or sync phase is only reported when it is asked for; without
        that the worker would stay alive, silent, without partitions."""
        logged: tuple[type[Exception], int] | None = None
        while True:
            await asyncio.sleep(COORDINATOR_INTERVAL)
            consumer = self._app.fetch_consumer
            if consumer is None or self._app.should_stop:
                continue
            try:
                await consumer.check_coordinator()
            except Exception as error:
                if not consumer.has_coordinator:
                    await self._app.crash(error)
                    return
                if (found := (type(error), self.generation)) != logged:  # it joins again each second
                    logged = found
                    hint = {"hint": FOREIGN_MEMBER} if isinstance(error, InconsistentGroupProtocolError) else {}
                    log.error("group.coordinator_error", group=self._app.settings.group, **incident(error), **hint)

    async def _poll(self) -> None:
        """Raises TopicCut, TopicReplaced or NotInitialised when topic or store are not what the worker has used."""
        asked: asyncio.Future[dict[TP, Bounds]] | None = None
        written: dict[TP, GroupOffset] = {}
        while True:
            if self.opened:
                await self._ping()
            consumer = self._app.fetch_consumer
            if consumer is not None and self.generation:
                if asked is None:
                    # Before the question: the ends move on. Where no place is proven, the follower will judge it.
                    follower = self._app.follower
                    written = {tp: at for tp, at in self.written_offsets().items() if follower.has_place(tp)}
                    # Not cancelled when it is late: it occupies the consumer's thread in any case.
                    asked = asyncio.ensure_future(consumer.assigned_bounds())
                await asyncio.wait({asked}, timeout=ANSWER_TIMEOUT)
                self._learn(asked, written)
                asked = None if asked.done() else asked
                await self._check_topic()
            await asyncio.sleep(self._poll_interval)

    async def _check_topic(self) -> None:
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT):
                topic_id = await self._app.topic_id()
        except NotInitialised as error:
            if self._topic_missing:  # twice: a broker that has just started may not know it yet
                raise
            self._topic_missing, self.broker_error = True, str(error)
        except (Unavailable, TimeoutError) as error:
            self.broker_error = type(error).__name__
        else:
            self._topic_missing = False
            self._app.follower.check_topic(topic_id)

    async def _ping(self) -> None:
        sink = self._app.sink
        if not isinstance(sink, PingableSink):
            return
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT):
                await sink.ping()
        except TimeoutError:
            self.store_error = f"no answer for {ANSWER_TIMEOUT:g} s"
        except CheckpointMoved as moved:
            self.store_error = None
            self._app.follower.take_again(moved)
        except NotInitialised:
            raise
        except HolonstreamError as error:
            self.store_error = str(error)
        else:
            self.store_error = None

    def _learn(self, asked: asyncio.Future[dict[TP, Bounds]], written_before: Mapping[TP, GroupOffset]) -> None:
        if not asked.done():
            self.broker_error = f"no answer for {ANSWER_TIMEOUT:g} s"
        elif (error := asked.exception()) is not None:
            self.broker_error = type(error).__name__
        else:
            self.broker_error = None
            bounds = asked.result()
            for tp, offset in written_before.items():
                if tp in bounds and offset.offset > bounds[tp].end:
                    bounds[tp].check(tp, offset.offset)
            self.ends = {tp: found.end for tp, found in bounds.items()}
            now, written = monotonic(), self.written_offsets()
            backlogs = {tp: b for tp, b in self.backlogs.items() if tp in written and written[tp].offset < b.end}
            for tp, end in self.ends.items():
                if tp in written and written[tp].offset < end:
                    backlogs.setdefault(tp, Backlog(end, now))
            self.backlogs = backlogs
