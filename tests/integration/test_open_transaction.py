"""A transaction of another program that is open on the topic: `status` and exporter say so, and what ends it."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from confluent_kafka import Producer

from holonstream.ops.kafka import client
from holonstream.ops.observe.exporter import Exporter
from holonstream.ops.pipeline import topic_report
from holonstream.ops.settings import Settings
from holonstream.ops.status import LONG_OPEN, WATCHED, TopicStatus
from holonstream.ops.topics import make_topics
from tests.support.waiting import wait_until

AGE = 90  # seconds


@pytest.fixture
def settings(kafka_bootstrap: str, topic_prefix: str) -> Settings:
    made = Settings(kafka_bootstrap=kafka_bootstrap, namespace=topic_prefix.rstrip("."), partitions=2)
    make_topics(made)
    return made


@pytest.fixture
def topic(settings: Settings) -> Iterator[TopicStatus]:
    with TopicStatus(client(settings), settings.topic) as status:
        yield status


def exported(settings: Settings) -> float:
    """What a poll of the exporter has for its metric of open transactions."""
    exporter = Exporter(settings)
    try:
        exporter._relayed()
        return exporter._topic_report().open_seconds
    finally:
        exporter._leave_topic()


def test_an_open_transaction_is_lag_and_named_with_what_ends_it(settings: Settings, topic: TopicStatus) -> None:
    relay, group = settings.group("relay"), settings.group("graph")
    rogue = Producer({"bootstrap.servers": settings.kafka_bootstrap, "transactional.id": f"{settings.namespace}.rogue"})
    rogue.init_transactions(60)
    rogue.begin_transaction()
    rogue.produce(settings.topic, b"before", b"k", partition=1)
    rogue.commit_transaction(60)
    wait_until(lambda: topic.ends()[1] == 2, "the first transaction is readable")
    assert topic.open_transactions(relay) == []
    rogue.begin_transaction()
    began = int((time.time() - AGE) * 1000)
    for _ in range(3):
        rogue.produce(settings.topic, b"x", b"k", partition=1, timestamp=began)
    rogue.flush(60)
    (opened,) = topic.open_transactions(relay)
    assert (opened.partition, opened.offset, opened.end) == (1, 2, 5)
    assert AGE <= opened.seconds < AGE + 600
    high = topic.high_watermarks()
    assert topic.ends() == {0: 0, 1: 2}
    assert high == {0: 0, 1: 5}
    assert [p.lag for p in topic.group(group, high).partitions] == [0, 5]
    report = topic_report(settings, topic, compares=False)
    (problem,) = report.problems
    assert f"{settings.topic}[1]: a transaction is open for " in problem
    assert report.open_seconds >= AGE
    assert exported(settings) >= AGE
    place = f"--topic {settings.topic} --partition 1"
    tool = f"kafka-transactions.sh --bootstrap-server {settings.kafka_bootstrap}"
    for typed in (f"`{tool} describe-producers {place}`", f"`{tool} abort {place} --start-offset 2`"):
        assert typed in problem
    rogue.abort_transaction(60)
    wait_until(lambda: topic.open_transactions(relay) == [], "it is aborted")
    assert topic_report(settings, topic, compares=False).problems == []
    assert exported(settings) == 0.0


def test_an_open_transaction_whose_records_are_of_the_future_is_named(settings: Settings, topic: TopicStatus) -> None:
    relay = settings.group("relay")
    rogue = Producer({"bootstrap.servers": settings.kafka_bootstrap, "transactional.id": f"{settings.namespace}.rogue"})
    rogue.init_transactions(60)
    rogue.begin_transaction()
    for partition in range(2):
        rogue.produce(settings.topic, b"x", b"k", partition=partition, timestamp=int((time.time() + 1800) * 1000))
    rogue.flush(60)
    first = topic.open_transactions(relay)
    assert [(one.partition, one.is_of_the_future) for one in first] == [(0, True), (1, True)]
    assert all(WATCHED <= one.seconds < LONG_OPEN for one in first)
    report = topic_report(settings, topic, compares=False)
    assert [problem.partition(" (")[0] for problem in report.problems] == [
        f"{settings.topic}[{p}]: a transaction is open with records of the future, and readers wait at offset 0 of 1"
        for p in range(2)
    ]
    assert report.open_seconds > first[0].seconds
    rogue.abort_transaction(60)
