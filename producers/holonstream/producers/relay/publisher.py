"""Publishing batches of the log in Kafka transactions.

A transaction holds consecutive events, on as many partitions as they have: its records are committed together or not
at all. Each record carries its position, so the last event on the topic says what is published; nothing else travels
in the transaction (docs/adr/0007). `open` fences the publisher that used the transactional id before: that publisher's
transaction is ended, with markers on all its partitions, and every later call of it raises ProducerFenced.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import structlog
from confluent_kafka import OFFSET_INVALID, Consumer, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from holonstream.producers.errors import NotPermitted, RecordTooLarge
from holonstream.producers.kafka import (
    CONNECTION,
    Admin,
    ErrorNotes,
    TopicIdentity,
    TopicWatch,
    driver_errors,
    topic_config,
    topic_identity,
)
from holonstream.producers.log.batches import EventBatch
from holonstream.producers.relay.committer import PositionCommitter
from holonstream.producers.relay.topic_tail import tail_events
from holonstream.schemas import tracing
from holonstream.schemas.errors import HolonstreamError
from holonstream.schemas.incident import incident
from holonstream.schemas.offset_metadata import OffsetMetadata
from holonstream.schemas.wire import CONTENT_TYPE, EventPosition

log = structlog.get_logger(__name__)

HEADERS = [("content-type", CONTENT_TYPE.encode())]
TRANSACTION_TIMEOUT = 30.0  # seconds until the broker aborts a transaction whose relay has gone
CALL_TIMEOUT = 10.0  # seconds
ANSWER_TIMEOUT = 2.0  # seconds for one answer of one broker to the producer: everybody waits for it
ABORT_TIMEOUT = 2.0  # seconds
SERVE_EVERY = 2_000  # records, between two rounds of the client's callbacks

RECORD_BYTES = 1_000_000  # of a record and of a batch at most, also on a topic that takes more
BATCH_BYTES = 1_000_000
SMALLEST_LIMIT = 1_000  # that librdkafka takes
FRAME = 512  # bytes that a batch of one record has beyond its key and value, and more

PRODUCER = {
    "partitioner": "murmur2",  # librdkafka's own default disagrees with Java, aiokafka and schemas/partition.py
    "enable.idempotence": True,
    "acks": "all",
    "transaction.timeout.ms": int(TRANSACTION_TIMEOUT * 1000),
    "message.timeout.ms": int(TRANSACTION_TIMEOUT * 1000),
    "socket.timeout.ms": int(ANSWER_TIMEOUT * 1000),
    "socket.connection.setup.timeout.ms": int(ANSWER_TIMEOUT * 1000),
    "retry.backoff.ms": 5,  # what follows a commit at once is put off until its markers are written
    "retry.backoff.max.ms": 200,
    "linger.ms": 5,  # a commit flushes, so this only lets batches fill
    "batch.num.messages": 10_000,
    "queue.buffering.max.messages": 100_000,
    "queue.buffering.max.kbytes": 65_536,
}


class Committed(NamedTuple):
    """The position that a relay has committed for its group (`producers.relay.committer`)."""

    position: int
    topic_id: str | None
    """of the topic that it was published to; None when another program has set the offset (0.1 wrote none either)"""
    partitions: int | None
    """that this topic had; None when an earlier version has committed it"""
    log_id: str | None
    """of the log that it was published from; None when an earlier version has committed it, or could not ask"""


class Publisher:
    """A transactional producer, and the consumer group whose position follows it: `open`, `publish` ..., `close`.

    The group's name is the transactional id too.
    """

    def __init__(
        self,
        bootstrap: str,
        topic: str,
        witness: str,
        *,
        group: str,
        compression: str,
        config: Mapping[str, Any],
    ) -> None:
        self._topic, self._witness = topic, witness
        self.group = group
        """the consumer group, and the transactional id"""
        common = {"bootstrap.servers": bootstrap, **CONNECTION, **config, "error_cb": ErrorNotes(), "log_level": 2}
        self._admin = Admin(common)
        self._limit = _record_limit(self._admin.client, topic)
        self._producer = Producer(
            {
                **common,
                **PRODUCER,
                "transactional.id": group,
                "compression.type": compression,
                # Of a record and of a batch, before compression, which may gain nothing.
                "message.max.bytes": self._limit,
                "batch.size": min(self._limit, BATCH_BYTES),
            }
        )
        self.identity = TopicIdentity("", 0)
        """of the topic, once `open` has returned"""
        self._committer: PositionCommitter
        self.consumer = Consumer(
            {
                **common,
                "group.id": group,
                "enable.auto.commit": False,
                "isolation.level": "read_committed",
                "auto.offset.reset": "error",
                "enable.partition.eof": True,
                "fetch.wait.max.ms": 10,
                "on_commit": lambda error, places: self._committer.answered(error, places),
            }
        )

    def open(self, log_id: str | None = None) -> None:
        """Fence the publisher before and finish what it left; `log_id` goes with each position that is committed.

        Raises KafkaUnavailable, NotInitialised (no topic).
        """
        with driver_errors(f"initialising the transactions of {self.group}"):
            self._producer.init_transactions(CALL_TIMEOUT)
        self.identity = topic_identity(self._admin.client, self._topic, CALL_TIMEOUT)
        self._watch = TopicWatch(self._admin.client, self._topic, self.identity)
        self._committer = PositionCommitter(
            self.consumer, self.group, self._topic, self._witness, self.identity, log_id
        )

    def keep_up(self) -> None:
        """Check the topic and commit the position, each when it is due; it waits for no answer.

        Raises TopicReplaced (not the topic that `open` found), PartitionsAdded, NotInitialised (no topic),
        NotPermitted, KafkaUnavailable.
        """
        self._watch.check()
        self._committer.commit_if_due()

    def tail_events(self) -> list[EventPosition]:
        """Where the last events on the topic are in the log (`producers.relay.topic_tail`). Call it after `open`.

        Raises KafkaUnavailable, NotInitialised (no such topic).
        """
        return tail_events(self.consumer, self._admin.client, self._topic)

    def committed(self) -> Committed | None:
        """The position that the group has committed, None when it has none; what a relay has committed goes first.

        Raises KafkaUnavailable.
        """
        with driver_errors(f"reading the position that group {self.group} committed on {self._topic}"):
            self._admin.describe(self.group)
            found = self.consumer.committed([TopicPartition(t, 0) for t in (self._topic, self._witness)], CALL_TIMEOUT)
            for partition in found:
                if partition.error is not None:
                    raise KafkaException(partition.error)
        known = [
            Committed(int(tp.offset), *OffsetMetadata.parse(tp.metadata)[1:4])
            for tp in found
            if tp.offset != OFFSET_INVALID
        ]
        ours = [committed for committed in known if committed.topic_id is not None]
        return next(iter(ours or known), None)

    def publish(self, batch: EventBatch) -> None:
        """Publish a batch and commit it.

        Raises RecordTooLarge, KafkaUnavailable or ProducerFenced; then the publisher is of no more use, and only
        `tail_events` of a new one know whether the batch was committed.
        """
        values = (value for _, _, value in batch.events)
        with (
            tracing.batch_span("relay publish", values, events=len(batch.events), position=batch.position),
            driver_errors(f"publishing to {self._topic}"),
        ):
            producer, produce, topic = self._producer, self._producer.produce, self._topic
            producer.begin_transaction()
            try:
                for start in range(0, len(batch.events), SERVE_EVERY):
                    for _, stream, value in batch.events[start : start + SERVE_EVERY]:
                        # by position (partition, callback, on_delivery, timestamp): by keyword it takes a third longer
                        produce(topic, value, stream, -1, None, None, 0, HEADERS)
                    producer.poll(0)
            except KafkaException as exception:
                if exception.args[0].code() == KafkaError.MSG_SIZE_TOO_LARGE:
                    raise self._too_large(batch) from exception
                raise
            self._commit()
        self._committer.reached(batch.position)

    def reached(self, position: int) -> None:
        """Take note that the topic holds everything up to a position: it is committed soon."""
        self._committer.reached(position)

    def commit_position(self) -> None:
        """Commit the position reached, if Kafka is there: the last step of a relay that ends. Raises NotPermitted."""
        self._committer.commit_last()

    def _too_large(self, batch: EventBatch) -> RecordTooLarge:
        """The error that names the first event of a batch that the topic does not take."""
        for position, stream, value in batch.events:
            size = len(stream) + len(value)
            if size > self._limit:
                return RecordTooLarge(self._topic, stream.decode(), position, size + FRAME, self._limit + FRAME)
        return RecordTooLarge(self._topic, "?", batch.position, 0, self._limit + FRAME)

    def _commit(self) -> None:
        """Commit, and retry while the outcome is open: a commit may be repeated any number of times."""
        attempts = int(TRANSACTION_TIMEOUT / CALL_TIMEOUT)
        for attempt in range(attempts):
            try:
                self._producer.commit_transaction(CALL_TIMEOUT)
                return
            except KafkaException as exception:
                if not exception.args[0].retriable() or attempt == attempts - 1:
                    raise

    def abort(self) -> None:
        """Abort what is open, if Kafka is there: consumers then need not wait for the transaction's timeout."""
        try:
            with driver_errors("aborting"):
                self._producer.abort_transaction(ABORT_TIMEOUT)
        except (HolonstreamError, KafkaException) as error:  # the broker does it, or the next `open`
            log.info("relay.abort.left", topic=self._topic, **incident(error))

    def close(self) -> None:
        """Close both clients; what is not committed never will be."""
        self.consumer.close()
        self._producer.purge(blocking=False)
        del self._producer  # its own `close` would wait for a broker that may be down


def fence_publishers(bootstrap: str, group: str, config: Mapping[str, Any]) -> None:
    """End the transaction of every publisher of a group, so that none of them writes again. Raises KafkaUnavailable."""
    producer = Producer({"bootstrap.servers": bootstrap, **CONNECTION, **config, "transactional.id": group})
    with driver_errors(f"fencing the publishers of {group}"):
        producer.init_transactions(CALL_TIMEOUT)


def _record_limit(admin: AdminClient, topic: str) -> int:
    """Bytes that key and value of a record may have. Raises KafkaUnavailable, NotInitialised (no topic)."""
    try:
        with driver_errors(f"asking for the settings of {topic}"):
            allowed = int(topic_config(admin, topic)["max.message.bytes"])
    except NotPermitted as error:
        log.warning("relay.topic.limit_unknown", topic=topic, assumed=RECORD_BYTES, **incident(error))
        return RECORD_BYTES
    return max(min(allowed - FRAME, RECORD_BYTES), SMALLEST_LIMIT)
