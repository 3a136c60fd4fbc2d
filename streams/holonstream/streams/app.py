"""A Faust app that is one consumer group with one sink, and the process that runs it."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import signal
import ssl
import tempfile
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import faust
import structlog

from holonstream.schemas import jsontext
from holonstream.schemas.errors import HolonstreamError, Unavailable
from holonstream.schemas.incident import incident
from holonstream.schemas.retry import backoff
from holonstream.sinks.base import DeadLetter, Sink
from holonstream.streams.follower import Follower
from holonstream.streams.transport import SCHEME, BatchSchema
from holonstream.streams.vitals import Vitals
from holonstream.streams.watchdog import watch_coordinator, watch_progress

log = structlog.get_logger(__name__)

FOREVER = 1e6  # seconds; a shorter max.poll.interval makes a worker leave the group when its store is down
STOP_TIMEOUT = 8.0  # seconds that an orderly stop may take
LEAVE_TIMEOUT = 9.0  # seconds from being told to stop, after which the process ends all the same
DEAD_LETTER_VALUE = 64 * 1024  # bytes of a record that its dead letter carries


@dataclass(frozen=True, kw_only=True)
class GroupSettings:
    """Where and as whom a worker reads. Times in seconds."""

    bootstrap: Sequence[str]
    """host:port of the brokers"""
    group: str
    topic: str
    dead_letter_topic: str
    max_batch: int = 5_000
    """records of one batch at most"""
    buffered_batches: int = 24
    """batches fetched ahead of the sink"""
    session_timeout: float = 12.0
    """after which the group gives a silent worker's partitions to others"""
    heartbeat_interval: float = 3.0
    commit_interval: float = 1.0
    write_timeout: float = 30.0
    stall_timeout: float = 120.0
    """a worker that lags, is not waiting for its store and writes nothing for so long stops itself"""
    look_interval: float = 0.0
    """between two looks at the brokers' ends and at the store, for metrics and health; 0 leaves them out"""
    tls: bool = False
    """whether the brokers speak TLS"""
    ca: Path | None = None
    """file of the authorities trusted for that; None means the system's"""
    user: str | None = None
    """for SASL/SCRAM-SHA-512; None without login"""
    password: str = field(default="", repr=False)

    def credentials(self) -> Any:
        """What Faust takes, None without security."""
        # Faust speaks TLS only when it is handed a context: without one a password would go out in the clear.
        context = ssl.create_default_context(cafile=self.ca) if self.tls else None
        if self.user is not None:
            return faust.SASLCredentials(
                username=self.user, password=self.password, mechanism="SCRAM-SHA-512", ssl_context=context
            )
        return None if context is None else faust.SSLCredentials(context)


class SinkApp(faust.App):  # type: ignore[misc]
    """Follows the log with one sink. Raises nothing into Faust but bugs."""

    follower: Follower

    def __init__(self, settings: GroupSettings, sink: Sink) -> None:
        super().__init__(
            settings.group,
            broker=[f"{SCHEME}://{address}" for address in settings.bootstrap],
            broker_credentials=settings.credentials(),
            agent_supervisor="mode.CrashingSupervisor",
            broker_commit_interval=settings.commit_interval,
            broker_commit_every=None,
            broker_max_poll_interval=FOREVER,
            broker_max_poll_records=settings.max_batch,
            broker_session_timeout=settings.session_timeout,
            broker_heartbeat_interval=settings.heartbeat_interval,
            broker_rebalance_timeout=60.0,
            broker_request_timeout=60.0,
            consumer_max_fetch_size=1 << 20,
            datadir=tempfile.gettempdir(),
            store="memory://",
            stream_buffer_maxsize=settings.buffered_batches,
            stream_wait_empty=True,
            table_standby_replicas=0,
            topic_allow_declare=False,
            topic_disable_leader=True,
            web_enabled=False,
        )
        self.settings = settings
        self.sink = sink
        self.follower = Follower(self, sink, max_events=settings.max_batch, write_timeout=settings.write_timeout)
        self.vitals = Vitals(self, settings.look_interval)
        self._dead_letters = self.topic(settings.dead_letter_topic, value_serializer="raw", key_serializer="raw")
        events = self.topic(settings.topic, schema=BatchSchema())
        self.agent(events, name="follow")(self.follower.follow)

    def _create_directories(self) -> None:
        pass  # no tables, so no files

    async def on_start(self) -> None:
        await super().on_start()
        self.add_future(watch_coordinator(self))
        self.add_future(watch_progress(self, self.settings.stall_timeout))

    async def on_stop(self) -> None:
        await super().on_stop()
        await self.sink.close()

    def on_rebalance_start(self) -> None:
        self.follower.let_go()
        super().on_rebalance_start()

    async def publish_dead_letters(self, letters: Sequence[DeadLetter]) -> None:
        """Put letters on the dead-letter topic; returns when the brokers have them."""
        sent = [
            await self._dead_letters.send(
                key=(letter.stream or "").encode(),
                value=_dead_letter_text(letter),
            )
            for letter in letters
        ]
        for future in sent:
            await future


