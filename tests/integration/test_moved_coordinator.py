"""A group's coordinator moves to another broker, as after a rolling restart: all go on who had asked the one before."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial

import pytest
from confluent_kafka import Consumer, ElectionType, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient

from holonstream.local.temporary import temporary_stack
from holonstream.ops import wiring
from holonstream.ops.kafka import client
from holonstream.ops.settings import Settings
from holonstream.ops.status import TopicStatus
from holonstream.ops.topics import make_topics
from holonstream.producers.log.schema import apply_schema
from holonstream.producers.log.store import PostgresEventStore
from holonstream.schemas.catalogue import Catalogue
from tests.support.event_log import person
from tests.support.waiting import wait_until

pytestmark = pytest.mark.faults

OFFSETS = "__consumer_offsets"
NAMES = {1: "kafka", 2: "kafka-2", 3: "kafka-3"}
DEADLINE = 60.0  # seconds


class Coordinators:
    """Kafka's topic of offsets, whose leaders are the groups' coordinators."""

    def __init__(self, settings: Settings) -> None:
        self._admin = AdminClient(client(settings))

    def leaders(self) -> dict[int, int]:
        partitions = self._admin.list_topics(OFFSETS, timeout=10).topics[OFFSETS].partitions
        return {number: partition.leader for number, partition in partitions.items()}

    def are_others_than(self, broker: int) -> bool:
        return broker not in self.leaders().values()

    def in_step(self) -> bool:
        partitions = self._admin.list_topics(OFFSETS, timeout=10).topics[OFFSETS].partitions.values()
        return all(len(partition.isrs) == len(NAMES) for partition in partitions)

    def go_back(self) -> None:
        """Elect the preferred leaders, as a controller does every five minutes."""
        wanted = [TopicPartition(OFFSETS, number) for number in self.leaders()]
        answers = self._admin.elect_leaders(ElectionType.PREFERRED, wanted).result(30)
        assert any(error is None for error in answers.values()), "none had to move"


@contextmanager
def relaying(settings: Settings) -> Iterator[None]:
    stop = threading.Event()
    with ThreadPoolExecutor(1) as thread:
        running = thread.submit(wiring.relay(settings).run, stop)
        try:
            yield
        finally:
            stop.set()
        running.result(60)


def commit(settings: Settings, group: str, offset: int) -> None:
    consumer = Consumer({**client(settings), "group.id": group, "enable.auto.commit": False})
    try:
        places = [TopicPartition(settings.topic, 0, offset, metadata="7")]
        wait_until(lambda: _committed(consumer, places), "the group has committed", DEADLINE)
    finally:
        consumer.close()


def _committed(consumer: Consumer, places: list[TopicPartition]) -> bool:
    try:
        return all(done.error is None for done in consumer.commit(offsets=places, asynchronous=False))
    except KafkaException as error:
        if not error.args[0].retriable() and "COORDINATOR" not in error.args[0].name():
            raise
        return False


def _has_committed(status: TopicStatus, relay: str, position: int) -> bool:
    return status.relayed(relay) == position


def test_status_and_relay_go_on_after_every_coordinator_has_moved_twice() -> None:
    with temporary_stack(services=["postgres", "kafka"], brokers=3) as stack:
        settings = Settings.of({**stack.env(), "HOLONSTREAM_NAMESPACE": "moved", "HOLONSTREAM_PARTITIONS": "2"})
        apply_schema(settings.log_dsn, Catalogue.load())
        make_topics(settings)
        group, relay = settings.group("graph"), settings.group("relay")
        commit(settings, group, 1)
        coordinators = Coordinators(settings)
        with (
            relaying(settings),
            PostgresEventStore(settings.log_dsn, Catalogue.load()) as log,
            TopicStatus(client(settings), settings.topic) as status,
        ):
            reached = log.append([person("p-1")])[-1].position
            wait_until(partial(_has_committed, status, relay, reached), "the first event is published", DEADLINE)
            assert status.group(group, {0: 2}).partitions[0].offset == 1

            for broker, name in NAMES.items():  # each in turn: its partitions go to the others, and come back
                stack.stop(name)
                wait_until(partial(coordinators.are_others_than, broker), "others lead", DEADLINE)
                assert status.group(group, {0: 2}).partitions[0].offset == 1
                stack.start(name)
                wait_until(coordinators.in_step, "all brokers are in step", DEADLINE)
                coordinators.go_back()
                assert status.group(group, {0: 2}).partitions[0].offset == 1
                assert not status.has_members(group)
                reached = log.append([person(f"p-{name}")])[-1].position
                wait_until(partial(_has_committed, status, relay, reached), "the position is committed", DEADLINE)
