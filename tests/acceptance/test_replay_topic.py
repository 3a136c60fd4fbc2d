"""The topic is made again from a log that has lost events, with real processes: as an operator does it."""

from __future__ import annotations

import signal
from pathlib import Path

import psycopg
import pytest
from psycopg.sql import SQL, Identifier

from holonstream.ops.settings import Settings
from holonstream.ops.topics import check_topics
from tests.acceptance.test_replay import bring
from tests.fix_pipeline import Pipeline
from tests.support.poison import envelope

pytestmark = pytest.mark.faults

PERSONS = 40
KEPT = 30


def end(pipeline: Pipeline, name: str) -> None:
    process = pipeline.processes.running.pop(name)
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 0


def forget(dsn: str, position: int) -> None:
    """What comes after a position is gone from the log, as after it was restored from a backup."""
    with psycopg.connect(dsn) as connection:
        for table in ("events", "streams"):
            connection.execute(SQL("ALTER TABLE holonstream.{} DISABLE TRIGGER USER").format(Identifier(table)))
        connection.execute("DELETE FROM holonstream.events WHERE position > %s", [position])
        connection.execute(
            "DELETE FROM holonstream.streams WHERE stream NOT IN (SELECT stream FROM holonstream.events)"
        )


def test_a_topic_ahead_of_its_log_is_made_again_and_the_views_follow(pipeline: Pipeline, tmp_path: Path) -> None:
    pipeline.start("relay", "graph", "cache")
    bring(pipeline, tmp_path, [envelope("PersonCreated", f"p-{n}", name=f"P{n}") for n in range(PERSONS)])
    pipeline.wait_until_caught_up("graph", "cache")
    settings = Settings.of(pipeline.environment)
    old = check_topics(settings)

    assert "A relay leads (pid" in pipeline.run("replay", "topic", "--yes", code=1).stderr
    end(pipeline, "relay")
    refused = pipeline.run("replay", "topic", "--yes", code=1).stderr
    assert f"{settings.group('graph')}: faust" in refused
    assert f"{settings.group('cache')}: faust" in refused
    end(pipeline, "graph")
    end(pipeline, "cache")

    first = min(event.position for events in pipeline.records().values() for event in events)
    forget(settings.log_dsn, first + KEPT - 1)
    assert pipeline.processes.start("relay", "relay").wait(60) == 1
    del pipeline.processes.running["relay"]
    assert "LogBehind" in (log := (tmp_path / "logs" / "relay.log").read_text())
    assert "holonstream replay topic" in log

    pipeline.run("replay", "topic", code=130)  # the question was not answered
    assert "Would: Delete topic" in pipeline.run("replay", "topic", "--dry-run").stdout
    assert check_topics(settings).id == old.id
    made = pipeline.json("replay", "topic", "--yes", "--json")
    assert (made["replaced"], made["id"]) == (old.id, check_topics(settings).id)
    assert made["partitions"] == old.partitions

    pipeline.start("relay")
    pipeline.run("replay", "graph", "--in-place", "--yes")
    pipeline.run("replay", "cache")
    pipeline.start("graph", "cache")
    bring(pipeline, tmp_path, [envelope("PersonCreated", "late", name="Late")])
    pipeline.wait_until_caught_up("graph", "cache")
    assert sum(map(len, pipeline.records().values())) == KEPT + 1
    assert pipeline.run("export", "graph", "--json").stdout == pipeline.run("export", "log", "--json").stdout
    pipeline.run("verify", "graph")
