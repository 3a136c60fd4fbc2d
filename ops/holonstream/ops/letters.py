"""The dead-letter topic, read from its first record that is still there: what was left out of any view, and why."""

from __future__ import annotations

from collections import deque
from typing import Any

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, TopicPartition

from holonstream.ops.kafka import client
from holonstream.ops.settings import Settings
from holonstream.producers.kafka import TIMEOUT, driver_errors
from holonstream.schemas import jsontext
from holonstream.schemas.errors import BadData

FIELDS = ("group", "stream", "version", "position", "partition", "offset", "reason")

Letter = dict[str, Any]


def newest_letters(settings: Settings, limit: int, view: str | None = None) -> list[Letter]:
    """The newest letters, oldest first, of one view or of all. `group` is the view's consumer group.

    Raises KafkaUnavailable, NotInitialised, NotPermitted.
    """
    topic = settings.dead_letter_topic
    group = None if view is None else settings.group(view)
    found: deque[Letter] = deque(maxlen=limit)
    with driver_errors(f"reading topic {topic}"):
        consumer = Consumer(
            {
                **client(settings),
                "group.id": settings.group("relay"),  # joined by nobody: the places are assigned here
                "enable.auto.commit": False,
                "auto.offset.reset": "error",
                "enable.partition.eof": True,
            }
        )
        try:
            listed = consumer.list_topics(topic, timeout=TIMEOUT).topics[topic]
            if listed.error is not None:
                raise KafkaException(listed.error)
            consumer.assign([TopicPartition(topic, partition, OFFSET_BEGINNING) for partition in listed.partitions])
            ends = {p: consumer.get_watermark_offsets(TopicPartition(topic, p), TIMEOUT)[1] for p in listed.partitions}
            unread = set(ends)
            while unread:
                message = consumer.poll(TIMEOUT)
                if message is None:
                    raise TimeoutError("no answer in time")
                error = message.error()
                if error is None:
                    letter = _letter(message.value())
                    if group in (None, letter["group"]):
                        found.append(letter)
                elif error.code() == KafkaError._PARTITION_EOF:
                    # A broker that has just come back may show an end that is too early for a moment.
                    if message.offset() >= ends[message.partition()]:
                        unread.discard(message.partition())
                else:
                    raise KafkaException(error)
        finally:
            consumer.close()
    return list(found)


def _letter(value: bytes | None) -> Letter:
    """A letter's fields; those of a record that no worker wrote are unknown."""
    try:
        read = jsontext.decode(value or b"")
    except BadData:
        read = None
    known = read if isinstance(read, dict) else {"reason": "no letter of a worker"}
    return {name: known.get(name) for name in FIELDS}
