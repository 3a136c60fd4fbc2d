"""Each consumer group scales by itself: under load the graph workers are doubled, then the cache workers.

The load appends as fast as the graph follows. Its events extend lists, so that one applied twice would show. Kafka
raises a group's generation at each rebalance: where it did not change, no worker of the group was disturbed.
"""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
import tempfile
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Any

import click
from confluent_kafka import Consumer, KafkaError, TopicPartition
from confluent_kafka.admin import AdminClient

from benchmarks import environment
from benchmarks.bench import Bench
from benchmarks.figures import Figure
from holonstream.client import connections
from holonstream.client.settings import PREFIX
from holonstream.demo.writers import Ledger
from holonstream.ops.commands.init import initialise
from holonstream.ops.kafka import client
from holonstream.ops.processes import Processes
from holonstream.ops.settings import Settings
from holonstream.ops.status import TopicStatus
from holonstream.producers.kafka import Admin, driver_errors
from holonstream.producers.log.store import PostgresEventStore
from holonstream.schemas import instant, wire
from holonstream.schemas.event import Event

HOLONS = 10_000
BATCH = 500  # events of one append
AHEAD = 10_000  # events that the load is ahead of the graph at most
WRITE = 2_000  # events of a write at most: a rate is taken over many writes
WARM_UP = 15_000  # events beyond the holons, for the servers to compile their hot paths
CATCH_UP = 6_000  # events after a rebalance, for the workers to know the states of their new partitions
WINDOW = 12.0  # seconds that a rate is taken over
DEADLINE = 60.0  # seconds for a group to share out its partitions, or to catch up

_pause = threading.Event()  # never set: waits


@dataclass(frozen=True)
class Group:
    """A consumer group at one moment."""

    generation: int
    members: dict[str, tuple[int, ...]]
    """partitions by member"""

    def shares(self) -> str:
        """The workers, and how many partitions each has."""
        shares = " + ".join(str(len(partitions)) for partitions in sorted(self.members.values(), reverse=True))
        return f"{len(self.members)} worker{'s' * (len(self.members) > 1)}, partitions {shares}"


@dataclass(frozen=True)
class Phase:
    """The pipeline between two changes: each group, and the events that it handled in a second."""

    groups: dict[str, Group]
    rates: dict[str, float]


class Pipeline:
    """The running pipeline and its load."""

    def __init__(self, settings: Settings, processes: Processes, store: PostgresEventStore) -> None:
        self.settings = settings
        self.processes = processes
        self.ledger = Ledger(settings.partitions)
        self._store = store
        self._client = client(settings)
        self._admin = Admin(self._client)

    def append(self, events: list[Event]) -> None:
        self.ledger.note(self._store.append(events))

    def handled(self, topic: TopicStatus, name: str) -> int:
        """How many events a group has handled."""
        self.processes.check()
        ends = dict.fromkeys(range(self.settings.partitions), 0)
        places = topic.group(self.settings.group(name), ends, seconds=False).partitions
        return self.ledger.reached({place.partition: place.position for place in places})

    def shared_out(self, name: str, workers: int) -> Group:
        """A group, once it has so many workers and every one has its share of the partitions."""
        until = monotonic() + DEADLINE
        while monotonic() < until:
            self.processes.check()
            with driver_errors("reading the members of a group"):
                found = self._admin.describe(self.settings.group(name))
            members = {
                member.member_id: tuple(sorted(tp.partition for tp in member.assignment.topic_partitions))
                for member in (found.members if found else ())
            }
            shares = [len(partitions) for partitions in members.values()]
            if len(shares) == workers and min(shares) > 0 and sum(shares) == self.settings.partitions:
                return Group(generation(self._client, self.settings.group(name)), members)
            _pause.wait(0.2)
        raise TimeoutError(f"{name}: not {workers} workers with partitions within {DEADLINE:g} s")

    def phase(self, topic: TopicStatus, workers: dict[str, int]) -> Phase:
        """Wait until the groups have their workers, and measure their rates."""
        groups = {name: self.shared_out(name, count) for name, count in workers.items()}
        _reach(self, topic, self.handled(topic, "graph") + CATCH_UP, "graph")
        began, before = monotonic(), {name: self.handled(topic, name) for name in workers}
        _pause.wait(WINDOW)
        after, seconds = {name: self.handled(topic, name) for name in workers}, monotonic() - began
        rates = {name: (after[name] - before[name]) / seconds for name in workers}
        for name, group in groups.items():
            click.echo(
                f"  {name}: {group.shares()}, generation {group.generation}, {rates[name]:,.0f} events/s",
                err=True,
            )
        return Phase({name: self.shared_out(name, count) for name, count in workers.items()}, rates)


