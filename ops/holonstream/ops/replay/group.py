"""The members of a consumer group, and setting the offsets of one that has none."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from confluent_kafka import Consumer, ConsumerGroupState, KafkaException, TopicPartition

from holonstream.ops.status import Member, members_of
from holonstream.producers.kafka import Admin, answer, driver_errors, topic_id
from holonstream.schemas.offset_metadata import OffsetMetadata


def members(client: Mapping[str, Any], group: str) -> list[Member]:
    """The workers of a group. One that was killed stays a member until its session times out.

    `client` as `ops.kafka.client` makes it. Raises KafkaUnavailable, NotPermitted.
    """
    admin = Admin(client)
    with driver_errors(f"reading the members of group {group}"):
        described = admin.describe(group)
    return members_of(described)


def is_known(client: Mapping[str, Any], group: str) -> bool:
    """Whether the brokers know a group: it has workers, or had some. Raises as `members`."""
    admin = Admin(client)
    with driver_errors(f"asking for group {group}"):
        described = admin.describe(group)
    return described is not None and described.state is not ConsumerGroupState.DEAD  # as brokers before 4.0 say


def set_offsets(client: Mapping[str, Any], topic: str, group: str, offsets: Mapping[int, int]) -> None:
    """Set the offsets, by partition, of a group without members.

    Raises KafkaUnavailable, also when one has joined, and NotPermitted.
    """
    admin = Admin(client)
    consumer = Consumer({**client, "group.id": group, "enable.auto.commit": False})
    try:
        with driver_errors(f"setting the offsets of group {group} on {topic}"):
            metadata = OffsetMetadata(None, topic_id(admin.client, topic)).text()
            wanted = [TopicPartition(topic, p, offset, metadata=metadata) for p, offset in sorted(offsets.items())]
            admin.describe(group)
            answer(lambda: _commit(consumer, wanted))
    finally:
        consumer.close()


def _commit(consumer: Consumer, wanted: list[TopicPartition]) -> None:
    for done in consumer.commit(offsets=wanted, asynchronous=False):
        if done.error is not None:
            raise KafkaException(done.error)
