"""A worker: a Faust app that is a member of one consumer group and follows the log with one sink."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import faust
import structlog
from aiokafka.abc import AbstractTokenProvider
from aiokafka.errors import KafkaError, KafkaTimeoutError, MessageSizeTooLargeError, RecordListTooLargeError
from faust.auth import OAuthCredentials

from holonstream.schemas import jsontext
from holonstream.schemas.errors import HolonstreamError, Unavailable
from holonstream.schemas.incident import incident
from holonstream.schemas.retry import backoff
from holonstream.schemas.tls import RenewedContext
from holonstream.sinks.base import DeadLetter, PublishDeadLetters, Sink
from holonstream.streams.follower import Follower
from holonstream.streams.health import WorkerHealth
from holonstream.streams.transport import SCHEME, FetchSchema, WorkerApp

log = structlog.get_logger(__name__)

MAX_POLL_INTERVAL = 1e6  # seconds; with a shorter one a worker leaves its group permanently when its store is down
# Seconds. When this is over Faust gives up the seek that follows an assignment, and continues as if it were done: no
# partition would ever start. The limit of single requests is `WorkerApp.request_timeout`.
ASSIGNMENT_TIMEOUT = 1e6
METADATA_AGE = 2  # seconds until the brokers are asked again who leads which partition: one may have vanished
STOP_TIMEOUT = 8.0  # seconds that an orderly stop may take
TOO_LARGE = (MessageSizeTooLargeError, RecordListTooLargeError)
DEAD_LETTER_VALUE = 64 * 1024  # bytes of a record that its dead letter carries
DEAD_LETTER_TEXT = (
    4 * 1024
)  # characters of each other field: a record of another producer may name a stream of any size


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
    buffered_polls: int = 1
    """polls fetched ahead of the sink; one may have a megabyte of each partition"""
    session_timeout: float = 10.0
    """after which the group gives a silent worker's partitions to others"""
    heartbeat_interval: float = 3.0
    commit_interval: float = 1.0
    write_timeout: float = 30.0
    stall_timeout: float = 120.0
    """a worker that lags, is not waiting for its store or brokers and writes nothing for so long ends itself"""
    poll_interval: float = 5.0
    """seconds between two polls for metrics and health: of the topic's ends, and of whether the store answers"""
    tls: bool = False
    """whether the brokers speak TLS"""
    ca: Path | None = None
    """file of the certificate authorities trusted for that; None means the system's"""
    cert: Path | None = None
    """file of our own certificate; None without"""
    key: Path | None = None
    """file of its key"""
    mechanism: str = "SCRAM-SHA-512"
    """of SASL, for user and password"""
    user: str | None = None
    """None without login by password"""
    password: str = field(default="", repr=False)
    token: Callable[[], tuple[str, float]] | None = field(default=None, repr=False)
    """for SASL/OAUTHBEARER: the present token, and when it ends; called in a thread"""

    @property
    def request_timeout(self) -> float:
        """For every answer of a broker: a member must have time to find another coordinator before its session ends."""
        return self.session_timeout / 3

    def credentials(self) -> Any:
        """What Faust takes, None without security."""
        # Faust uses TLS only with a context: without one a password would be sent in plain text.
        context = RenewedContext(self.ca, self.cert, self.key) if self.tls else None
        if self.token is not None:
            return OAuthCredentials(oauth_cb=TokenProvider(self.token), ssl_context=context)
        if self.user is not None:
            return faust.SASLCredentials(
                username=self.user, password=self.password, mechanism=self.mechanism, ssl_context=context
            )
        return None if context is None else faust.SSLCredentials(context)


class TokenProvider(AbstractTokenProvider):  # type: ignore[misc]
    """Gives aiokafka a token for each login."""

    def __init__(self, token: Callable[[], tuple[str, float]]) -> None:
        self._token = token

    async def token(self) -> str:
        """The present token."""
        return (await asyncio.to_thread(self._token))[0]


