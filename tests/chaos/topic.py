"""The topic as a read-committed consumer sees it, followed during the run and checked record by record."""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from hashlib import blake2b
from time import monotonic
from typing import Any

import msgspec
from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from tests.chaos.thread import BackgroundThread
from tests.chaos.violations import Violations

CONNECTED = 20.0  # seconds for which a consumer is used: one whose broker was away may never fetch again
GARBAGE = b"garbage-"  # the beginning of the keys of records that the harness puts on the topic


class SeenRecord(msgspec.Struct, frozen=True, gc=False):
    """What is kept of a record."""

    stream: str
    version: int
    position: int
    digest: bytes


class _Attributes(msgspec.Struct, frozen=True):
    id: str
    subject: str
    sequence: str
    streamversion: str


_decode = msgspec.json.Decoder(_Attributes).decode


def digest(value: bytes) -> bytes:
    """The same for equal texts, and short."""
    return blake2b(value, digest_size=8).digest()


class TopicObserver(BackgroundThread):
    """Follows all partitions from their beginning. `seen` is by event id.

    Checks at each record that an event comes once, that positions rise within a partition, and that a stream's versions
    come as 1, 2, 3 ... from one partition.
    """

    def __init__(self, bootstrap: str, topic: str, partitions: int, violations: Violations) -> None:
        super().__init__("topic-observer")
        self._bootstrap, self._topic, self._partitions = bootstrap, topic, partitions
        self._violations = violations
        self.seen: dict[str, SeenRecord] = {}
        self.garbage: set[tuple[int, int]] = set()
        """partition and offset of undecodable records"""
        self.last_offset: dict[int, int] = {}
        self.last_position: dict[int, int] = {}
        self._places: defaultdict[int, tuple[list[int], list[int]]] = defaultdict(lambda: ([], []))
        """per partition, the positions that were seen, and their offsets"""
        self._versions: dict[str, int] = {}
        self._positions: defaultdict[str, list[int]] = defaultdict(list)
        self._home: dict[str, int] = {}

    def changed_between(self, stream: str, after: int, until: int) -> int | None:
        """The first position of a stream in (after, until], as far as it was seen."""
        positions = self._positions.get(stream, [])
        index = bisect_left(positions, after + 1)
        return positions[index] if index < len(positions) and positions[index] <= until else None

    def offset_of(self, partition: int, position: int) -> int | None:
        """The offset of the event at a log position; None when it was not seen."""
        positions, offsets = self._places[partition]
        index = bisect_left(positions, position)
        return offsets[index] if index < len(positions) and positions[index] == position else None

    def catch_up(self, ends: dict[int, int], deadline: float) -> bool:
        """Wait until every event below these log positions of the partitions was seen."""
        until = monotonic() + deadline
        while any(self.last_position.get(partition, 0) < end for partition, end in ends.items()):
            if monotonic() > until:
                return False
            self._stop.wait(0.05)
        return True

    def _main(self) -> None:
        while not self._stop.is_set():
            self._follow(monotonic() + CONNECTED)

    def _follow(self, until: float) -> None:
        consumer = Consumer(
            {
                "bootstrap.servers": self._bootstrap,
                "group.id": "chaos-observer",
                "isolation.level": "read_committed",
                "enable.auto.commit": False,
                "auto.offset.reset": "error",
                "fetch.wait.max.ms": 50,
                "log_level": 0,
                "reconnect.backoff.max.ms": 500,
            }
        )
        self._assign(consumer)
        try:
            while not self._stop.is_set() and monotonic() < until:
                for message in consumer.consume(500, 0.1):
                    error = message.error()
                    if error is None:
                        self._take(message.partition(), message.offset(), message.key(), message.value())
                    elif error.code() == KafkaError._AUTO_OFFSET_RESET:
                        self._assign(consumer)  # brokers that have just come back may not know their own ends
                        break
                    elif not error.retriable() and error.code() >= 0:
                        self._violations.add("the topic cannot be read", error=str(KafkaException(error)))
        finally:
            consumer.close()

    def _assign(self, consumer: Consumer) -> None:
        """Continue after the last record seen."""
        places = {p: self.last_offset.get(p, -1) + 1 for p in range(self._partitions)}
        consumer.assign([TopicPartition(self._topic, p, offset) for p, offset in places.items()])

    def _take(self, partition: int, offset: int, key: bytes | None, value: bytes | None) -> None:
        last_offset = self.last_offset.get(partition, -1)
        if offset <= last_offset:
            self._violations.add("an offset came twice", partition=partition, offset=offset, last=last_offset)
        self.last_offset[partition] = offset
        if key is not None and key.startswith(GARBAGE):
            self.garbage.add((partition, offset))
            return
        where: dict[str, Any] = {"partition": partition, "offset": offset}
        try:
            place = _decode(value or b"")
            position, number = int(place.sequence), int(place.streamversion)
        except (msgspec.DecodeError, ValueError) as error:
            self._violations.add("a record is no event", **where, error=str(error), value=repr(value)[:500])
            return
        where |= {"stream": place.subject, "version": number, "position": position}
        if (key or b"").decode() != place.subject:
            self._violations.add("a record's key is not its stream", **where, key=repr(key))
        if place.id in self.seen:
            self._violations.add("an event twice on the topic", id=place.id, **where, first=repr(self.seen[place.id]))
            return
        last = self.last_position.get(partition, 0)
        if position <= last:
            self._violations.add("positions fall within a partition", **where, before=last)
        else:
            self._places[partition][1].append(offset)  # first, since other threads search the positions
            self._places[partition][0].append(position)
        version = self._versions.get(place.subject, 0)
        if number != version + 1:
            self._violations.add("a stream out of order", **where, before=version)
        if self._home.setdefault(place.subject, partition) != partition:
            self._violations.add("a stream in two partitions", **where, first=self._home[place.subject])
        self.last_position[partition] = max(position, last)
        self._versions[place.subject] = max(number, version)
        self._positions[place.subject].append(position)
        self.seen[place.id] = SeenRecord(place.subject, number, position, digest(value or b""))
