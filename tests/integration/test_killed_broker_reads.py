"""Reads of a topic whose broker is killed under them: they say so, and never take it for "nothing there"."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from threading import Barrier
from typing import Any, ClassVar

import pytest
from confluent_kafka import Consumer, Producer
from confluent_kafka.admin import AdminClient

from holonstream import local
from holonstream.ops import letters
from holonstream.ops.kafka import client
from holonstream.ops.letters import newest_letters
from holonstream.ops.settings import Settings
from holonstream.ops.status import GroupStatus, PartitionLag, TopicStatus
from holonstream.ops.topics import make_topics
from holonstream.producers.errors import KafkaUnavailable
from holonstream.producers.relay import topic_tail
from holonstream.producers.relay.topic_tail import first_event, tail_events
from tests.support.waiting import wait_until

RECORDS = 20  # on each of two partitions


class Interrupted(Consumer):  # type: ignore[misc]
    """A consumer whose broker stops when it begins to read, after it was asked what there is."""

    stop: ClassVar[Callable[[], None] | None] = None

    def assign(self, *arguments: Any) -> None:
        stop = type(self).stop
        if stop is not None:  # first, since it fetches at once
            stop()
        super().assign(*arguments)


@pytest.fixture
def settings(kafka_bootstrap: str, topic_prefix: str) -> Settings:
    made = Settings(kafka_bootstrap=kafka_bootstrap, namespace=topic_prefix.rstrip("."), partitions=2)
    make_topics(made)
    producer = Producer(client(made))
    for number in range(RECORDS):
        for partition in range(2):
            producer.produce(made.topic, _event(number), f"holon/{number}".encode(), partition=partition)
        producer.produce(made.dead_letter_topic, json.dumps({"group": "g", "offset": number}).encode(), partition=0)
    assert producer.flush(30) == 0
    return made


def _event(number: int) -> bytes:
    return json.dumps(
        {
            "specversion": "1.0",
            "id": f"00000000-0000-4000-8000-{number:012}",
            "subject": f"holon/{number}",
            "sequence": str(number + 1).rjust(20, "0"),
            "streamversion": "1",
            "recordedtime": "2026-01-01T00:00:00.000Z",
        }
    ).encode()


def _consumer(settings: Settings) -> Consumer:
    return Interrupted(
        {
            **client(settings),
            "group.id": settings.group("graph"),
            "isolation.level": "read_committed",
            "auto.offset.reset": "error",
            "enable.partition.eof": True,
        }
    )


def _handled(settings: Settings) -> GroupStatus:
    """A group that has committed everything."""
    lags = [PartitionLag(p, RECORDS, RECORDS, 0, None, 0.0) for p in range(2)]
    return GroupStatus(settings.group("graph"), "empty", [], lags)


def _compare(settings: Settings, consumer: Consumer) -> Any:
    with TopicStatus(client(settings), settings.topic) as status:
        status._members[settings.group("graph")] = consumer
        try:
            return status.compared(_handled(settings), {0: 3, 1: 3})
        finally:
            status._members.clear()  # the consumer is read with again


def _tail(settings: Settings, consumer: Consumer) -> Any:
    return [event.position for event in tail_events(consumer, AdminClient(client(settings)), settings.topic)]


READS: dict[str, Callable[[Settings, Consumer], Any]] = {
    "a graph that is compared with its group": _compare,
    "the topic's first event": lambda settings, consumer: first_event(consumer, settings.topic),
    "the topic's last events": _tail,
    "dead letters": lambda settings, _: newest_letters(settings, 1000),
}


def _check(read: str, found: Any) -> None:
    if read == "a graph that is compared with its group":
        group, problems = found
        assert [lag.offset for lag in group.partitions] == [3, 3]
        assert "GraphBehind" in problems[0]
    elif read == "dead letters":
        assert [letter["offset"] for letter in found] == list(range(RECORDS))
    elif read == "the topic's first event":
        assert found.position == 1
    else:
        assert found[-1] == RECORDS


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(letters, "Consumer", Interrupted)
    for module in (letters, topic_tail):
        monkeypatch.setattr(module, "TIMEOUT", 2.0)


@pytest.mark.faults
@pytest.mark.usefixtures("short")
def test_reads_whose_broker_is_killed_twice_are_errors_and_right_when_it_is_back(
    settings: Settings, stack: local.Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    consumers = {read: _consumer(settings) for read in READS}
    for _ in range(2):
        all_begin = Barrier(len(READS), action=lambda: stack.kill("kafka"))
        monkeypatch.setattr(Interrupted, "stop", lambda barrier=all_begin: barrier.wait(60))
        try:
            with ThreadPoolExecutor(len(READS)) as threads:
                asked = {read: threads.submit(ask, settings, consumers[read]) for read, ask in READS.items()}
            assert {read: type(future.exception()) for read, future in asked.items()} == dict.fromkeys(
                READS, KafkaUnavailable
            )
        finally:
            stack.start("kafka")
        monkeypatch.setattr(Interrupted, "stop", None)
        for read, ask in READS.items():
            _check(read, wait_until(partial(_answer, ask, settings, consumers[read]), "the broker answers"))
    for consumer in consumers.values():
        consumer.close()


def _answer(ask: Callable[[Settings, Consumer], Any], settings: Settings, consumer: Consumer) -> Any:
    try:
        return ask(settings, consumer)
    except KafkaUnavailable:
        return None
