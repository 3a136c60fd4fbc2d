"""`holonstream init` and the topic of events on a real broker: what may lose events is refused by name."""

from __future__ import annotations

import json

import pytest
from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from holonstream.ops.kafka import client
from holonstream.ops.letters import newest_letters
from holonstream.ops.settings import Settings
from holonstream.ops.status import TopicStatus
from holonstream.ops.topics import UnsafeTopic, make_topics, unknown_topics
from holonstream.producers.errors import NotPermitted
from holonstream.producers.kafka import topic_config
from tests.support.topics import alter


@pytest.fixture
def settings(kafka_bootstrap: str, topic_prefix: str) -> Settings:
    return Settings(kafka_bootstrap=kafka_bootstrap, namespace=topic_prefix.rstrip("."), partitions=3)


def test_the_topic_that_init_makes_passes_and_keeps_its_id(settings: Settings) -> None:
    made = make_topics(settings)
    assert made.partitions == 3
    assert len(made.id) == 22
    assert make_topics(settings) == made


def test_a_broker_is_asked_whether_it_knows_the_topics(settings: Settings) -> None:
    assert unknown_topics(client(settings), settings) == [settings.topic, settings.dead_letter_topic]
    make_topics(settings)
    assert unknown_topics(client(settings), settings) == []


@pytest.mark.parametrize(
    ("name", "value", "cure"),
    [
        ("retention.ms", "604800000", "-1"),
        ("retention.bytes", "1073741824", "-1"),
        ("cleanup.policy", "compact", "delete"),
        ("cleanup.policy", "compact,delete", "delete"),
        ("unclean.leader.election.enable", "true", "false"),
        ("max.message.bytes", "19999", "1048588"),
    ],
)
def test_a_topic_that_may_lose_events_is_refused_by_the_settings_name(
    settings: Settings, name: str, value: str, cure: str
) -> None:
    make_topics(settings)
    alter(settings, name, value)
    with pytest.raises(UnsafeTopic) as refused:
        make_topics(settings)
    assert f"{name}={value}" in str(refused.value)
    assert f"--add-config {name}={cure}." in str(refused.value)
    with TopicStatus(client(settings), settings.topic) as status:
        assert status.unsafe(settings) == [f"{refused.value} (UnsafeTopic)"]
        alter(settings, name, cure)
        make_topics(settings)
        assert status.unsafe(settings) == []


def test_fewer_replicas_than_asked_for_are_refused_with_all_else_that_is_wrong(
    settings: Settings, kafka_bootstrap: str
) -> None:
    make_topics(settings)
    alter(settings, "retention.ms", "1000000")
    asked = Settings(kafka_bootstrap=kafka_bootstrap, namespace=settings.namespace, replication=3)
    with pytest.raises(UnsafeTopic) as refused:
        make_topics(asked)
    for wrong in ("retention.ms=1000000", "min.insync.replicas=1", "replicas=1 (HOLONSTREAM_REPLICATION asks for 3)"):
        assert wrong in str(refused.value)
    assert "--add-config retention.ms=-1,min.insync.replicas=2;" in str(refused.value)


def test_a_name_that_the_brokers_do_not_take_is_no_outage(settings: Settings) -> None:
    for namespace in (f"{settings.namespace}.a", f"{settings.namespace}_a"):
        named = Settings(kafka_bootstrap=settings.kafka_bootstrap, namespace=namespace)
        if namespace.endswith(".a"):
            make_topics(named)
        else:
            with pytest.raises(NotPermitted, match="collides with existing topic"):
                make_topics(named)


def test_dead_letters_are_kept_and_those_that_are_left_are_read(settings: Settings) -> None:
    make_topics(settings)
    admin, topic = AdminClient(client(settings)), settings.dead_letter_topic
    kept = topic_config(admin, topic)
    assert (kept["cleanup.policy"], kept["retention.ms"], kept["retention.bytes"]) == ("delete", "-1", "-1")
    producer = Producer(client(settings))
    for number in range(5):
        producer.produce(topic, json.dumps({"group": "g", "offset": number}).encode())
    assert producer.flush(30) == 0
    for deleted in admin.delete_records([TopicPartition(topic, 0, 3)]).values():
        deleted.result(30)
    assert [letter["offset"] for letter in newest_letters(settings, 10)] == [3, 4]
    for foreign in (b'{"group": "\xff"}', b"[" * 100_000, b"[1]", None):
        producer.produce(topic, foreign)
    assert producer.flush(30) == 0
    assert [letter["reason"] for letter in newest_letters(settings, 4)] == ["no letter of a worker"] * 4