class SinkApp(WorkerApp):
    """Follows the log with one sink. Only bugs reach Faust as exceptions."""

    def __init__(
        self,
        settings: GroupSettings,
        make_sink: Callable[[PublishDeadLetters], Sink],
        ask_topic_id: Callable[[], str] | None = None,
    ) -> None:
        """`make_sink` gets the function by which the sink publishes dead letters; `run` opens and closes the sink.

        `ask_topic_id` asks the brokers for the id of the topic; it is called in a thread. None leaves unchecked whether
        the topic was deleted and made again.
        """
        super().__init__(
            settings.group,
            broker=[f"{SCHEME}://{address}" for address in settings.bootstrap],
            broker_credentials=settings.credentials(),
            agent_supervisor="mode.CrashingSupervisor",
            broker_commit_interval=settings.commit_interval,
            broker_commit_every=None,
            broker_max_poll_interval=MAX_POLL_INTERVAL,
            broker_max_poll_records=settings.max_batch,
            broker_session_timeout=settings.session_timeout,
            broker_heartbeat_interval=settings.heartbeat_interval,
            broker_rebalance_timeout=60.0,
            broker_request_timeout=ASSIGNMENT_TIMEOUT,
            producer_request_timeout=settings.request_timeout,
            consumer_max_fetch_size=1 << 20,
            consumer_metadata_max_age_ms=METADATA_AGE * 1000,
            datadir=tempfile.gettempdir(),
            store="memory://",
            stream_buffer_maxsize=settings.buffered_polls,
            stream_wait_empty=True,
            table_standby_replicas=0,
            topic_allow_declare=False,
            topic_disable_leader=True,
            web_enabled=False,
        )
        self.settings = settings
        self.request_timeout = settings.request_timeout
        self._ask_topic_id = ask_topic_id
        self.sink = make_sink(self.publish_dead_letters)
        self.follower = self.rebalance_listener = Follower(
            self, settings.group, self.sink, max_events=settings.max_batch, write_timeout=settings.write_timeout
        )
        self.health = WorkerHealth(self, poll_interval=settings.poll_interval, stall_timeout=settings.stall_timeout)
        self._dead_letters = self.topic(settings.dead_letter_topic, value_serializer="raw", key_serializer="raw")
        events = self.topic(settings.topic, schema=FetchSchema())
        self.agent(events, name="follow")(self.follower.follow)

    async def topic_id(self) -> str | None:
        """The id of the topic of events, as the brokers have it now. Raises Unavailable, NotInitialised (no topic)."""
        return None if self._ask_topic_id is None else await asyncio.to_thread(self._ask_topic_id)

    async def on_stop(self) -> None:
        try:
            await super().on_stop()
        finally:
            await self.sink.close()

    async def run(self, stop: asyncio.Event, on_failure: Callable[[], None] = lambda: None) -> int:
        """Follow the log until `stop` is set; returns the process's exit code, non-zero after a failure.

        `on_failure` is called when the worker has failed and begins to stop. Clients may hold up the end while their
        brokers are down: the process may be ended then. What is not written, or not committed, is read again.
        """
        # A batch is thousands of objects without cycles: the collector would visit them again and again for nothing.
        gc.freeze()
        gc.set_threshold(100_000, 50, 1_000)
        watching = asyncio.ensure_future(self.health.watch())
        try:
            if not await self._open_sink(stop):
                return 0
            failure = await self._follow(stop, watching)
            if failure is not None:
                # Before the stop: it may take until the process is ended.
                log.error("worker.failed", group=self.settings.group, **incident(failure))
                on_failure()
            failure = await self._stop_in_order() or failure
        except HolonstreamError as error:
            log.error("worker.not_started", group=self.settings.group, **incident(error))
            return 1
        finally:
            watching.cancel()
        return 0 if failure is None else 1

    async def _open_sink(self, stop: asyncio.Event) -> bool:
        """Wait for the store; False when `stop` is set first."""
        delays = backoff()
        while not stop.is_set():
            try:
                await self.sink.open()
                self.health.opened, self.health.store_error = True, None
                return True
            except Unavailable as error:
                if self.health.store_error is None:
                    log.warning("sink.unavailable", group=self.settings.group, **incident(error))
                self.health.store_error = str(error)
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(stop.wait(), next(delays))
        return False

    async def _follow(self, stop: asyncio.Event, watching: asyncio.Future[None]) -> BaseException | None:
        """Run the Faust app until `stop` is set or something fails. Returns the failure, or None."""
        starting = asyncio.ensure_future(self.start())
        stopping, ended = asyncio.ensure_future(stop.wait()), asyncio.ensure_future(self.wait())
        done, _ = await asyncio.wait({starting, stopping, ended, watching}, return_when=asyncio.FIRST_COMPLETED)
        if done == {starting} and starting.exception() is None:
            await asyncio.wait({stopping, ended, watching}, return_when=asyncio.FIRST_COMPLETED)
        for task in (stopping, ended):
            task.cancel()
        failed = (task.exception() for task in (starting, watching) if task.done() and not task.cancelled())
        return self.crash_reason or next(filter(None, failed), None)

    async def _stop_in_order(self) -> Exception | None:
        """Stop, for STOP_TIMEOUT at most. Returns the error that prevented it, or None."""
        # Not awaited: after a crash Faust cancels what its threads do, and with it a stop that waits for one of them.
        stopping = asyncio.ensure_future(self.stop())
        await asyncio.wait({stopping}, timeout=STOP_TIMEOUT)
        if stopping.cancel() or stopping.cancelled():
            return None
        error = stopping.exception()
        if not isinstance(error, Exception):
            return None
        log.error("worker.stop_failed", group=self.settings.group, **incident(error))
        return error

    async def publish_dead_letters(self, letters: Sequence[DeadLetter]) -> None:
        """Put letters on the dead-letter topic; returns when the brokers have them. Raises Unavailable.

        Where somebody has lowered the size of the topic's records, letters that are too large come without the record.
        """
        try:
            await self._send_dead_letters(letters, DEAD_LETTER_VALUE)
        except TOO_LARGE as error:
            log.warning("dead_letters.shortened", topic=self.settings.dead_letter_topic, **incident(error))
            for letter in letters:
                await self._send_dead_letters([letter], 0)

    async def _send_dead_letters(self, letters: Sequence[DeadLetter], most: int) -> None:
        try:
            sent = [
                await self._dead_letters.send(
                    key=(letter.stream or "")[:DEAD_LETTER_TEXT].encode(),
                    value=_dead_letter_text(letter, self.settings.group, most),
                )
                for letter in letters
            ]
            for future in sent:
                await future
        except KafkaError as error:
            if most and isinstance(error, TOO_LARGE):
                raise
            if not error.retriable and not isinstance(error, (KafkaTimeoutError, *TOO_LARGE)):
                raise
            raise Unavailable(f"Kafka does not take dead letters: {error!r}") from error


def _dead_letter_text(letter: DeadLetter, group: str, most: int) -> bytes:
    value = letter.value or b""
    return jsontext.encode(
        {
            "group": group,
            "topic": letter.topic,
            "partition": letter.partition,
            "offset": letter.offset,
            "stream": letter.stream and letter.stream[:DEAD_LETTER_TEXT],
            "version": letter.version,
            "position": letter.position,
            "reason": letter.reason[:DEAD_LETTER_TEXT],
            "traceparent": letter.traceparent and letter.traceparent[:DEAD_LETTER_TEXT],
            "value": value[:most].decode(errors="replace"),
            "truncated": len(value) > most,
        }
    )
