"""Fixtures: a pipeline of real processes, in a namespace and a graph of its own, and events to run through it."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, TopicPartition

from holonstream import local
from holonstream.local.temporary import temporary_stack
from holonstream.ops.commands.init import initialise
from holonstream.ops.kafka import client
from holonstream.ops.processes import Processes
from holonstream.ops.settings import Settings
from holonstream.ops.status import TopicStatus
from holonstream.producers.relay.status import log_status
from holonstream.schemas import wire
from holonstream.schemas.event import RecordedEvent
from holonstream.sinks.graph.driver import GraphConnection
from tests.fix_stack import unlink_keys
from tests.support.markdown import Shell
from tests.support.waiting import FIRST_BATCH, wait_until

CASES = Path(__file__).parent / "cases"
"""Sequences of events with the states that they must lead to, as the reference implementation computed them"""


@dataclass
class Pipeline:
    """A pipeline as its operator has it: the command line, and processes to start and kill."""

    environment: dict[str, str]
    processes: Processes

    @property
    def namespace(self) -> str:
        return self.environment["HOLONSTREAM_NAMESPACE"]

    def run(self, *arguments: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        """Run a command to its end."""
        done = subprocess.run(
            [sys.executable, "-m", "holonstream", *arguments],
            env={**os.environ, **self.environment},
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert done.returncode == code, f"{arguments}: code {done.returncode}\n{done.stderr}"
        return done

    def json(self, *arguments: str) -> Any:
        """The JSON that a command prints."""
        return json.loads(self.run(*arguments).stdout)

    def start(self, *names: str) -> None:
        """Start processes: ``relay``, ``graph``, ``cache``; a second one of a kind is ``graph-2``."""
        for name in names:
            kind = name.partition("-")[0]
            self.processes.start(name, *(["relay"] if kind == "relay" else ["worker", kind]))

    def wait_until_relayed(self, events: int, deadline: float = 120) -> None:
        """Wait until a reader finds so many events on the topic."""
        wait_until(lambda: self._relayed() >= events, f"{events} events relayed", deadline)

    def _relayed(self) -> int:
        with self._topic() as topic:
            return sum(topic.ends().values())

    def wait_until_caught_up(self, *groups: str, deadline: float = FIRST_BATCH) -> None:
        """Wait until groups have handled everything that is in the log."""
        wait_until(lambda: self._caught_up(groups), f"{groups} caught up", deadline, every=0.1)

    def _caught_up(self, groups: tuple[str, ...]) -> bool:
        """As `holonstream status` does, but in this process: a command for each poll would take most of a test."""
        self.processes.check()
        settings = Settings.of(self.environment)
        with self._topic() as topic:
            relayed = topic.relayed(settings.group("relay"))
            if log_status(settings.log_dsn, settings.namespace, relayed).lag:
                return False
            ends = topic.high_watermarks()  # as `holonstream.ops.waiting` does
            asked = (topic.group(f"{self.namespace}-{group}", ends, seconds=False) for group in groups)
            return all(group.lag == 0 for group in asked)

    def _topic(self) -> TopicStatus:
        return TopicStatus(client(Settings.of(self.environment)), f"{self.namespace}.events")

    def records(self) -> dict[int, list[RecordedEvent]]:
        """Everything on the topic that was committed, by partition."""
        return {
            partition: [wire.decode(value) for value in values] for partition, values in self.values("events").items()
        }

    def values(self, topic: str) -> dict[int, list[bytes]]:
        """The committed records of one of the namespace's topics, by partition."""
        with TopicStatus(client(Settings.of(self.environment)), f"{self.namespace}.{topic}") as asked:
            ends = asked.ends()
        consumer = Consumer(
            {
                "bootstrap.servers": self.environment["HOLONSTREAM_KAFKA_BOOTSTRAP"],
                "group.id": f"{self.namespace}-test",
                "isolation.level": "read_committed",
                "enable.auto.commit": False,
                "enable.partition.eof": True,
            }
        )
        found: dict[int, list[bytes]] = {partition: [] for partition in ends}
        open_partitions = set(ends)
        try:
            consumer.assign([TopicPartition(f"{self.namespace}.{topic}", p, 0) for p in ends])
            while open_partitions:
                message = consumer.poll(30)
                assert message is not None, f"no end of {open_partitions}"
                if message.error() is not None:
                    open_partitions.discard(message.partition())
                else:
                    found[message.partition()].append(message.value())
        finally:
            consumer.close()
        return found


def offsets(uri: str, namespace: str) -> int:
    """The sum of the offsets of a graph's checkpoints."""

    async def ask() -> int:
        async with GraphConnection(uri) as connection:
            query = "MATCH (c:HolonstreamCheckpoint {topic: $topic}) RETURN coalesce(sum(c.offset), 0)"
            return int((await connection.execute(query, topic=f"{namespace}.events"))[0][0])

    return asyncio.run(ask())


@pytest.fixture
def pipeline(
    stack: local.Stack, postgres_dsn: str, topic_prefix: str, neo4j_uri: str, redis_url: str, tmp_path: Path
) -> Iterator[Pipeline]:
    """A pipeline with nothing in it and nothing running."""
    environment = {
        **stack.env(),
        "HOLONSTREAM_POSTGRES_DSN": postgres_dsn,
        "HOLONSTREAM_NAMESPACE": topic_prefix.rstrip("."),
        "HOLONSTREAM_SESSION_TIMEOUT": "3",
        "HOLONSTREAM_COMMIT_INTERVAL": "0.2",
        "PYTHONWARNINGS": "default",
    }
    with Processes(environment, tmp_path / "logs") as processes:
        initialise(Settings.of(environment))
        made = Pipeline(environment, processes)
        yield made
    unlink_keys(redis_url, f"{made.namespace}:")


@pytest.fixture
def pipeline_shell(pipeline: Pipeline, tmp_path: Path) -> Iterator[Shell]:
    """A shell in an empty folder, with the settings of a pipeline whose relay runs."""
    folder = tmp_path / "empty"
    folder.mkdir()
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    pipeline.start("relay")
    made = Shell(folder, {**os.environ, **pipeline.environment, "PATH": path})
    yield made
    made.close()


@pytest.fixture(scope="session")
def second_neo4j() -> Iterator[str]:
    """The address of another server, for a graph beside the live one; stopped at the end also where a stack is kept."""
    with temporary_stack(services=["neo4j"], progress=print) as temporary:
        yield temporary.env()["HOLONSTREAM_NEO4J_URI"]


@pytest.fixture(scope="session")
def organisation(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with the events of the made-up organisation, as docs/queries.md has them."""
    return _events(tmp_path_factory, "organisation.json")


@pytest.fixture(scope="session")
def small_organisation(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same for a small organisation, with some 3,000 events."""
    return _events(tmp_path_factory, "small.json", "--persons", "40")


def _events(folders: pytest.TempPathFactory, name: str, *arguments: str) -> Path:
    file = folders.mktemp("events") / name
    command = [sys.executable, "-m", "holonstream", "dataset", "organisation", *arguments]
    file.write_bytes(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    return file


@pytest.fixture
def other_graph(second_neo4j: str) -> str:
    """The address of an empty graph on another server."""

    async def empty() -> None:
        async with GraphConnection(second_neo4j) as connection:
            await connection.execute("MATCH (n) CALL (n) { DETACH DELETE n } IN TRANSACTIONS OF 10000 ROWS")

    asyncio.run(empty())
    return second_neo4j
