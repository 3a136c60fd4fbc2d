"""The first and the last event on the topic, found by reading the beginnings and ends of its partitions."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from time import monotonic

from confluent_kafka import (
    TIMESTAMP_NOT_AVAILABLE,
    Consumer,
    IsolationLevel,
    KafkaError,
    KafkaException,
    Message,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient, OffsetSpec

from holonstream.producers.errors import KafkaUnavailable
from holonstream.producers.kafka import driver_errors
from holonstream.schemas import instant, wire
from holonstream.schemas.errors import InvalidEvent, NotInitialised
from holonstream.schemas.partition import partition_of
from holonstream.schemas.wire import EventPosition

TIMEOUT = 10.0  # seconds
FIRST_STEP = 32  # offsets: a record, the marker of its transaction, and what others may have put behind it
STEP_FACTOR = 16
CLOCKS = 5.0  # seconds by which a clock may have gone wrong while these events were published
MOST_RECENT = 200_000  # offsets of all partitions that are read because they are recent
KEPT = 500  # events of a partition that are kept, and up to twice as many, of what is read because it is its end
_EVENT_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@dataclass(slots=True)
class _Tail:
    """A partition whose end is being read: [low, high) are its offsets, `start` is where reading begins."""

    low: int
    high: int
    start: int
    events: dict[int, EventPosition] = field(default_factory=dict)
    """by offset"""
    published: dict[int, float] = field(default_factory=dict)
    """by offset, of the last events: when, as the relay's clock said; seconds since 1970"""

    def forget_first(self) -> None:
        """Keep the last events only: behind much that is no event, many are read for the last one."""
        for offset in list(self.events)[:-KEPT]:
            del self.events[offset]
            self.published.pop(offset, None)
        self.start = next(iter(self.events))


def tail_events(consumer: Consumer, admin: AdminClient, topic: str) -> list[EventPosition]:
    """Where the last events on the topic are in the log, by position; none when it has no committed record.

    The last of each partition are among them, and what was published since the event with the highest position was
    recorded. If the log has that event and lacks another one, then that other one was committed later and published
    later still: a replica or a backup holds what was committed up to some moment.

    Nothing else of an event is decoded, for its payload may be unreadable. `consumer` reads committed.
    An end may hold nothing but transaction markers, aborted records and records of others that are no events, so the
    search steps back until it finds an event or the partition's beginning. What was replicated when it began is read
    to its end: a transaction of somebody else hides what lies behind it, and is waited for.
    Raises KafkaUnavailable, NotInitialised (no such topic).
    """
    with driver_errors(f"reading the end of {topic}"):
        step = FIRST_STEP
        tails = {p: tail for p, tail in _tails(consumer, admin, topic).items() if tail.high > tail.low}
        open_tails = dict(tails)
        while open_tails:
            for tail in open_tails.values():
                tail.start = max(tail.low, tail.high - step)
            _read(consumer, topic, open_tails, {p: tail.high for p, tail in open_tails.items()})
            open_tails = {p: tail for p, tail in open_tails.items() if not tail.events and tail.start > tail.low}
            step *= STEP_FACTOR
        _read_recent(consumer, topic, tails)
        return sorted((e for tail in tails.values() for e in tail.events.values()), key=lambda event: event.position)


