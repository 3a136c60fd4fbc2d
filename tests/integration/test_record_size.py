"""A topic that takes small records only: appends refuse what cannot pass, batches fit, and the relay names the rest."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Event, Thread

import psycopg
import pytest

from holonstream.ops.commands.init import whose
from holonstream.ops.settings import Settings
from holonstream.ops.topics import make_topics
from holonstream.producers.errors import EventTooLarge, RecordTooLarge
from holonstream.producers.log.schema import RECORD_OVERHEAD, apply_schema, store_topic_limit
from holonstream.producers.log.store import PostgresEventStore
from holonstream.producers.relay.relay import Relay
from holonstream.schemas.catalogue import Catalogue
from holonstream.testing.memory_log import MemoryEventStore
from tests.conformance.graph_store import person
from tests.support.event_log import append, envelope
from tests.support.topics import alter
from tests.support.waiting import wait_until

LIMIT = 60_000
CATALOGUE = Catalogue.load()


@pytest.fixture
def settings(kafka_bootstrap: str, topic_prefix: str) -> Settings:
    """A pipeline whose topic takes records of LIMIT bytes."""
    made = Settings(kafka_bootstrap=kafka_bootstrap, namespace=topic_prefix.rstrip("."), partitions=1)
    make_topics(made)
    alter(made, "max.message.bytes", str(LIMIT))
    return made


@pytest.fixture
def log(settings: Settings, postgres_dsn: str) -> Iterator[PostgresEventStore]:
    """The log, after `holonstream init`."""
    apply_schema(postgres_dsn, CATALOGUE)
    stored = store_topic_limit(postgres_dsn, settings.topic, make_topics(settings).record_bytes)
    assert stored == (LIMIT - RECORD_OVERHEAD, None)
    with PostgresEventStore(postgres_dsn, CATALOGUE) as store:
        yield store


def test_an_event_that_does_not_fit_is_refused_with_both_sizes(
    log: PostgresEventStore, settings: Settings, postgres_dsn: str
) -> None:
    limit = LIMIT - RECORD_OVERHEAD
    memory = MemoryEventStore(CATALOGUE, max_event_bytes=limit)
    for store in (log, memory):
        store.append([person("small", note="x" * (limit - 1_000)), person("other")])
        with pytest.raises(EventTooLarge, match=rf"PersonCreated has 5\d{{4}} bytes as JSON text, at most {limit} are"):
            store.append([person("fine"), person("large", note="x" * limit)])
    # the smallest limit of several topics counts, and a larger one than usual changes nothing
    assert store_topic_limit(postgres_dsn, "other", 50_000) == (40_000, None)
    assert store_topic_limit(postgres_dsn, "other", 10_000_000) == (limit, settings.topic)


def test_the_limit_of_a_namespace_that_is_gone_is_named_with_what_takes_it_away(
    log: PostgresEventStore, settings: Settings, postgres_dsn: str
) -> None:
    store_topic_limit(postgres_dsn, "gone.events", 30_000)
    with pytest.raises(EventTooLarge, match="at most 20000 are"):
        log.append([person("large", note="x" * 30_000)])
    limit = store_topic_limit(postgres_dsn, settings.topic, LIMIT)
    assert (limit.bytes, limit.topic) == (20_000, "gone.events")
    said = whose(limit)
    assert "topic gone.events takes no more" in said
    with psycopg.connect(postgres_dsn, autocommit=True) as owner:
        owner.execute(said.rpartition(": ")[2].encode())
    log.append([person("large", note="x" * 30_000)])
    limit = store_topic_limit(postgres_dsn, settings.topic, LIMIT)
    assert (limit.bytes, limit.topic) == (LIMIT - RECORD_OVERHEAD, None)
    assert whose(limit) == ""


def test_what_was_accepted_passes_whatever_it_holds(
    log: PostgresEventStore, settings: Settings, postgres_dsn: str
) -> None:
    """Events as large as may be, incompressible or of characters that JSON escapes, together in large batches."""
    limit = LIMIT - RECORD_OVERHEAD
    with psycopg.connect(postgres_dsn, autocommit=True) as connection:
        for name in ("x" * 1000, "\x01" * 1000, '"' * 1000):
            for character in ("x", '"', "\x01", "é"):
                append_largest(connection, name, character, limit)
    relay = Relay(postgres_dsn, settings.kafka_bootstrap, namespace=settings.namespace, compression="none")
    stop = Event()
    running = Thread(target=relay.run, args=[stop])
    running.start()
    try:
        wait_until(lambda: relay.progress.now.position == log.head() or not running.is_alive(), "all is relayed", 120)
        assert relay.progress.now.position == log.head()
    finally:
        stop.set()
        running.join()


def append_largest(connection: psycopg.Connection[object], name: str, character: str, limit: int) -> None:
    """Append the largest event of a kind that the log takes."""
    taken, refused = 1, limit
    while refused - taken > 1:
        count = (taken + refused) // 2
        try:
            append(connection, [envelope(name, payload={"name": "x", "note": character * count})])
            taken = count
        except psycopg.DatabaseError as error:
            if error.sqlstate != "HS005":
                raise
            refused = count
    assert taken > limit / 10


def test_a_relay_that_meets_a_larger_event_names_it(
    log: PostgresEventStore, settings: Settings, postgres_dsn: str
) -> None:
    _, large = log.append([person("small"), person("large", note="x" * 40_000)])
    alter(settings, "max.message.bytes", "30000")
    relay = Relay(postgres_dsn, settings.kafka_bootstrap, namespace=settings.namespace)
    with pytest.raises(RecordTooLarge) as refused:
        relay.run(Event())
    assert (refused.value.position, refused.value.stream) == (large.position, "holon/large")
    assert refused.value.size > 40_000
    assert refused.value.limit == 30_000
    assert f"kafka-configs.sh --alter --topic {settings.topic} --add-config max.message.bytes=1048588" in str(
        refused.value
    )


def test_a_limit_that_is_lowered_under_a_relay_is_named_and_raised_again(
    log: PostgresEventStore, settings: Settings, postgres_dsn: str
) -> None:
    """The relay has made its producer for the limit before; the brokers refuse the batch."""
    log.append([person("first")])
    relay = Relay(postgres_dsn, settings.kafka_bootstrap, namespace=settings.namespace)
    with ThreadPoolExecutor(1) as thread:
        running = thread.submit(relay.run, stop := Event())
        try:
            assert relay.progress.wait_for(lambda now: now.relayed == 1, 120)
            alter(settings, "max.message.bytes", "30000")
            _, large = log.append([person("small"), person("large", note=os.urandom(20_000).hex())])
            with pytest.raises(RecordTooLarge) as refused:
                running.result(120)
        finally:
            stop.set()
    assert refused.value.position == large.position
    alter(settings, "max.message.bytes", "1048588")
    again = Relay(postgres_dsn, settings.kafka_bootstrap, namespace=settings.namespace)
    with ThreadPoolExecutor(1) as thread:
        running = thread.submit(again.run, stop := Event())
        try:
            assert again.progress.wait_for(lambda now: now.position == large.position, 120)
        finally:
            stop.set()
        running.result(60)
    assert again.progress.now.relayed == 2
