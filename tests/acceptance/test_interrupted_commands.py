"""Long commands that get SIGTERM in the middle: nothing is half made, nobody is left behind, no traceback."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from holonstream.ops.replay.group import members
from tests.fix_pipeline import Pipeline
from tests.support.waiting import wait_until

pytestmark = pytest.mark.faults

SESSIONS = "SELECT count(*) FROM pg_stat_activity WHERE datname = %s AND application_name = %s"
EVENTS = "SELECT count(*) FROM holonstream.events"


def interrupt(pipeline: Pipeline, phase: Callable[[list[str]], bool], *arguments: str) -> None:
    """Start a command, and end it with SIGTERM in a phase, which its lines so far may say."""
    lines: list[str] = []
    with subprocess.Popen(
        [sys.executable, "-m", "holonstream", *arguments],
        env={**os.environ, **pipeline.environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as command:
        assert command.stdout is not None
        try:
            while not phase(lines):
                line = command.stdout.readline()
                assert line, lines
                lines.append(line)
            command.send_signal(signal.SIGTERM)
            rest, _ = command.communicate(timeout=60)
        finally:
            command.kill()
    text = "".join(lines) + rest
    assert command.returncode in {-signal.SIGTERM, 128 + signal.SIGTERM}, (command.returncode, text)
    assert "Traceback" not in text


def count(pipeline: Pipeline, query: str, *arguments: object) -> int:
    with psycopg.connect(pipeline.environment["HOLONSTREAM_POSTGRES_DSN"]) as connection:
        row = connection.execute(query, arguments).fetchone()
    assert row is not None
    return int(row[0])


def works(pipeline: Pipeline, application: str) -> Callable[[list[str]], bool]:
    """The phase in which a command has a session in the log."""
    database = conninfo_to_dict(pipeline.environment["HOLONSTREAM_POSTGRES_DSN"])["dbname"]

    def phase(_: list[str]) -> bool:
        return wait_until(lambda: count(pipeline, SESSIONS, database, application) > 0, f"{application} works")

    return phase


def said(phrase: str) -> Callable[[list[str]], bool]:
    """The phase in which a command has printed something."""
    return lambda lines: any(phrase in line for line in lines)


def no_workers(pipeline: Pipeline) -> bool:
    client = {"bootstrap.servers": pipeline.environment["HOLONSTREAM_KAFKA_BOOTSTRAP"]}
    return not members(client, f"{pipeline.namespace}-graph")


def test_commands_that_are_interrupted_leave_nothing_half_made(pipeline: Pipeline, organisation: Path) -> None:
    interrupt(pipeline, works(pipeline, "holonstream-import"), "import", str(organisation))
    assert count(pipeline, EVENTS) == 0
    pipeline.run("import", str(organisation))
    pipeline.start("relay", "graph")
    pipeline.wait_until_caught_up("graph")
    pipeline.processes.kill("graph")
    wait_until(partial(no_workers, pipeline), "the group has noticed that its worker is gone", 60)

    replay = ("replay", "graph", "--in-place", "--yes", "--workers", "1")
    interrupt(pipeline, said(" left "), *replay)  # workers of its own write by now
    wait_until(partial(no_workers, pipeline), "its workers have left", 60)
    pipeline.run(*replay)

    interrupt(pipeline, works(pipeline, "holonstream-verify"), "verify", "graph")
    assert pipeline.json("verify", "graph", "--json")["diverging"] == 0
