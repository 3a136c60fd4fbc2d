"""What the batches of a pipeline cost bare clients: the same transactions, fetches and writes, and nothing else.

A transactional producer sends what the relay would, in transactions as far apart as the relay's. One consumer writes
each poll into Neo4j by one statement, which also moves a checkpoint; another sets entries in Redis; both commit their
offsets once a second. Nothing is checked, folded or cached, no log is read, and no reader is told what it may rely on.
All clients are librdkafka and the stores' own drivers, in threads of this process.
"""

from __future__ import annotations

import os
import random
import threading
from collections.abc import Callable, Sequence
from functools import partial
from time import monotonic, sleep

import msgspec
from confluent_kafka import Consumer, Message, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic
from neo4j import GraphDatabase, Session
from redis import Redis

from benchmarks.bench import Bench, Meter
from benchmarks.graph import Log, person, promoted
from holonstream.ops.kafka import client
from holonstream.producers.relay.publisher import PRODUCER
from holonstream.testing.records import Record, records_of

TOPIC = "benchmarks.bare"
PARTITIONS = 12
HOLONS = 5_000
INTERVAL = 0.03  # seconds between the beginnings of two transactions: the relay's at 1,000 events a second
COMMIT_INTERVAL = 1.0  # seconds
WAIT = 0.1  # seconds, in which a consumer looks whether it has to stop
CLIENTS = "clients"
SERVERS = ("kafka", "neo4j", "redis")

WRITE = """
UNWIND $rows AS row
MERGE (n:Holon {_id: row._id})
SET n = row
WITH count(*) AS _
UNWIND $offsets AS row
MERGE (c:BareCheckpoint {partition: row.partition})
SET c.offset = row.offset
"""
REMOVE = "MATCH (c:BareCheckpoint) DELETE c"

Handle = Callable[[Sequence[Message]], None]


def shares(bench: Bench, rate: int, seconds: float) -> dict[str, float]:
    """Percent of a core by part, at `rate` events a second (0: all wait), after a warm-up of a third of the time."""
    settings, stop, topic = bench.settings, threading.Event(), f"{TOPIC}.{rate}"
    admin = AdminClient(client(settings))
    admin.create_topics([NewTopic(topic, PARTITIONS, 1)])[topic].result()
    records = _records(int(rate * seconds * 4 / 3))
    redis = Redis.from_url(settings.redis_url.reveal())
    with GraphDatabase.driver(settings.neo4j_uri) as driver, driver.session() as session, redis:
        ways = {"graph": partial(_into_graph, session), "cache": partial(_into_cache, redis)}
        followers = [
            threading.Thread(target=_follow, args=(bench, topic, group, handle, stop)) for group, handle in ways.items()
        ]
        for thread in followers:
            thread.start()
        try:
            producer = Producer({**client(settings), **PRODUCER, "transactional.id": TOPIC, "compression.type": "lz4"})
            producer.init_transactions(30)
            _produce(producer, topic, rate, records[: len(records) // 4], seconds / 3)
            meter = Meter({CLIENTS: [os.getpid()], **{name: [bench.server(name)] for name in SERVERS}})
            _produce(producer, topic, rate, records[len(records) // 4 :], seconds)
            return meter.shares()
        finally:
            stop.set()
            for thread in followers:
                thread.join()
            session.run(REMOVE).consume()


def _records(count: int) -> list[Record]:
    dice, log = random.Random(1), Log()
    names = [f"b-{dice.randrange(HOLONS)}" for _ in range(count)]
    return records_of(
        log.take(
            promoted(name, number) if f"holon/{name}" in log.versions else person(name, number)
            for number, name in enumerate(names)
        )
    )


def _produce(producer: Producer, topic: str, rate: int, records: Sequence[Record], seconds: float) -> None:
    """Send records in transactions that begin `INTERVAL` apart, each with those that have come by then."""
    began, sent = monotonic(), 0
    while (passed := monotonic() - began) < seconds:
        due = min(len(records), int(passed * rate))
        if due > sent:
            producer.begin_transaction()
            for record in records[sent:due]:
                producer.produce(topic, record.value, record.key)
            producer.commit_transaction(30)
            sent = due
        sleep(INTERVAL - (monotonic() - began) % INTERVAL)


def _follow(bench: Bench, topic: str, group: str, handle: Handle, stop: threading.Event) -> None:
    """Handle every poll of all partitions, until `stop` is set."""
    consumer = Consumer(
        {
            **client(bench.settings),
            "group.id": f"{topic}.{group}",
            "isolation.level": "read_committed",
            "enable.auto.commit": False,
        }
    )
    consumer.assign([TopicPartition(topic, partition, 0) for partition in range(PARTITIONS)])
    committed = monotonic()
    while not stop.is_set():
        first = consumer.poll(WAIT)
        if first is not None:
            handle([message for message in (first, *consumer.consume(5_000, 0)) if message.error() is None])
            if monotonic() > committed + COMMIT_INTERVAL:
                consumer.commit(asynchronous=True)
                committed = monotonic()
    consumer.close()


def _into_graph(session: Session, messages: Sequence[Message]) -> None:
    rows = []
    for message in messages:
        event = msgspec.json.decode(message.value() or b"")
        identifiers = {"identifiers": None}  # an object, which Neo4j does not hold
        rows.append(
            {
                "_id": event["subject"],
                "_version": event["sequence"],
                **event["data"].get("properties", event["data"]),
                **identifiers,
            }
        )
    offsets = {message.partition(): message.offset() for message in messages}
    places = [{"partition": partition, "offset": offset} for partition, offset in sorted(offsets.items())]
    session.run(WRITE, rows=sorted(rows, key=lambda row: row["_id"]), offsets=places).consume()


def _into_cache(redis: Redis, messages: Sequence[Message]) -> None:
    entries = {b"bare:" + (message.key() or b""): b"%d" % (message.offset() or 0) for message in messages}
    redis.mset(entries)