def _dead_letter_text(letter: DeadLetter) -> bytes:
    value = letter.value or b""
    return jsontext.encode(
        {
            "topic": letter.topic,
            "partition": letter.partition,
            "offset": letter.offset,
            "stream": letter.stream,
            "version": letter.version,
            "position": letter.position,
            "reason": letter.reason,
            "traceparent": letter.traceparent,
            "value": value[:DEAD_LETTER_VALUE].decode(errors="replace"),
            "truncated": len(value) > DEAD_LETTER_VALUE,
        }
    )


def run_worker(app: SinkApp) -> int:
    """Run the worker until SIGTERM or SIGINT; returns the process's exit code, non-zero after a crash."""
    # A batch is thousands of objects without cycles: the collector would look at them again and again for nothing.
    gc.freeze()
    gc.set_threshold(100_000, 50, 1_000)
    return asyncio.run(_run(app))


async def _open(app: SinkApp, stop: asyncio.Event) -> bool:
    """Open the sink, waiting for its store; False when told to stop first."""
    delays = backoff()
    while not stop.is_set():
        try:
            await app.sink.open()
            app.vitals.opened, app.vitals.store_error = True, None
            return True
        except Unavailable as error:
            if app.vitals.store_error is None:
                log.warning("sink.unavailable", group=app.settings.group, **incident(error))
            app.vitals.store_error = str(error)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), next(delays))
    return False


def _leave_soon(app: SinkApp, code: int) -> None:
    """End the process in a while, whatever still holds it: clients do not let go while their brokers are down.

    Nothing is lost by it: what is not written, or not committed, is read again.
    """

    def leave() -> None:
        log.warning("worker.left", group=app.settings.group, after=LEAVE_TIMEOUT)
        os._exit(code)

    timer = threading.Timer(LEAVE_TIMEOUT, leave)
    timer.daemon = True
    timer.start()


async def _run(app: SinkApp) -> int:
    keeping = asyncio.ensure_future(app.vitals.keep()) if app.settings.look_interval else None
    try:
        return await _follow(app)
    finally:
        if keeping is not None:
            keeping.cancel()


async def _follow(app: SinkApp) -> int:
    stop = asyncio.Event()

    def told() -> None:
        stop.set()
        _leave_soon(app, 0)

    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, told)
    try:
        if not await _open(app, stop):
            return 0
    except HolonstreamError as error:
        log.error("worker.not_started", group=app.settings.group, **incident(error))
        return 1
    starting = asyncio.ensure_future(app.start())
    stopping = asyncio.ensure_future(stop.wait())
    crashing = asyncio.ensure_future(app._crashed.wait())
    done, _ = await asyncio.wait({starting, stopping, crashing}, return_when=asyncio.FIRST_COMPLETED)
    if done == {starting} and starting.exception() is None:
        await asyncio.wait({stopping, crashing}, return_when=asyncio.FIRST_COMPLETED)
    failure = app.crash_reason or (starting.done() and not starting.cancelled() and starting.exception()) or None
    if failure is not None:
        _leave_soon(app, 1)
    with contextlib.suppress(TimeoutError):  # what is not written by then is read again
        await asyncio.wait_for(app.stop(), STOP_TIMEOUT)
    for task in (starting, stopping, crashing):
        task.cancel()
    await asyncio.gather(starting, stopping, crashing, return_exceptions=True)
    if failure is not None:
        log.error("worker.failed", group=app.settings.group, **incident(failure))
        return 1
    return 0
