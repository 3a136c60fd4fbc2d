"""Making the topic again, on real servers: what is refused, what stays, and what an interruption leaves."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest
from confluent_kafka import Consumer
from confluent_kafka.admin import AdminClient
from msgspec.structs import replace

from holonstream.ops.kafka import client
from holonstream.ops.replay import topic
from holonstream.ops.settings import Settings
from holonstream.ops.topics import EventTopic, make_topics
from holonstream.producers.errors import ProducerFenced, RelayLeads
from holonstream.producers.kafka import topic_config
from holonstream.producers.log.batches import EventBatch
from holonstream.producers.log.schema import apply_schema
from holonstream.producers.log.store import PostgresEventStore
from holonstream.producers.relay.publisher import Publisher
from holonstream.producers.relay.relay import Relay
from holonstream.schemas.catalogue import Catalogue
from holonstream.schemas.errors import NotInitialised, TopicReplaced
from tests.support.event_log import person
from tests.support.waiting import wait_until

CATALOGUE = Catalogue.load()
EVENTS = 20


@pytest.fixture
def settings(postgres_dsn: str, kafka_bootstrap: str, topic_prefix: str) -> Settings:
    """Of a log with events, and a topic with other settings than usual that is empty."""
    made = Settings.of(
        {
            "HOLONSTREAM_POSTGRES_DSN": postgres_dsn,
            "HOLONSTREAM_KAFKA_BOOTSTRAP": kafka_bootstrap,
            "HOLONSTREAM_NAMESPACE": topic_prefix.rstrip("."),
            "HOLONSTREAM_PARTITIONS": "3",
        }
    )
    apply_schema(postgres_dsn, CATALOGUE)
    make_topics(made, {"max.message.bytes": "900000"})
    with PostgresEventStore(postgres_dsn, CATALOGUE) as store:
        store.append([person(f"p-{n}") for n in range(EVENTS)])
    return made


def again(settings: Settings) -> EventTopic:
    with topic.prepared(settings) as (_, perform):
        return perform()


@contextmanager
def relaying(settings: Settings) -> Iterator[Relay]:
    """A relay that has published the log."""
    relay, stop = Relay(settings.log_dsn, settings.kafka_bootstrap, namespace=settings.namespace), threading.Event()
    with ThreadPoolExecutor(1) as thread:
        running = thread.submit(relay.run, stop)
        try:
            wait_until(lambda: running.done() or relay.progress.now.state == "leader", "the relay leads or ends")
            if running.done():
                running.result()  # raises
            assert relay.progress.wait_for(lambda now: 0 < now.head <= now.position, 120), relay.progress.now
            yield relay
        finally:
            stop.set()
        running.result(60)


def test_the_new_topic_has_the_same_partitions_and_settings_and_gets_the_whole_log(settings: Settings) -> None:
    with relaying(settings) as relay:
        with pytest.raises(RelayLeads, match="A relay leads"):
            again(settings)
        assert relay.progress.now.relayed == EVENTS
    made = again(Settings.of({**environment(settings), "HOLONSTREAM_PARTITIONS": "7"}))
    assert made.partitions == 3
    assert topic_config(AdminClient(client(settings)), settings.topic)["max.message.bytes"] == "900000"
    with relaying(settings) as relay:
        assert relay.progress.now.relayed == EVENTS
    with relaying(settings) as relay:
        assert relay.progress.now.relayed == 0


def environment(settings: Settings) -> dict[str, str]:
    return {
        "HOLONSTREAM_POSTGRES_DSN": settings.log_dsn,
        "HOLONSTREAM_KAFKA_BOOTSTRAP": settings.kafka_bootstrap,
        "HOLONSTREAM_NAMESPACE": settings.namespace,
    }


def test_a_relay_that_has_lost_its_lock_without_noticing_cannot_write_to_the_new_topic(settings: Settings) -> None:
    group = settings.group("relay")
    names = (settings.kafka_bootstrap, settings.topic, settings.dead_letter_topic)
    zombie = Publisher(*names, group=group, compression="none", config={})
    zombie.open()
    again(settings)
    with pytest.raises(ProducerFenced):
        zombie.publish(EventBatch([(1, b"holon/p-1", b"{}")], 2))
    zombie.close()
    with relaying(settings) as relay:
        assert relay.progress.now.relayed == EVENTS


def test_the_start_waits_for_brokers_that_have_not_heard_of_the_new_topic_yet(settings: Settings) -> None:
    """As one of three does while the others have made it: for a moment the topic is missing, or is the old one."""
    with topic.prepared(settings) as (old, _), ThreadPoolExecutor(1) as thread:
        started = thread.submit(topic.start_at_zero, settings, old.id)
        admin = AdminClient(client(settings))
        admin.delete_topics([settings.topic])[settings.topic].result(30)
        assert not started.done()
        wait_until(lambda: make_topics(settings).id != old.id, "the topic is made again")
        started.result(60)
    with relaying(settings) as relay:
        assert relay.progress.now.relayed == EVENTS


def test_an_interruption_leaves_a_topic_on_which_no_relay_starts(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    with relaying(settings):
        pass

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    for step, refusal in (("_make", NotInitialised), ("start_at_zero", TopicReplaced)):
        with monkeypatch.context() as patch:
            patch.setattr(topic, step, interrupted)
            with pytest.raises(KeyboardInterrupt):
                again(settings)
        with pytest.raises(refusal), relaying(settings):
            pass
    again(settings)
    with relaying(settings) as relay:
        assert relay.progress.now.relayed == EVENTS


def test_others_that_read_the_topic_are_named_and_workers_are_refused(settings: Settings) -> None:
    audit = f"audit-{settings.namespace}"
    for group, named in ((audit, True), (settings.group("graph"), False)):
        consumer = Consumer({**client(settings), "group.id": group, "auto.offset.reset": "earliest"})
        consumer.subscribe([settings.topic])
        wait_until(lambda c=consumer: c.poll(0.1) or c.assignment(), f"{group} has partitions")  # type: ignore[misc]
        if named:
            with topic.prepared(settings) as (old, _):
                assert f"{audit} (1 members)" in old.sentence()
        else:
            with pytest.raises(topic.TopicRead, match=rf"{group}: rdkafka"), topic.prepared(settings):
                pass
        consumer.close()


def test_workers_of_a_pipeline_whose_namespace_begins_with_ours_are_no_readers(settings: Settings) -> None:
    other = replace(settings, namespace=f"{settings.namespace}-b")
    make_topics(other)
    admin = AdminClient(client(other))
    consumer = Consumer({**client(other), "group.id": other.group("graph"), "auto.offset.reset": "earliest"})
    try:
        consumer.subscribe([other.topic])
        wait_until(lambda: consumer.poll(0.1) or consumer.assignment(), "the other pipeline's worker has partitions")
        with topic.prepared(settings) as (old, _):
            assert "also read" not in old.sentence()
    finally:
        consumer.close()
        for deleted in admin.delete_topics([other.topic, other.dead_letter_topic]).values():
            deleted.result()
