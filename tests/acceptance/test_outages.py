"""Stores that stand still, workers that stand still, records that are nothing: real processes lose and park nothing.

``HOLONSTREAM_TEST_OUTAGE`` is how many seconds the stores stand still (20 by default; 600 was tried by hand).
"""

from __future__ import annotations

import json
import os
import re
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from subprocess import Popen
from threading import Event
from time import monotonic

import pytest
from confluent_kafka import Producer

from holonstream import local
from holonstream.ops.kafka import client
from holonstream.ops.replay.group import members
from holonstream.ops.settings import Settings
from tests.fix_pipeline import Pipeline
from tests.support.waiting import wait_until

pytestmark = pytest.mark.faults

OUTAGE = float(os.environ.get("HOLONSTREAM_TEST_OUTAGE", "20"))  # seconds
STOP = 20.0  # seconds in which a process must have ended: it does so within 9, and the machine may be slow


@contextmanager
def standing_still(stack: local.Stack, *services: str) -> Iterator[None]:
    """Connections stay open and nothing answers."""
    for service in services:
        stack.pause(service)
    try:
        yield
    finally:
        for service in services:
            stack.resume(service)


def bring(pipeline: Pipeline, folder: Path, number: int, people: int = 200) -> None:
    """Append some hundred events: new people, and a change of the same few."""
    common = {"occurredAt": "2024-03-01T08:00:00.000Z", "actor": "test", "sourceSystem": "test"}
    events = [
        {**common, "type": "PersonCreated", "subjects": [f"p-{number}-{n}"], "payload": {"name": f"P{n}"}}
        for n in range(people)
    ] + [
        {**common, "type": "PersonModified", "subjects": [f"p-0-{n % 5}"], "payload": {"properties": {f"k{number}": n}}}
        for n in range(people)
    ]
    file = folder / "events.json"
    file.write_text(json.dumps(events))
    pipeline.run("import", str(file))


def end(worker: Popen[bytes]) -> float:
    """Ask a worker to end; the seconds that it took."""
    began = monotonic()
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(STOP) == 0
    return monotonic() - began


def let_time_pass(seconds: float) -> None:
    """Do nothing for some seconds, while an outage lasts."""
    Event().wait(seconds)


def put_garbage(pipeline: Pipeline) -> None:
    """An undecodable record on every partition."""
    garbage = [b"\xff\xfe", None, b"{}", b"[" * 50_000]
    producer = Producer({"bootstrap.servers": pipeline.environment["HOLONSTREAM_KAFKA_BOOTSTRAP"]})
    for partition in range(12):
        producer.produce(f"{pipeline.namespace}.events", garbage[partition % 4], partition=partition)
    assert producer.flush(30) == 0


def log_of(pipeline: Pipeline, folder: Path, name: str) -> str:
    return (folder / "logs" / f"{name}.log").read_text()


def check_whole(pipeline: Pipeline) -> None:
    assert pipeline.run("export", "graph", "--json").stdout == pipeline.run("export", "log", "--json").stdout
    assert pipeline.json("dead-letters", "list", "--json") == []


def test_stores_frozen_for_long_park_nothing_and_undecodable_records_hold_up_no_stream(
    pipeline: Pipeline, stack: local.Stack, tmp_path: Path
) -> None:
    pipeline.start("relay", "graph", "graph-2", "cache", "cache-2")
    bring(pipeline, tmp_path, 0)
    put_garbage(pipeline)
    pipeline.wait_until_caught_up("graph", "cache")
    with standing_still(stack, "neo4j", "redis"):
        began = monotonic()
        number = 0
        while number == 0 or monotonic() - began < OUTAGE / 2:
            number += 1
            bring(pipeline, tmp_path, number, 200 if number < 50 else 1)
            let_time_pass(min(OUTAGE / 20, 5))
        for name in ("graph", "cache"):
            seen = "sink.unavailable"
            logs = [name, f"{name}-2"]
            wait_until(lambda: any(seen in log_of(pipeline, tmp_path, log) for log in logs), f"{name} waits", 60)  # noqa: B023
        # both kinds end at once though their stores do not answer, and others begin
        took = [end(pipeline.processes.running.pop(name)) for name in ("graph", "cache")]
        print(f"SIGTERM in the outage: graph {took[0]:.1f} s, cache {took[1]:.1f} s")
        pipeline.start("graph-3", "cache-3")
        let_time_pass(max(0, OUTAGE - (monotonic() - began)))
        pipeline.processes.check()  # no process ended
        print(f"outage of {monotonic() - began:.0f} s, {number} imports in it")
    back = monotonic()
    pipeline.wait_until_caught_up("graph", "cache", deadline=120)
    print(f"caught up {monotonic() - back:.1f} s after the outage")
    pipeline.processes.check()
    check_whole(pipeline)
    found = [json.loads(value) for values in pipeline.values("dead-letters").values() for value in values]
    assert {letter["partition"] for letter in found} == set(range(12))
    assert all(letter["stream"] is None and "Undecodable record" in letter["reason"] for letter in found)
    took = [end(pipeline.processes.running.pop(name)) for name in ("graph-3", "cache-3")]
    print(f"SIGTERM when idle: graph {took[0]:.1f} s, cache {took[1]:.1f} s")


def test_a_relay_that_waits_for_a_frozen_kafka_ends_soon_and_the_next_one_continues(
    pipeline: Pipeline, stack: local.Stack, tmp_path: Path
) -> None:
    pipeline.start("relay")
    bring(pipeline, tmp_path, 0)
    pipeline.wait_until_relayed(400)
    relay = pipeline.processes.running.pop("relay")
    with standing_still(stack, "kafka"):
        bring(pipeline, tmp_path, 1)
        relay.send_signal(signal.SIGTERM)
        overdue = relay.wait(STOP) != 0
    assert overdue == ("stop.overdue" in log_of(pipeline, tmp_path, "relay"))
    pipeline.start("relay-2")
    wait_until(lambda: "relay.leading" in log_of(pipeline, tmp_path, "relay-2"), "the next one leads", 60)
    pipeline.wait_until_relayed(800)
    records = pipeline.records()
    for events in records.values():
        assert [event.position for event in events] == sorted({event.position for event in events})
    assert sum(len(events) for events in records.values()) == 800


def test_a_frozen_worker_whose_partitions_were_taken_changes_nothing(pipeline: Pipeline, tmp_path: Path) -> None:
    def sizes() -> list[int]:
        settings = Settings.of(pipeline.environment)
        return sorted(len(member.partitions) for member in members(client(settings), settings.group("graph")))

    pipeline.start("relay", "graph", "graph-2")
    wait_until(lambda: sizes() == [6, 6], "both have partitions", 60)
    bring(pipeline, tmp_path, 0)
    zombie = pipeline.processes.running["graph"]
    zombie.send_signal(signal.SIGSTOP)
    try:
        bring(pipeline, tmp_path, 1)
        wait_until(lambda: sizes() == [12], "the other one has all", 60)
        pipeline.wait_until_caught_up("graph")
        whole = pipeline.run("export", "graph", "--json").stdout
    finally:
        zombie.send_signal(signal.SIGCONT)
    wait_until(lambda: sizes() == [6, 6], "both have partitions again", 60)
    assert pipeline.run("export", "graph", "--json").stdout == whole
    bring(pipeline, tmp_path, 2)
    pipeline.wait_until_caught_up("graph")
    pipeline.processes.check()
    check_whole(pipeline)
    assert not re.search("HoleInStream|worker.failed", log_of(pipeline, tmp_path, "graph"))