def measure(bench: Bench) -> list[Figure]:
    """Partitions and events per second of each group before and after, and the counts of what must not happen."""
    settings = bench.settings
    initialise(settings)
    found = {**environment(settings), f"{PREFIX}COMMIT_INTERVAL": "0.2", f"{PREFIX}BATCH_EVENTS": str(WRITE)}
    with (
        tempfile.TemporaryDirectory() as folder,
        connections.event_store(settings, connections.catalogue(settings)) as store,
        Processes(found, Path(folder)) as processes,
        TopicStatus(client(settings), settings.topic) as topic,
    ):
        pipeline = Pipeline(settings, processes, store)
        processes.start("relay", "relay")
        processes.start("graph-1", "worker", "graph")
        processes.start("cache-1", "worker", "cache")
        for start in range(0, HOLONS, BATCH):
            pipeline.append([_event("PersonCreated", start + n, {"name": f"Person {start + n}"}) for n in range(BATCH)])
        with _load(pipeline):
            _reach(pipeline, topic, HOLONS + WARM_UP, "graph")
            click.echo("one worker each", err=True)
            one = pipeline.phase(topic, {"graph": 1, "cache": 1})
            click.echo("graph workers doubled", err=True)
            processes.start("graph-2", "worker", "graph")
            two = pipeline.phase(topic, {"graph": 2, "cache": 1})
            click.echo("cache workers doubled", err=True)
            processes.start("cache-2", "worker", "cache")
            both = pipeline.phase(topic, {"graph": 2, "cache": 2})
        _reach(pipeline, topic, pipeline.ledger.count, "graph", "cache")
        once = _check_topic(pipeline, topic)
        differing = _verify(found)
    return [
        _rate(one, "graph"),
        _rate(two, "graph", one),
        _unmoved("cache", one, two),
        _rate(two, "cache"),
        _rate(both, "cache", two),
        _unmoved("graph", two, both),
        once,
        differing,
    ]


@contextmanager
def _load(pipeline: Pipeline) -> Iterator[None]:
    """Append until the block ends, never more than `AHEAD` events ahead of the graph; its failure is raised there."""
    stop = threading.Event()
    failures: list[BaseException] = []

    def run() -> None:
        number, handled = 0, 0
        try:
            with TopicStatus(client(pipeline.settings), pipeline.settings.topic) as topic:
                while not stop.is_set():
                    if pipeline.ledger.count - handled > AHEAD:
                        handled = pipeline.handled(topic, "graph")
                        stop.wait(0.05)
                        continue
                    events = [_event("MeasureEmitted", (number + n) * 7919 % HOLONS, _reading(n)) for n in range(BATCH)]
                    pipeline.append(events)
                    number += BATCH
        except BaseException as failure:
            failures.append(failure)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
    if failures:
        raise failures[0]


def _reach(pipeline: Pipeline, topic: TopicStatus, events: int, *groups: str) -> None:
    """Wait until groups have handled so many events."""
    until = monotonic() + DEADLINE
    while any(pipeline.handled(topic, name) < events for name in groups):
        if monotonic() > until:
            raise TimeoutError(f"{' and '.join(groups)}: not {events:,} events handled within {DEADLINE:g} s")
        _pause.wait(0.2)


def _check_topic(pipeline: Pipeline, topic: TopicStatus) -> Figure:
    """How many events are on the topic more or less than once."""
    settings = pipeline.settings
    positions = [
        wire.decode_position(value).position for value in _values(client(settings), settings.topic, topic.ends())
    ]
    wrong = abs(len(positions) - pipeline.ledger.count) + len(positions) - len(set(positions))
    return _nothing(f"of {pipeline.ledger.count:,} events not once on the topic", wrong, "events")


