"""The relay: from the log in PostgreSQL to the topic on Kafka, each event exactly once and in the order of the log.

Who is authoritative. The log says what happened, and the frontier (`producers.log.frontier`) how far it is gap-free.
The topic says how far it is published: up to the highest position of a committed record
(`producers.relay.topic_tail`). The relay itself keeps nothing, and writes nothing to PostgreSQL. The position that it
commits for its group (`producers.relay.committer`) follows, for tools, and to notice a topic that was emptied.

States of a relay::

    connecting --> standby --> connecting --> leader --> (stop) stopped
        ^             |            |             |
        +-- backoff <-+------------+-------------+   PostgreSQL or Kafka unavailable, or fenced

- standby: another session has the leader lock (`producers.relay.lease`).
- leader: the session has the lock, and `init_transactions` has fenced the producer before. The leader finds its
  position (`producers.relay.recovery`), then repeats: read the frontier; read, in a new statement and so in a new
  snapshot, the events between its position and the frontier; publish them in transactions; take the frontier as its
  position, for what lies below it and was not seen will never be.

A crash at any point. Before the commit of a Kafka transaction: nobody who reads committed sees its records, and the
next leader's `init_transactions` aborts it. After it: all its records are there, on every partition. In between, the
next leader's `init_transactions` returns when the last marker is written, and only then it reads the topic's end, up to
the last record that was replicated. A leader that has lost its PostgreSQL session reads no more; was
it about to commit, then either it commits before the next leader's `init_transactions`, whose recovery sees that, or it
is fenced.

Every failure, of PostgreSQL or Kafka, is handled in one way: drop both connections, wait a little, start again. Only
what somebody must put right (NotInitialised, NotPermitted, SessionRequired, TopicBehind, TopicReplaced,
PartitionsAdded, LogReplaced, LogBehind, RecordTooLarge, NamespaceCollision) and bugs end the relay.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from contextlib import closing
from time import monotonic
from typing import Any

import psycopg
import structlog

from holonstream.producers.errors import KafkaUnavailable, ProducerFenced
from holonstream.producers.kafka import driver_errors
from holonstream.producers.log.batches import read_batches
from holonstream.producers.log.frontier import read_frontier
from holonstream.producers.log.postgres import LEADER_OPTIONS, BoundedConnection, connect_session
from holonstream.producers.relay.lease import acquire_leadership
from holonstream.producers.relay.progress import RelayMonitor, RelayProgress
from holonstream.producers.relay.publisher import Publisher
from holonstream.producers.relay.recovery import check_log, find_position
from holonstream.schemas import names
from holonstream.schemas.errors import Unavailable
from holonstream.schemas.incident import incident
from holonstream.schemas.retry import backoff

log = structlog.get_logger(__name__)

SHORTEST_IDLE = 0.001  # seconds between two polls of the log
LONGEST_IDLE = 0.025  # seconds
QUIET, QUIET_IDLE = 2.0, 0.05  # seconds without an event, after which it polls half as often
MANY, LONGER = 10, 1.5  # events of a transaction, after which it lingers longer, and how many times as long
STEADY = 15.0  # seconds; an attempt that lasted longer was ended by a new incident
SMALLEST_SHARE = 1e-4  # of a full batch
STRETCH_BATCHES = 20  # per query, so that its snapshot does not hold back vacuum for a whole backlog


class Relay:
    """One relay process. `run` blocks until `stop` is set; `progress` may be read from any thread."""

    def __init__(
        self,
        dsn: str,
        bootstrap: str,
        *,
        namespace: str = "holonstream",
        batch_events: int = 10_000,
        batch_bytes: int = 8 * 2**20,
        linger: float = 0.02,
        compression: str = "lz4",
        trust_topic: bool = False,
        trust_log: bool = False,
        kafka_config: Mapping[str, Any] | None = None,
        on_progress: Callable[[RelayProgress], None] | None = None,
    ) -> None:
        """`namespace` names topic, group and transactional id. A Kafka transaction holds at most `batch_events` events
        and ends with the one that reaches `batch_bytes`. Transactions that follow each other begin at least `linger`
        seconds apart, 1.5 times that while they hold ten events or more, but for those of a backlog. `trust_topic`,
        `trust_log`: see `producers.relay.recovery`. `kafka_config`: librdkafka settings for both clients (security).
        `on_progress` is called by the relay's thread at every change.
        """
        self._dsn, self._bootstrap, self._namespace = dsn, bootstrap, namespace
        self._topic = names.events_topic(namespace)
        self._batch_events, self._batch_bytes = batch_events, batch_bytes
        self._share = 1.0
        """of a full batch that is published at once: less after one that did not pass"""
        self._linger = linger
        self._compression, self._kafka_config = compression, dict(kafka_config or {})
        self._trust_topic, self._trust_log = trust_topic, trust_log
        self.progress = RelayMonitor(on_progress)

    def run(self, stop: threading.Event) -> None:
        """Relay until `stop` is set; a batch that is being published is finished first.

        Raises NotInitialised, NotPermitted, SessionRequired, TopicBehind, TopicReplaced, PartitionsAdded, LogReplaced,
        LogBehind, RecordTooLarge, NamespaceCollision: what a retry cannot help.
        """
        delays = backoff()
        logged: type[Exception] | None = None
        try:
            while not stop.is_set():
                transactions, began = self.progress.now.transactions, monotonic()
                self.progress.change(state="connecting")
                try:
                    with closing(self._connect()) as connection:
                        self._relay_as_leader(connection, stop)
                except (Unavailable, ProducerFenced) as error:
                    if self.progress.now.transactions > transactions or monotonic() - began > STEADY:
                        delays, logged = backoff(), None
                    self.progress.interrupted(str(error), fenced=isinstance(error, ProducerFenced))
                    if logged is not type(error):  # one line for an outage, not one for every attempt
                        log.warning("relay.interrupted", position=self.progress.now.position, **incident(error))
                        logged = type(error)
                    stop.wait(next(delays))
        finally:
            self.progress.change(state="stopped")

    def _connect(self) -> psycopg.Connection[Any]:
        return connect_session(self._dsn, "holonstream-relay", kind=BoundedConnection, options=LEADER_OPTIONS)

    def _relay_as_leader(self, connection: psycopg.Connection[Any], stop: threading.Event) -> None:
        self.progress.change(state="standby")
        if not acquire_leadership(connection, self._namespace, stop, self.progress.turned):
            return
        self.progress.change(state="connecting")  # to Kafka: nobody stands by while this one has the lock
        with driver_errors("making the clients of the relay"):
            publisher = Publisher(
                self._bootstrap,
                self._topic,
                names.dead_letter_topic(self._namespace),
                group=names.consumer_group(self._namespace, "relay"),
                compression=self._compression,
                config=self._kafka_config,
            )
        with closing(publisher):
            publisher.open(check_log(connection, publisher, self._topic, trust_log=self._trust_log))
            position = find_position(connection, publisher, self._topic, trust_topic=self._trust_topic)
            publisher.reached(position)
            self._trust_topic = self._trust_log = False  # they were about topic and log at the start
            self.progress.change(state="leader", position=position, error=None)
            log.info("relay.leading", topic=self._topic, position=position)
            try:
                self._follow(connection, publisher, position, stop)
                publisher.commit_position()
            except BaseException:
                publisher.abort()
                raise

    def _follow(
        self, connection: psycopg.Connection[Any], publisher: Publisher, position: int, stop: threading.Event
    ) -> None:
        """Publish what is beyond `position`, until `stop` is set."""
        idle, published = SHORTEST_IDLE, monotonic()
        while not stop.is_set():
            log_end = read_frontier(connection, after=position)
            publisher.keep_up()  # after that statement, which shows that this session still leads
            self.progress.change(head=log_end.head, frontier=log_end.frontier)
            if log_end.frontier <= position:
                stop.wait(idle)
                idle = min(2 * idle, LONGEST_IDLE if monotonic() - published < QUIET else QUIET_IDLE)
                continue
            idle = SHORTEST_IDLE
            began, relayed = monotonic(), self.progress.now.relayed
            position = self._publish_stretch(connection, publisher, position, log_end.frontier, stop)
            # A transaction costs brokers and consumers the same for one event as for hundreds. Where all are busy, so
            # that it takes long, leave them as much time again.
            published = ended = monotonic()
            linger = self._linger * (LONGER if self.progress.now.relayed - relayed >= MANY else 1)
            stop.wait(max(began + linger - ended, min(ended - began, linger)))

    def _publish_stretch(
        self,
        connection: psycopg.Connection[Any],
        publisher: Publisher,
        position: int,
        frontier: int,
        stop: threading.Event,
    ) -> int:
        """Publish gap-free events, and return the position that this reached."""
        batch_events = max(1, int(self._batch_events * self._share))
        limit = STRETCH_BATCHES * batch_events
        count = 0
        batches = read_batches(
            connection,
            position,
            frontier,
            limit=limit,
            batch_events=batch_events,
            batch_bytes=int(self._batch_bytes * self._share),
        )
        with closing(batches):
            for batch in batches:
                publisher.keep_up()
                try:
                    publisher.publish(batch)
                except KafkaUnavailable:  # perhaps more than a slow network or a quota of the brokers lets pass in time
                    self._share = max(self._share / 4, SMALLEST_SHARE)
                    raise
                count += len(batch.events)
                position = batch.position
                self.progress.published(len(batch.events), batch.bytes, position)
                if stop.is_set():
                    return position
        self._share = min(self._share * 2, 1.0)
        return position if count == limit else frontier
