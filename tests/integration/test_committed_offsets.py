"""Committed offsets that say more than a view has: `status` names them, though no worker runs, and no lag is 0."""

from __future__ import annotations

import asyncio
import shutil
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import AdminClient

from holonstream.client.connections import graph_connection
from holonstream.local import Stack
from holonstream.local.temporary import temporary_stack
from holonstream.ops import wiring
from holonstream.ops.commands.init import initialise
from holonstream.ops.doctor import examine
from holonstream.ops.overview import overview
from holonstream.ops.processes import Processes
from holonstream.ops.settings import Settings
from holonstream.ops.waiting import NotReached, wait_for
from holonstream.producers.kafka import topic_id
from holonstream.producers.log.store import PostgresEventStore
from holonstream.schemas.catalogue import Catalogue
from tests.fix_pipeline import Pipeline
from tests.support.event_log import person
from tests.support.waiting import wait_until

EVENTS = 40
SLOW = 30.0  # seconds for the servers' first answers


def append(settings: Settings, count: int, prefix: str = "p") -> None:
    with PostgresEventStore(settings.log_dsn, Catalogue.load()) as store:
        store.append([person(f"{prefix}-{n}") for n in range(count)])


def relay_all(settings: Settings, count: int) -> None:
    relay, stop = wiring.relay(settings), threading.Event()
    with ThreadPoolExecutor(1) as thread:
        running = thread.submit(relay.run, stop)
        try:
            assert relay.progress.wait_for(lambda now: now.relayed >= count, 120), relay.progress.now
        finally:
            stop.set()
        running.result(60)


def commit(settings: Settings, group: str, metadata: str) -> dict[int, int]:
    """Commit the topic's ends for a group, as a worker or as a tool does."""
    consumer = Consumer({"bootstrap.servers": settings.kafka_bootstrap, "group.id": settings.group(group)})
    try:
        partitions = consumer.list_topics(settings.topic, 30).topics[settings.topic].partitions
        ends = {p: consumer.get_watermark_offsets(TopicPartition(settings.topic, p), 30)[1] for p in partitions}
        places = [TopicPartition(settings.topic, p, end, metadata=metadata) for p, end in ends.items()]
        consumer.commit(offsets=places, asynchronous=False)
        return ends
    finally:
        consumer.close()


async def set_checkpoints(settings: Settings, offsets: dict[int, int]) -> None:
    query = "UNWIND $rows AS r MATCH (c:HolonstreamCheckpoint {topic: $topic, partition: r[0]}) SET c.offset = r[1]"
    async with graph_connection(settings) as connection:
        await connection.execute(query, topic=settings.topic, rows=[list(item) for item in offsets.items()])


def test_a_graph_that_lacks_what_its_group_has_committed_lags(pipeline: Pipeline) -> None:
    settings = Settings.of(pipeline.environment)
    append(settings, EVENTS)
    relay_all(settings, EVENTS)
    known = topic_id(AdminClient({"bootstrap.servers": settings.kafka_bootstrap}), settings.topic)
    ends = commit(settings, "graph", f"{EVENTS} {known}")
    commit(settings, "cache", f"{EVENTS} {known}")

    now = overview(settings, SLOW)
    assert not now.failed, now.servers
    (problem,) = now.problems
    assert "GraphBehind" in problem
    assert now.groups["graph"].lag == sum(ends.values())
    assert now.groups["graph"].lag_seconds > 0
    assert now.groups["cache"].lag == 0
    assert [check.state for check in examine(settings, SLOW) if "GraphBehind" in check.detail] == ["fault"]
    with pytest.raises(NotReached, match=r"graph has .* records? to handle, it has no worker"):
        wait_for(settings, None, ["cache", "graph"], 1.0)

    asyncio.run(set_checkpoints(settings, {p: max(end - 1, 0) for p, end in ends.items()}))  # before the last marker
    now = overview(settings, SLOW)
    assert now.problems == []
    assert now.groups["graph"].lag == 0
    assert wait_for(settings, None, ["cache", "graph"], SLOW).position == EVENTS


def test_offsets_that_another_program_has_set_count_as_none(pipeline: Pipeline) -> None:
    settings = Settings.of(pipeline.environment)
    append(settings, EVENTS)
    relay_all(settings, EVENTS)
    ends = commit(settings, "cache", "")  # as kafka-consumer-groups.sh --reset-offsets --to-latest does
    now = overview(settings, SLOW)
    assert not now.failed, now.servers
    assert now.groups["cache"].lag == sum(ends.values())
    (problem,) = now.problems
    assert "cache: another program set the offsets" in problem


@pytest.mark.faults
def test_a_graph_whose_files_are_restored_from_a_backup_reads_again_what_it_lacks(
    pipeline: Pipeline, tmp_path: Path
) -> None:
    with temporary_stack(services=["neo4j"]) as stack:
        environment = {**pipeline.environment, **stack.env()}
        with Processes(environment, tmp_path / "processes") as processes:
            check_restore(Pipeline(environment, processes), stack)


def check_restore(pipeline: Pipeline, stack: Stack) -> None:
    settings = Settings.of(pipeline.environment)
    data, backup = stack.data_dir / "neo4j", stack.data_dir / "backup"
    initialise(settings)
    pipeline.start("relay")
    for prefix in ("before", "after"):
        append(settings, EVENTS, prefix)
        pipeline.start("graph")
        pipeline.wait_until_caught_up("graph")
        pipeline.processes.kill("graph")
        stack.stop("neo4j")
        if prefix == "before":
            shutil.copytree(data, backup)
        else:
            shutil.rmtree(data)
            shutil.copytree(backup, data)
        stack.start("neo4j")

    status = overview(settings, SLOW)
    assert any("GraphBehind" in problem for problem in status.problems)
    assert status.groups["graph"].lag >= EVENTS
    pipeline.start("graph")

    def healed() -> bool:
        now = overview(settings, SLOW)
        return now.problems == [] and now.groups["graph"].lag == 0

    wait_until(healed, "the graph has what it lacked", 180)
    assert pipeline.json("verify", "graph", "--json")["diverging"] == 0
    assert len(asyncio.run(wiring.graph_states(settings))) == 2 * EVENTS
