"""More partitions: a second pipeline beside the first, from the log. The naive way is stopped."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from confluent_kafka.admin import AdminClient, NewPartitions

from holonstream.client import Event, SyncClient
from holonstream.ops.kafka import client
from holonstream.ops.processes import Processes
from holonstream.ops.settings import Settings
from tests.fix_pipeline import Pipeline
from tests.support.waiting import wait_until

pytestmark = pytest.mark.faults

NOTE = Event(
    type="OrganizationRealigned",
    occurred_at="2026-11-25T08:00:00Z",
    actor="test",
    subjects=("unit/skerrow",),
    payload={"diff": {"note": "before"}},
    source_system="test",
)


def test_a_pipeline_with_more_partitions_takes_over_while_events_come(
    pipeline: Pipeline, other_graph: str, small_organisation: Path, tmp_path: Path
) -> None:
    pipeline.start("relay", "graph", "cache")
    events = json.loads(small_organisation.read_text())
    first, rest = tmp_path / "first.json", tmp_path / "rest.json"
    first.write_text(json.dumps(events[: len(events) // 2]))
    rest.write_text(json.dumps(events[len(events) // 2 :]))
    pipeline.run("import", str(first))
    with SyncClient.from_settings(Settings.of(pipeline.environment)) as old:
        (before,) = old.append([NOTE])
        pipeline.wait_until_caught_up("graph", "cache")

        environment = {
            **pipeline.environment,
            "HOLONSTREAM_NAMESPACE": f"{pipeline.namespace}.wide",
            "HOLONSTREAM_PARTITIONS": "24",
            "HOLONSTREAM_NEO4J_URI": other_graph,
        }
        with Processes(environment, tmp_path / "wide") as processes:
            wide = Pipeline(environment, processes)
            wide.run("init")
            wide.start("relay", "graph", "cache")
            pipeline.run("import", str(rest))
            wide.wait_until_caught_up("graph", "cache")
            pipeline.wait_until_caught_up("graph", "cache")

            group = wide.json("status", "--json", "--timeout", "60s")["groups"][f"{wide.namespace}-graph"]
            assert len(group["partitions"]) == 24
            wide.run("verify", "graph")
            wide.run("verify", "cache", "--all")
            assert wide.run("export", "graph", "--json").stdout == pipeline.run("export", "graph", "--json").stdout
            with SyncClient.from_settings(Settings.of(environment)) as new:
                for client_ in (old, new):
                    holon = client_.get_holon("unit/skerrow", at_least=before.token)
                    assert holon is not None
                    assert holon.properties["note"] == "before"


def test_partitions_that_are_added_to_the_live_topic_stop_the_workers_before_anything_is_out_of_order(
    pipeline: Pipeline, small_organisation: Path, tmp_path: Path
) -> None:
    pipeline.start("relay", "graph")
    events = tmp_path / "events.json"
    events.write_text(json.dumps(json.loads(small_organisation.read_text())[:500]))
    pipeline.run("import", str(events))
    pipeline.wait_until_caught_up("graph")

    settings = Settings.of(pipeline.environment)
    admin = AdminClient(client(settings))
    admin.create_partitions([NewPartitions(settings.topic, 24)])[settings.topic].result(30)
    pipeline.processes.kill("graph")  # it would see them within five minutes
    worker = pipeline.processes.start("graph-2", "worker", "graph")
    wait_until(lambda: worker.poll() is not None, "the worker has seen the new partitions", 60)
    assert worker.returncode == 1
    pipeline.processes.running.pop("graph-2")
    assert "has no checkpoint" in (tmp_path / "logs" / "graph-2.log").read_text()
    assert "24 now" in pipeline.run("init", code=1).stderr
    (problem,) = pipeline.json("status", "--json", "--timeout", "60s")["problems"]
    assert "was given more partitions (it had 12, and has 24)" in problem
    pipeline.run("verify", "graph")
