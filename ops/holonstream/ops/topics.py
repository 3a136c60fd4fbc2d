"""The topics, as `init` makes them."""

from __future__ import annotations

from threading import Event
from time import monotonic

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient, NewTopic

from holonstream.ops.kafka import TIMEOUT, answered, client
from holonstream.ops.settings import Settings

FOR_EVER = "-1"


def make_topics(settings: Settings) -> int:
    """Make the topics that are missing; returns how many partitions the topic of events has.

    Raises KafkaUnavailable.
    """
    admin = AdminClient(client(settings))
    wanted = [
        NewTopic(
            settings.topic,
            settings.partitions,
            settings.replication,
            # every view can be replayed from offset zero
            config={"cleanup.policy": "delete", "retention.ms": FOR_EVER, "retention.bytes": FOR_EVER},
        ),
        NewTopic(settings.dead_letter_topic, 1, settings.replication, config={"retention.ms": FOR_EVER}),
    ]
    with answered():
        for future in admin.create_topics(wanted, request_timeout=TIMEOUT).values():
            try:
                future.result(TIMEOUT)
            except KafkaException as error:
                if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                    raise
        return _partitions(admin, settings.topic)


def _partitions(admin: AdminClient, topic: str) -> int:
    """How many partitions a topic has; a broker shows none for a moment after it has made them."""
    until = monotonic() + TIMEOUT
    pause = Event()
    while monotonic() < until:
        found = admin.list_topics(topic, timeout=TIMEOUT).topics.get(topic)
        if found is not None and found.error is None and found.partitions:
            return len(found.partitions)
        pause.wait(0.1)
    raise TimeoutError(f"topic {topic} has no partitions after {TIMEOUT:g} s")