def _read_recent(consumer: Consumer, topic: str, tails: dict[int, _Tail]) -> None:
    """Read what was published since the event with the highest position was recorded, and is not read yet."""
    since = _last_recorded(tails)
    if since is None:
        return
    asked = [TopicPartition(topic, p, max(int(since * 1000), 0)) for p in tails]
    unread: dict[int, int] = {}
    for tp in consumer.offsets_for_times(asked, TIMEOUT):
        if tp.error is not None:
            raise KafkaException(tp.error)
        tail = tails[tp.partition]
        first = max(tail.low, tail.high - MOST_RECENT // len(tails), tp.offset)
        if tp.offset >= 0 and first < tail.start:
            unread[tp.partition], tail.start = tail.start, first
    if unread:
        _read(consumer, topic, {p: tails[p] for p in unread}, unread)


def _last_recorded(tails: dict[int, _Tail]) -> float | None:
    """When the event with the highest position was recorded, by the relay's clock; None when that cannot be said.

    The clock may have been behind that of PostgreSQL, by an hour too: then events were published before they were
    recorded.
    """
    last, recorded, behind = -1, None, 0.0
    for tail in tails.values():
        for offset, event in tail.events.items():
            try:
                at = instant.parse(event.recorded_at).timestamp()
            except InvalidEvent:  # somebody else's
                at = None
            if event.position > last:
                last, recorded = event.position, at
            if at is not None and offset in tail.published:
                behind = max(behind, at - tail.published[offset])
    return None if recorded is None else recorded - behind - CLOCKS


def is_published(consumer: Consumer, topic: str, event_id: str, stream: str, recorded: float) -> bool:
    """Whether an event of the log is on the topic, among what was published since it was recorded.

    `recorded` in seconds since 1970. Looks at MOST_RECENT offsets at most. Raises KafkaUnavailable, NotInitialised.
    """

    def is_it(message: Message) -> bool:
        event = _event_in(message)
        return event is not None and event.event_id == event_id

    with driver_errors(f"looking for event {event_id} on {topic}"):
        ends = _watermarks(consumer, topic)
        partition = partition_of(stream, len(ends))
        since = TopicPartition(topic, partition, max(int((recorded - CLOCKS) * 1000), 0))
        (found,) = consumer.offsets_for_times([since], TIMEOUT)
        if found.error is not None:
            raise KafkaException(found.error)
        low, high = ends[partition]
        start = high if found.offset < 0 else max(low, found.offset)
        return bool(
            first_records(consumer, topic, {partition: start}, {partition: min(high, start + MOST_RECENT)}, is_it)
        )


def first_event(consumer: Consumer, topic: str) -> EventPosition | None:
    """Where the event with the lowest position on the topic is in the log, None when it has no committed record.

    Raises KafkaUnavailable, NotInitialised (no such topic).
    """
    with driver_errors(f"reading the beginning of {topic}"):
        unread = {p: (low, high) for p, (low, high) in _watermarks(consumer, topic).items() if high > low}
        starts, ends = {p: low for p, (low, _) in unread.items()}, {p: high for p, (_, high) in unread.items()}
        found = first_records(consumer, topic, starts, ends, lambda message: _event_in(message) is not None)
        events = (_event_in(message) for message in found.values())
        return min((event for event in events if event is not None), key=lambda event: event.position, default=None)


def first_records(
    consumer: Consumer,
    topic: str,
    starts: Mapping[int, int],
    ends: Mapping[int, int],
    wanted: Callable[[Message], bool] = lambda _: True,
) -> dict[int, Message]:
    """The first wanted record at or after an offset of each partition, where there is one before its end.

    `ends` are the last stable offsets that the brokers named: a partition without such a record is one that was read
    so far. (A broker that has just come back may show an end that is too early for a moment, and librdkafka says there
    that the partition is at its end.) Raises KafkaUnavailable when it cannot be read so far, KafkaException.
    """
    found: dict[int, Message] = {}
    unread = {p for p, start in starts.items() if start < ends[p]}
    consumer.assign([TopicPartition(topic, p, starts[p]) for p in unread])
    try:
        until = monotonic() + TIMEOUT
        while unread:
            message = consumer.poll(max(0.0, until - monotonic()))
            if message is None:
                raise KafkaUnavailable(f"Kafka unavailable: {topic} {sorted(unread)} cannot be read")
            error, partition = message.error(), message.partition()
            if error is not None and error.code() != KafkaError._PARTITION_EOF:
                if not error.retriable():
                    raise KafkaException(error)
                continue
            if partition not in unread:
                continue
            if error is None:
                until = monotonic() + TIMEOUT
                if wanted(message):
                    found[partition] = message
            if partition in found or message.offset() >= ends[partition]:
                unread.remove(partition)
                consumer.pause([TopicPartition(topic, partition)])  # else all of it is read meanwhile
        return found
    finally:
        consumer.resume([TopicPartition(topic, p) for p in starts])  # else they stay paused when read again
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


def _event_in(message: Message) -> EventPosition | None:
    """The event that a record holds; None for what the relay has not written, over which no relay is to stumble."""
    try:
        event = wire.decode_position(message.value())
    except InvalidEvent:
        return None
    written = _EVENT_ID.fullmatch(event.event_id or "") and wire.is_key(message.key(), event.stream)
    return event if written else None


def _read(consumer: Consumer, topic: str, tails: dict[int, _Tail], ends: dict[int, int]) -> None:
    """Read each partition from `start` to its end, and keep the events."""
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
                reached = message.offset() + 1
                if partition in unread:
                    until = monotonic() + TIMEOUT
                event = _event_in(message)
                if event is not None:
                    tails[partition].events[message.offset()] = event
                    kind, milliseconds = message.timestamp()
                    # Not of what is read because it is recent: that may be much.
                    if ends[partition] == tails[partition].high:
                        if kind != TIMESTAMP_NOT_AVAILABLE:
                            tails[partition].published[message.offset()] = milliseconds / 1000
                        if len(tails[partition].events) >= 2 * KEPT:
                            tails[partition].forget_first()
            elif error.code() != KafkaError._PARTITION_EOF:
                if not error.retriable():
                    raise KafkaException(error)
                continue
            if reached >= ends[partition]:
                unread.discard(partition)
    finally:
        consumer.unassign()
