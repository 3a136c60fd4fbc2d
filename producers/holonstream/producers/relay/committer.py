"""The position that the relay commits for its consumer group: for tools that show it, and against an emptied topic.

What is published, the topic itself says (`producers.relay.topic_tail`). The committed position follows it: it is
committed after the transaction whose last event it names, once in a while and by nobody who waits. So it is at most
what the topic holds, unless the topic lost something. A leader that is late may set it back; the present one repeats
it.

It is the offset of partition 0 of the topic. Deleting the topic deletes that, so the same is committed for partition 0
of a second topic, the witness. With it, a topic that was made again is not taken for one that nobody has published to.
Each carries the id that Kafka gave to the topic, since a relay may publish to the new topic before it notices.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from time import monotonic
from typing import Any

import structlog
from confluent_kafka import ConsumerGroupTopicPartitions, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient

from holonstream.producers.errors import KafkaUnavailable
from holonstream.producers.kafka import TopicIdentity, driver_errors
from holonstream.schemas.errors import NotInitialised
from holonstream.schemas.incident import incident
from holonstream.schemas.offset_metadata import OffsetMetadata

log = structlog.get_logger(__name__)

INTERVAL = 1.0  # seconds between two commits of a position that rises
REPEAT = 10.0  # seconds until one that stays is committed again
NO_ANSWER = 10.0  # seconds until an answer counts as lost
LAST_TIMEOUT = 2.0  # seconds for the last one of a relay that ends


class PositionCommitter:
    """Commits the position that `reached` was given last, whenever `commit_if_due` finds that it is time.

    `connect` makes a client. After a failure another one is made: that of a coordinator that has come back may continue
    without an answer for ever.
    """

    def __init__(
        self, connect: Callable[[], AdminClient], group: str, topic: str, witness: str, identity: TopicIdentity
    ) -> None:
        self._connect, self._admin = connect, connect()
        self._group, self._topics = group, (topic, witness)
        self._metadata = OffsetMetadata(None, *identity).text()
        self._position: int | None = None
        self._asked: Future[Any] | None = None
        self._asking = 0
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
        if self._asked is not None:
            if not self._asked.done() and monotonic() < self._next - INTERVAL + NO_ANSWER:
                return
            self._evaluate(self._asked, 0.0)
        now = monotonic()
        if self._position is None or now < self._next:
            return
        if self._position != self._committed or now >= self._next + REPEAT - INTERVAL:
            self._commit(self._position)

    def commit_last(self) -> None:
        """Commit now what is not committed yet, and wait a little for the answer. Raises NotPermitted."""
        if self._asked is not None:  # an earlier one must not come later
            self._evaluate(self._asked, LAST_TIMEOUT)
        if self._position is not None and self._position != self._committed:
            self._evaluate(self._commit(self._position), LAST_TIMEOUT)

    def _commit(self, position: int) -> Future[Any]:
        places = [TopicPartition(topic, 0, position, metadata=self._metadata) for topic in self._topics]
        asked = self._admin.alter_consumer_group_offsets([ConsumerGroupTopicPartitions(self._group, places)])
        self._asked, self._asking, self._next = asked[self._group], position, monotonic() + INTERVAL
        return self._asked

    def _evaluate(self, asked: Future[Any], timeout: float) -> None:
        self._asked = None
        try:
            with driver_errors(f"committing the position of group {self._group}"):
                for place in asked.result(timeout).topic_partitions:
                    if place.error is not None:
                        raise KafkaException(place.error)
        except (KafkaUnavailable, NotInitialised) as error:  # that the topic is missing, the publisher notices
            if not self._failed:
                log.warning("relay.position.uncommitted", position=self._asking, **incident(error))
            self._failed = True
            self._admin = self._connect()
        else:
            self._committed, self._failed = self._asking, False
