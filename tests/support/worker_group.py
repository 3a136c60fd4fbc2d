"""A group of file workers (`tests.support.file_worker`) on a topic that a transactional producer filled, as the relay
does: some transactions aborted, so that offsets have holes."""

from __future__ import annotations

import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from holonstream.ops.replay.group import members
from tests.support.waiting import wait_until

PARTITIONS = 4
STOP = 20.0  # seconds for a worker to end: more than ops.stopping.STOP_TIME, since the machine may be slow


@dataclass
class Log:
    """A topic of events."""

    bootstrap: str
    prefix: str
    partitions: int = PARTITIONS
    expected: dict[int, int] = field(default_factory=lambda: defaultdict(int))

    def __post_init__(self) -> None:
        admin = AdminClient({"bootstrap.servers": self.bootstrap})
        for topic in ("events", "dead-letters"):
            admin.create_topics([NewTopic(self.prefix + topic, self.partitions, 1)])[self.prefix + topic].result()

    def fill(self, transactions: int, size: int) -> None:
        """Add committed transactions of `size` records, every third followed by an aborted one."""
        producer = Producer({"bootstrap.servers": self.bootstrap, "transactional.id": self.prefix + "relay"})
        producer.init_transactions(30)
        for number in range(transactions):
            producer.begin_transaction()
            for record in range(size):
                producer.produce(self.prefix + "events", value=b"x", partition=record % self.partitions)
                self.expected[record % self.partitions] += 1
            producer.commit_transaction(30)
            if number % 3 == 0:
                producer.begin_transaction()
                producer.produce(self.prefix + "events", value=b"aborted", partition=number % self.partitions)
                producer.flush(30)
                producer.abort_transaction(30)

    def committed(self, group: str) -> dict[int, tuple[int, str]]:
        """Per partition the group's offset and its metadata."""
        return {tp.partition: (tp.offset, tp.metadata or "") for tp in self._ask(group)[0]}

    def lag(self, group: str) -> int:
        """Offsets between what the group committed and the end, over all partitions."""
        committed, ends = self._ask(group)
        return sum(ends[tp.partition] - max(tp.offset, 0) for tp in committed)

    def members(self, group: str) -> list[int]:
        """How many partitions each worker has, sorted."""
        found = members({"bootstrap.servers": self.bootstrap}, self.prefix + group)
        return sorted(len(member.partitions) for member in found)

    def _ask(self, group: str) -> tuple[list[TopicPartition], dict[int, int]]:
        consumer = Consumer({"bootstrap.servers": self.bootstrap, "group.id": self.prefix + group})
        try:
            partitions = [TopicPartition(self.prefix + "events", p) for p in range(self.partitions)]
            ends = {tp.partition: consumer.get_watermark_offsets(tp, timeout=10)[1] for tp in partitions}
            return consumer.committed(partitions, timeout=10), ends
        finally:
            consumer.close()


@dataclass
class Workers:
    """Worker processes of one group, and what they wrote."""

    log: Log
    folder: Path
    max_batch: int = 100
    running: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def start(self) -> subprocess.Popen[bytes]:
        """One more worker."""
        arguments = [self.log.bootstrap, self.log.prefix, "group", str(self.folder), str(self.max_batch)]
        with (self.folder / "worker.log").open("ab") as output:
            worker = subprocess.Popen(
                [sys.executable, "-m", "tests.support.file_worker", *arguments], stdout=output, stderr=output
            )
        self.running.append(worker)
        return worker

    def log_text(self) -> str:
        """What all of them logged."""
        return (self.folder / "worker.log").read_text()

    def members(self) -> int:
        """How many workers have ever had partitions."""
        return len({line[0] for line in self.lines("assigned")})

    def lines(self, name: str) -> list[list[str]]:
        file = self.folder / name
        return [line.split() for line in file.read_text().splitlines()] if file.exists() else []

    def order(self, name: str) -> Path:
        file = self.folder / name
        file.touch()
        return file

    def offsets(self) -> dict[int, list[tuple[int, int]]]:
        """Per partition the first and last offsets of the batches, in the order of writing."""
        batches: dict[int, list[tuple[int, int]]] = defaultdict(list)
        for _, partition, first, last, _ in self.lines("written"):
            batches[int(partition)].append((int(first), int(last)))
        return batches

    def wait_for_all(self, deadline: float = 60, *, restarts: bool = False) -> None:
        """Wait until the group has committed everything; with `restarts`, start one whenever all have ended."""

        def complete() -> bool:
            if restarts and all(worker.poll() is not None for worker in self.running):
                self.start()
            try:
                return self.log.lag("group") == 0
            except KafkaException:  # a broker that has just come back
                return False

        wait_until(complete, "the group has committed everything", deadline, every=0.2)

    def written(self) -> dict[int, int]:
        """How many records of each partition were written, repetitions counted."""
        counts: dict[int, int] = defaultdict(int)
        for _, partition, _, _, count in self.lines("written"):
            counts[int(partition)] += int(count)
        return counts


@pytest.fixture
def log(kafka_bootstrap: str, topic_prefix: str) -> Log:
    return Log(kafka_bootstrap, topic_prefix)


@pytest.fixture
def workers(log: Log, tmp_path: Path) -> Iterator[Workers]:
    made = Workers(log, tmp_path)
    yield made
    for worker in made.running:
        worker.kill()
        worker.wait()
