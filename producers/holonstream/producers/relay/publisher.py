"""Publishing batches of the log in Kafka transactions, with the position reached in the same transaction.

Authoritative is the position committed by the group ``{namespace}-relay`` for partition 0 of the topic: the offset *is*
the log position. Records and offset are committed together or not at all. Deleting the topic deletes that offset, so
the same is committed for partition 0 of a second topic, the `witness`. With it, a topic that was made again is not
taken for one that nobody has published to. Each carries the id that Kafka gave to the topic, since a relay may publish
to the new topic before it notices. `open` fences the publisher that used the transactional id before: that publisher's
transaction is aborted, and every later call of it raises ProducerFenced.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import structlog
from confluent_kafka import OFFSET_INVALID, Consumer, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from holonstream.producers.kafka import (
    CONNECTION,
    ErrorNotes,
    TopicIdWatch,
    call_within,
    describe,
    driver_errors,
    topic_id,
)
from holonstream.producers.log.batches import EventBatch
from holonstream.schemas.errors import HolonstreamError
from holonstream.schemas.incident import incident
from holonstream.schemas.offset_metadata import OffsetMetadata
from holonstream.schemas.wire import CONTENT_TYPE

log = structlog.get_logger(__name__)

HEADERS = [("content-type", CONTENT_TYPE.encode())]
TRANSACTION_TIMEOUT = 30.0  # seconds until the broker aborts a transaction whose relay has gone
CALL_TIMEOUT = 10.0  # seconds
ABORT_TIMEOUT = 2.0  # seconds
SERVE_EVERY = 2_000  # records, between two rounds of the client's callbacks

PRODUCER = {
    "partitioner": "murmur2",  # librdkafka's own default disagrees with Java, aiokafka and schemas/partition.py
    "enable.idempotence": True,
    "acks": "all",
    "transaction.timeout.ms": int(TRANSACTION_TIMEOUT * 1000),
    "message.timeout.ms": int(TRANSACTION_TIMEOUT * 1000),
    "retry.backoff.ms": 5,  # what follows a commit at once is put off until its markers are written
    "retry.backoff.max.ms": 200,
    "linger.ms": 5,  # a commit flushes, so this only lets batches fill
    "batch.size": 1_000_000,
    "batch.num.messages": 10_000,
    "queue.buffering.max.messages": 100_000,
    "queue.buffering.max.kbytes": 65_536,
}


class Committed(NamedTuple):
    """What the last committed transaction reached."""

    position: int
    topic_id: str | None
    """of the topic that it was published to; None when an earlier version has committed it"""


class Publisher:
    """A transactional producer, with the consumer group that carries the position: `open`, `publish` ..., `close`.

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
        self._topic, self._witness, self._group = topic, witness, group
        common = {"bootstrap.servers": bootstrap, **CONNECTION, **config, "error_cb": ErrorNotes(), "log_level": 2}
        self._producer = Producer({**common, **PRODUCER, "transactional.id": group, "compression.type": compression})
        self._admin = AdminClient(common)
        self.topic_id = ""
        """of the topic, once `open` has returned"""
        self.consumer = Consumer(
            {
                **common,
                "group.id": group,
                "enable.auto.commit": False,
                "isolation.level": "read_committed",
                "auto.offset.reset": "error",
                "enable.partition.eof": True,
                "fetch.wait.max.ms": 10,
            }
        )

    def open(self) -> None:
        """Fence the publisher before and finish what it left. Raises KafkaUnavailable, NotInitialised (no topic)."""
        with driver_errors(f"initialising the transactions of {self._group}"):
            self._producer.init_transactions(CALL_TIMEOUT)
        self.topic_id = topic_id(self._admin, self._topic, CALL_TIMEOUT)
        self._watch = TopicIdWatch(self._admin, self._topic, self.topic_id)

    def check_topic(self) -> None:
        """Find out every few seconds, without waiting, whether the topic is the one that `open` found.

        Raises TopicReplaced, NotInitialised (no topic), KafkaUnavailable.
        """
        self._watch.check()

    def committed(self) -> Committed | None:
        """What the last committed transaction reached, None when the group has nothing.

        Call it after `open`, when no transaction is pending. Raises KafkaUnavailable.
        """
        with driver_errors(f"reading the position that group {self._group} committed on {self._topic}"):
            describe(self._admin, self._group)
            found = self.consumer.committed([TopicPartition(t, 0) for t in (self._topic, self._witness)], CALL_TIMEOUT)
            for partition in found:
                if partition.error is not None:
                    raise KafkaException(partition.error)
        known = (tp for tp in found if tp.offset != OFFSET_INVALID)
        return next((Committed(int(tp.offset), OffsetMetadata.parse(tp.metadata).topic_id) for tp in known), None)

    def publish(self, batch: EventBatch) -> None:
        """Publish a batch and commit it.

        Raises KafkaUnavailable or ProducerFenced; then the publisher is of no more use, and only
        `committed` of a new one knows whether the batch was committed.
        """
        with driver_errors(f"publishing to {self._topic}"):
            producer, produce, topic = self._producer, self._producer.produce, self._topic
            producer.begin_transaction()
            for start in range(0, len(batch.events), SERVE_EVERY):
                for _, stream, value in batch.events[start : start + SERVE_EVERY]:
                    # by position (partition, callback, on_delivery, timestamp): by keyword it takes a third longer
                    produce(topic, value, stream, -1, None, None, 0, HEADERS)
                producer.poll(0)
            metadata = OffsetMetadata(None, self.topic_id).text()
            reached = [TopicPartition(name, 0, batch.position, metadata=metadata) for name in (topic, self._witness)]
            members = self.consumer.consumer_group_metadata()
            # librdkafka does not keep this call's timeout: 15 s for 3, and 10 minutes when the broker stops meanwhile.
            call_within(
                CALL_TIMEOUT,
                f"adding positions to the transaction of {topic}",
                lambda: producer.send_offsets_to_transaction(reached, members, CALL_TIMEOUT),
            )
            self._commit()

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
