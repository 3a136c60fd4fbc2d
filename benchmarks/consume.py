"""Reading the topic with an agent that only counts: holonstream's transport against a stock Faust agent.

Both read the same topic from the beginning, each in a process of its own; a stock agent gets a shorter stretch, since
it is that much slower. A rate is taken from the first record to the last.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import uuid
from collections.abc import Sequence
from time import perf_counter
from typing import Any

import faust
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic

from benchmarks.bench import Bench, median
from benchmarks.figures import Figure
from holonstream.sinks.base import Batch, WriteResult
from holonstream.streams.app import GroupSettings, SinkApp

SERVERS = ("kafka",)
RECORDS = 400_000
STOCK_RECORDS = 30_000
PARTITIONS = 12
VALUE = b'{"specversion":"1.0","id":"5f2b0e5e-2b51-4d6c-9d2e-6a2d2f6f0c11","type":"PersonCreated"' + b" " * 410 + b"}"
ROUNDS = 3


def measure(bench: Bench) -> list[Figure]:
    """Records per second of both; medians of rounds in turns."""
    settings = bench.settings
    topic = f"bench-{uuid.uuid4().hex[:8]}.events"
    admin = AdminClient({"bootstrap.servers": settings.kafka_bootstrap})
    admin.create_topics([NewTopic(topic, PARTITIONS, 1)])[topic].result()
    try:
        _fill(settings.kafka_bootstrap, topic)
        rates: dict[str, list[float]] = {"ours": [], "stock": []}
        for _ in range(bench.rounds(ROUNDS)):
            for kind, records in (("ours", RECORDS), ("stock", STOCK_RECORDS)):
                rates[kind].append(_run(kind, settings.kafka_bootstrap, topic, records))
        ours, stock = median(rates["ours"]), median(rates["stock"])
    finally:
        admin.delete_topics([topic])[topic].result()
    return [
        Figure(
            path="consume, agent that only counts",
            value=ours,
            unit="events/s",
            peer="stock Faust agent",
            peer_value=stock,
            promise=">= 150,000 events/s and >= 20x",
            kept=ours >= 150_000 and ours >= 20 * stock,
            spread=(min(rates["ours"]), max(rates["ours"])),
            peer_spread=(min(rates["stock"]), max(rates["stock"])),
        )
    ]


def _fill(bootstrap: str, topic: str) -> None:
    producer = Producer({"bootstrap.servers": bootstrap, "transactional.id": topic, "compression.type": "lz4"})
    producer.init_transactions(60)
    for start in range(0, RECORDS, 10_000):
        producer.begin_transaction()
        for number in range(start, start + 10_000):
            producer.produce(topic, VALUE, partition=number % PARTITIONS)
            if number % 1000 == 0:
                producer.poll(0)
        producer.commit_transaction(60)


def _run(kind: str, bootstrap: str, topic: str, records: int) -> float:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.consume", kind, bootstrap, topic, str(records)],
        capture_output=True,
        text=True,
        timeout=300,
        check=True,
    )
    return float(json.loads(done.stdout.splitlines()[-1]))


class _Counter:
    """Counts, and knows when it had everything."""

    def __init__(self, records: int) -> None:
        self._records, self._seen, self._began = records, 0, 0.0
        self.rate: asyncio.Future[float] = asyncio.get_running_loop().create_future()

    def add(self, count: int) -> None:
        self._began = self._began or perf_counter()
        self._seen += count
        if self._seen >= self._records and not self.rate.done():
            self.rate.set_result(self._seen / (perf_counter() - self._began))


class IdleSink:
    """All of a sink but its writing, which has nothing to do."""

    async def open(self) -> None:
        pass

    async def close(self) -> None:
        pass

    async def assign(
        self, topic: str, partition: int, committed_position: int | None, topic_id: str | None = None
    ) -> int | None:
        return None

    def revoke(self, topic: str, partition: int) -> None:
        pass


class _CountingSink(IdleSink):
    def __init__(self, counter: _Counter) -> None:
        self._counter = counter

    async def write_batches(self, batches: Sequence[Batch]) -> list[WriteResult]:
        self._counter.add(sum(len(batch.records) for batch in batches))
        return [WriteResult(len(batch.records), 0, 0, None) for batch in batches]


async def _worker(kind: str, bootstrap: str, topic: str, records: int) -> float:
    counter = _Counter(records)
    group = f"bench-{uuid.uuid4().hex[:8]}"
    if kind == "ours":
        settings = GroupSettings(bootstrap=[bootstrap], group=group, topic=topic, dead_letter_topic=topic)
        app: Any = SinkApp(settings, lambda publish: _CountingSink(counter))
    else:
        app = faust.App(
            group, broker=f"kafka://{bootstrap}", store="memory://", web_enabled=False, topic_disable_leader=True
        )
        app._create_directories = lambda: None  # it would leave a folder behind

        @app.agent(app.topic(topic, value_serializer="raw", key_serializer="raw"))  # type: ignore[untyped-decorator]
        async def count(stream: Any) -> None:
            async for _ in stream:
                counter.add(1)

    starting = asyncio.ensure_future(app.start())
    try:
        return await asyncio.wait_for(counter.rate, 240)
    finally:
        await app.stop()
        starting.cancel()


if __name__ == "__main__":
    _, kind_, bootstrap_, topic_, records_ = sys.argv
    sys.stdout.write(json.dumps(asyncio.run(_worker(kind_, bootstrap_, topic_, int(records_)))) + "\n")
    sys.stdout.flush()
    os._exit(0)  # a stock app may wait for its threads