def _verify(found: dict[str, str]) -> Figure:
    """How many entities of the graph are not what the log says."""
    done = subprocess.run(
        [sys.executable, "-m", "holonstream", "verify", "graph", "--json"],
        env={**os.environ, **found},
        capture_output=True,
        text=True,
        timeout=120,
    )
    if not done.stdout:
        raise click.ClickException(done.stderr)
    tally = json.loads(done.stdout)
    return _nothing(f"of {tally['entities']:,} entities not what the log says", tally["diverging"], "entities")


def _nothing(path: str, value: int, unit: str) -> Figure:
    return Figure(path=path, value=value, unit=unit, promise="0", kept=value == 0)


def _rate(phase: Phase, name: str, before: Phase | None = None) -> Figure:
    group = phase.groups[name]
    path = f"{name}: {group.shares()}"
    if before is None:
        return Figure(path=path, value=phase.rates[name], unit="events/s")
    peer = before.groups[name].shares()
    return Figure(path=path, value=phase.rates[name], unit="events/s", peer=peer, peer_value=before.rates[name])


def _unmoved(name: str, before: Phase, after: Phase) -> Figure:
    """How many rebalances a group saw while the other one was doubled."""
    was, now = before.groups[name], after.groups[name]
    return Figure(
        path=f"{name} meanwhile: same workers and partitions, rebalances",
        value=now.generation - was.generation,
        unit="",
        promise="0",
        kept=now == was,
    )


def generation(brokers: dict[str, Any], group: str) -> int:
    """How often a group's partitions were shared out, as its coordinator records it.

    Kafka's own records: the key is int16 2 and the group; the value int16 version, the protocol type, int32 generation.
    """
    topic, found = "__consumer_offsets", 0
    partitions = AdminClient(brokers).list_topics(topic, timeout=10).topics[topic].partitions
    wanted = struct.pack(">hh", 2, len(group.encode())) + group.encode()
    for key, value in _records(brokers, topic, _ends(brokers, topic, list(partitions))):
        if key == wanted and value:
            (length,) = struct.unpack_from(">h", value, 2)
            (found,) = struct.unpack_from(">i", value, 4 + length)
    return found


def _values(brokers: dict[str, Any], topic: str, ends: dict[int, int]) -> Iterator[bytes]:
    return (value for _, value in _records(brokers, topic, ends) if value is not None)


def _ends(brokers: dict[str, Any], topic: str, partitions: list[int]) -> dict[int, int]:
    with _reader(brokers) as consumer:
        return {p: consumer.get_watermark_offsets(TopicPartition(topic, p), 10)[1] for p in partitions}


def _records(brokers: dict[str, Any], topic: str, ends: dict[int, int]) -> Iterator[tuple[bytes | None, bytes | None]]:
    """Key and value of everything that is committed on a topic."""
    with _reader(brokers) as consumer:
        consumer.assign([TopicPartition(topic, partition, 0) for partition in ends])
        unread = set(ends)
        while unread:
            for message in consumer.consume(10_000, 1.0):
                error = message.error()
                if error is None:
                    yield message.key(), message.value()
                elif error.code() == KafkaError._PARTITION_EOF:
                    unread.discard(message.partition())


@contextmanager
def _reader(brokers: dict[str, Any]) -> Iterator[Consumer]:
    consumer = Consumer(
        {
            **brokers,
            "group.id": f"scaling-{uuid.uuid4().hex[:8]}",
            "isolation.level": "read_committed",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
        }
    )
    try:
        yield consumer
    finally:
        consumer.close()


def _event(type_: str, number: int, payload: dict[str, object]) -> Event:
    return Event(
        type=type_,
        occurred_at=instant.now(),
        actor="bench",
        subjects=(f"p-{number}",),
        payload=payload,
        source_system="bench",
    )


def _reading(value: int) -> dict[str, object]:
    return {"metricId": "load", "measureId": "load", "value": value, "unit": "1"}
