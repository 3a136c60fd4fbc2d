"""Work for servers that have just started, until what a small batch needs is compiled.

Their virtual machines compile what was called some ten thousand times. A pipeline of fifty batches a second would be
slow for minutes; servers that have run for a while are not. So small batches go into the graph, and small transactions
through Kafka, one directly after the other. Nothing of it stays in the graph.
"""

from __future__ import annotations

import asyncio
import random
from collections import defaultdict
from time import monotonic
from typing import Any

from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from benchmarks.graph import CATALOGUE, Log, person, promoted
from holonstream.ops.kafka import client
from holonstream.ops.settings import Settings
from holonstream.schemas.partition import partition_of
from holonstream.sinks.base import Batch
from holonstream.sinks.graph.driver import GraphConnection
from holonstream.sinks.graph.schema import initialise
from holonstream.sinks.graph.write.sink import GraphSink
from holonstream.testing.records import Record, records_of

TOPIC = "benchmarks.warm-up"
PARTITIONS = 12
HOLONS = 3_000
SIZES = (2, 2, 20)  # events of a batch
REMOVE = "MATCH (n:Holon) WHERE n._id STARTS WITH 'warm-up-' DETACH DELETE n"
REMOVE_CHECKPOINTS = "MATCH (c:HolonstreamCheckpoint {topic: $topic}) DELETE c"


async def warm(settings: Settings, seconds: float) -> tuple[int, int]:
    """Keep Neo4j and Kafka busy for so long. Returns how many batches and how many transactions it was."""
    transactions = asyncio.create_task(asyncio.to_thread(_transactions, settings, seconds))
    return await _batches(settings, seconds), await transactions


async def _batches(settings: Settings, seconds: float) -> int:
    dice, log, count, until = random.Random(1), Log(), 0, monotonic() + seconds

    async def no_letters(letters: Any) -> None:
        raise AssertionError(f"dead letters: {letters[0]}")

    async with GraphConnection(settings.neo4j_uri) as connection:
        await initialise(connection, CATALOGUE, TOPIC, PARTITIONS)
        sink = GraphSink(connection, CATALOGUE, TOPIC, no_letters)
        offsets = [await sink.assign(TOPIC, partition, None) for partition in range(PARTITIONS)]
        while monotonic() < until:
            names = {f"warm-up-{dice.randrange(HOLONS)}" for _ in range(dice.choice(SIZES))}
            events = log.take(
                promoted(name, count) if f"holon/{name}" in log.versions else person(name, count)
                for name in sorted(names)
            )
            found: defaultdict[int, list[Record]] = defaultdict(list)
            for event, record in zip(events, records_of(events), strict=True):
                partition = partition_of(event.stream, PARTITIONS)
                found[partition].append(Record(offsets[partition], record.key, record.value))
                offsets[partition] += 1
            await sink.write_batches([Batch(TOPIC, p, records, offsets[p]) for p, records in sorted(found.items())])
            count += 1
        await connection.execute(REMOVE)
        await connection.execute(REMOVE_CHECKPOINTS, topic=TOPIC)
    return count


def _transactions(settings: Settings, seconds: float) -> int:
    dice, count, until = random.Random(1), 0, monotonic() + seconds
    admin = AdminClient(client(settings))
    for made in admin.create_topics([NewTopic(TOPIC, PARTITIONS, 1)]).values():
        made.result()
    producer = Producer({**client(settings), "transactional.id": TOPIC, "compression.type": "lz4"})
    producer.init_transactions(30)
    consumer = Consumer({**client(settings), "group.id": TOPIC, "isolation.level": "read_committed"})
    consumer.assign([TopicPartition(TOPIC, partition, 0) for partition in range(PARTITIONS)])
    while monotonic() < until:
        producer.begin_transaction()
        for _ in range(dice.choice(SIZES)):
            producer.produce(TOPIC, b"x" * 500, partition=dice.randrange(PARTITIONS))
        producer.commit_transaction(30)
        consumer.consume(100, 0)
        count += 1
    consumer.close()
    return count
