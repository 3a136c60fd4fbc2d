"""The first and the last event on the topic, found by reading the beginnings and ends of its partitions."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from time import monotonic

from confluent_kafka import Consumer, IsolationLevel, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

from holonstream.producers.errors import KafkaUnavailable
from holonstream.producers.kafka import driver_errors
from holonstream.schemas import wire
from holonstream.schemas.errors import InvalidEvent, NotInitialised
from holonstream.schemas.wire import EventPosition

TIMEOUT = 10.0  # seconds
FIRST_STEP = 32  # offsets: a record, the marker of its transaction, and what others may have put behind it
STEP_FACTOR = 16


@dataclass(slots=True)
class _Tail:
    """A partition whose end is being read: [low, high) are its offsets, `start` is where reading begins."""

    low: int
    high: int
    start: int
    event: EventPosition | None = None


def last_event(consumer: Consumer, admin: AdminClient, topic: str) -> EventPosition | None:
    """Where the event with the highest position on the topic is in the log, None when it has no committed record.

    Nothing else of it is decoded, for its payload may be unreadable. `consumer` reads committed.
    An end may hold nothing but transaction markers, aborted records and records of others that are no events, so the
    search steps back until it finds an event or the partition's beginning. What was replicated when it began is read
    to its end: a transaction of somebody else hides what lies behind it, and is waited for.
    Raises KafkaUnavailable, NotInitialised (no such topic).
    """
    with driver_errors(f"reading the end of {topic}"):
        step = FIRST_STEP
        open_tails = {p: tail for p, tail in _tails(consumer, admin, topic).items() if tail.high > tail.low}
        last: EventPosition | None = None
        while open_tails:
            for tail in open_tails.values():
                tail.start = max(tail.low, tail.high - step)
            _read_to_end(consumer, topic, open_tails)
            last = _later(last, *(tail.event for tail in open_tails.values()))
            open_tails = {p: tail for p, tail in open_tails.items() if tail.event is None and tail.start > tail.low}
            step *= STEP_FACTOR
        return last


def _later(*events: EventPosition | None) -> EventPosition | None:
    """The event with the highest position."""
    return max((event for event in events if event is not None), key=lambda event: event.position, default=None)


def first_event(consumer: Consumer, topic: str) -> EventPosition | None:
    """Where the event with the lowest position on the topic is in the log, None when it has no committed record.

    Raises KafkaUnavailable, NotInitialised (no such topic).
    """
    with driver_errors(f"reading the beginning of {topic}"):
        unread = {p: low for p, (low, high) in _watermarks(consumer, topic).items() if high > low}
        found: list[EventPosition] = []
        while unread:
            consumer.assign([TopicPartition(topic, p, low) for p, low in unread.items()])
            partition, event = _next_event(consumer, topic, unread)
            unread.pop(partition)
            found += [event] if event is not None else []
        return min(found, key=lambda event: event.position, default=None)


def _next_event(consumer: Consumer, topic: str, unread: dict[int, int]) -> tuple[int, EventPosition | None]:
    """The next event of any partition that is read, None when its partition has no more."""
    try:
        while True:
            message = consumer.poll(TIMEOUT)
            if message is None:
                raise KafkaUnavailable(f"Kafka unavailable: the beginning of {topic} {sorted(unread)} cannot be read")
            error = message.error()
            if error is None:
                with suppress(InvalidEvent):  # somebody else's
                    event = wire.decode_position(message.value())
                    if event.event_id is not None:
                        return message.partition(), event
            elif error.code() == KafkaError._PARTITION_EOF:
                return message.partition(), None
            elif not error.retriable():
                raise KafkaException(error)
    finally:
        consumer.unassign()


def _watermarks(consumer: Consumer, topic: str) -> dict[int, tuple[int, int]]:
    metadata = consumer.list_topics(topic, TIMEOUT).topics[topic]
    if metadata.error is not None:
        raise KafkaException(metadata.error)
    if not metadata.partitions:
        raise NotInitialised(f"Topic {topic} is missing: run `holonstream init`")
    return {p: consumer.get_watermark_offsets(TopicPartition(topic, p), TIMEOUT) for p in metadata.partitions}


def _tails(consumer: Consumer, admin: AdminClient, topic: str) -> dict[int, _Tail]:
    """The partitions, up to what is replicated of them, whether committed or not."""
    lows = {p: low for p, (low, _) in _watermarks(consumer, topic).items()}
    latest = {TopicPartition(topic, p): OffsetSpec.latest() for p in lows}
    asked = admin.list_offsets(latest, isolation_level=IsolationLevel.READ_UNCOMMITTED, request_timeout=TIMEOUT)
    highs = {tp.partition: future.result(TIMEOUT).offset for tp, future in asked.items()}
    return {p: _Tail(low, highs[p], highs[p]) for p, low in lows.items()}


def _read_to_end(consumer: Consumer, topic: str, tails: dict[int, _Tail]) -> None:
    """Read each partition from `start` to `high`, keeping the event with the highest position."""
    consumer.assign([TopicPartition(topic, p, tail.start) for p, tail in tails.items()])
    try:
        unread = set(tails)
        until = monotonic() + TIMEOUT
        while unread:
            message = consumer.poll(max(0.0, until - monotonic()))
            if message is None:
                raise KafkaUnavailable(
                    f"Kafka unavailable: the end of {topic} {sorted(unread)} cannot be read; if its brokers are up, "
                    "another program has a transaction open on it"
                )
            partition, error, reached = message.partition(), message.error(), message.offset()
            if error is None:
                tail, reached = tails[partition], message.offset() + 1
                if partition in unread:
                    until = monotonic() + TIMEOUT
                with suppress(InvalidEvent):  # somebody else's, which no relay is to stumble over
                    event = wire.decode_position(message.value())
                    if event.event_id is not None:
                        tail.event = _later(tail.event, event)
            elif error.code() != KafkaError._PARTITION_EOF:
                if not error.retriable():
                    raise KafkaException(error)
                continue
            if reached >= tails[partition].high:
                unread.discard(partition)
    finally:
        consumer.unassign()
