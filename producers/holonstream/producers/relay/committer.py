"""The position that the relay commits for its consumer group: for tools that show it, and against an emptied topic.

What is published, the topic itself says (`producers.relay.topic_tail`). The committed position follows it: it is
committed after the transaction whose last event it names, once in a while and by nobody who waits. So it is at most
what the topic holds, unless the topic lost something. A leader that is late may set it back; the present one repeats
it.

It is the offset of partition 0 of the topic. Deleting the topic deletes that, so the same is committed for partition 0
of a second topic, the witness. With it, a topic that was made again is not taken for one that nobody has published to.
Each carries the id that Kafka gave to the topic, since a relay may publish to the new topic before it notices, and
that of the log (`producers.relay.recovery.check_log`).

A consumer commits it that has the group's id and never subscribes. (An admin client can, too; librdkafka 2.16 may abort
the process, or never answer again, when the brokers stop under such a request.)
"""

from __future__ import annotations

from collections.abc import Sequence
from time import monotonic

import structlog
from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from holonstream.producers.errors import KafkaUnavailable
from holonstream.producers.kafka import TopicIdentity, driver_errors
from holonstream.schemas.errors import NotInitialised
from holonstream.schemas.incident import incident
from holonstream.schemas.offset_metadata import OffsetMetadata

log = structlog.get_logger(__name__)

INTERVAL = 1.0  # seconds between two commits of a position that rises
REPEAT = 10.0  # seconds until one that stays is committed again
LAST_TIMEOUT = 2.0  # seconds for the last one of a relay that ends
TURN = 0.05  # seconds
NO_ANSWER = 10.0  # seconds until an answer counts as lost


class PositionCommitter:
    """Commits the position that `reached` was given last, whenever `commit_if_due` finds that it is time.

    `consumer` is one of the group, whose ``on_commit`` is `answered`.
    """

    def __init__(
        self,
        consumer: Consumer,
        group: str,
        topic: str,
        witness: str,
        identity: TopicIdentity,
        log_id: str | None = None,
    ) -> None:
        self._consumer, self._group, self._topics = consumer, group, (topic, witness)
        self._metadata = OffsetMetadata(None, *identity, log_id).text()
        self._position: int | None = None
        self._asking: int | None = None
        """the position whose commit has found no answer yet"""
        self._committed: int | None = None
        self._next = 0.0
        self._failed = False

    def reached(self, position: int) -> None:
        """Take note of the position of an event that is on the topic."""
        self._position = position

    def commit_if_due(self) -> None:
        """Commit, if it is time, or evaluate the answer, if it is there. Raises NotPermitted.

        Another failure is logged, and the position is committed again a second later.
        """
        now = monotonic()
        if self._asking is not None:
            self._consumer.poll(0)  # calls `answered`
            if self._asking is not None and now < self._next - INTERVAL + NO_ANSWER:
                return
        if self._position is None or now < self._next:
            return
        if self._position != self._committed or now >= self._next + REPEAT - INTERVAL:
            self._commit(self._position)

    def commit_last(self) -> None:
        """Commit now what is not committed yet, and wait a little for the answer. Raises NotPermitted."""
        if self._position is not None and self._position != self._committed:
            self._commit(self._position)
            until = monotonic() + LAST_TIMEOUT
            while self._asking is not None and monotonic() < until:
                self._consumer.poll(TURN)

    def answered(self, error: KafkaError | None, places: Sequence[TopicPartition]) -> None:
        """Take note of an answer. Raises NotPermitted."""
        if self._asking == places[0].offset:
            self._asking = None
        try:
            with driver_errors(f"committing the position of group {self._group}"):
                for found in (error, *(place.error for place in places)):
                    if found is not None:
                        raise KafkaException(found)
        except (KafkaUnavailable, NotInitialised) as unavailable:  # that the topic is missing, the publisher notices
            if not self._failed:
                log.warning("relay.position.uncommitted", position=places[0].offset, **incident(unavailable))
            self._failed = True
        else:
            self._committed, self._failed = places[0].offset, False

    def _commit(self, position: int) -> None:
        places = [TopicPartition(topic, 0, position, metadata=self._metadata) for topic in self._topics]
        self._asking, self._next = position, monotonic() + INTERVAL
        self._consumer.commit(offsets=places, asynchronous=True)
