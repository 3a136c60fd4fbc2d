"""An upgrade from release 0.2.0, process by process, while a service of that release appends all along.

Outside of `make test`: it builds that release from the repository's history, which a shallow clone does not have.
"""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from holonstream import local
from holonstream.ops.kafka import client
from holonstream.ops.processes import Processes
from holonstream.ops.replay.group import members
from holonstream.ops.settings import Settings
from holonstream.producers.log.schema import schema_status
from tests.fix_pipeline import Pipeline
from tests.fix_stack import unlink_keys
from tests.support.waiting import wait_until

ROOT = Path(__file__).parents[2]
COMMIT = "fbbe0167"  # release 0.2.0
SERVICE = '''
"""Appends one event after the other through the client, until it is told to end; prints each one's position."""
import itertools, signal, sys, threading
from holonstream.client import ClientSettings, Event, SyncClient

stop = threading.Event()
signal.signal(signal.SIGTERM, lambda *_: stop.set())
with SyncClient.from_settings() as client:
    for number in itertools.count():
        if stop.wait(0.02):
            break
        event = Event(type="PersonCreated", occurred_at="2024-03-01T08:00:00.000Z", actor="service",
                      subjects=(f"p-{number}",), source_system="test", payload={"name": f"P{number}"})
        print(client.append([event])[0].position, flush=True)
'''


# What the interpreter runs first: nothing of the checkout, which is installed as editable, is found.
WITHOUT_CHECKOUT = """
import os, sys
sys.path[:] = [entry for entry in sys.path if os.path.dirname(entry) != {root!r}]
"""


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the packages of the release before, installed from its wheel, without its dependencies."""
    source, installed = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("release")
    archive = subprocess.run(["git", "-C", str(ROOT), "archive", COMMIT], check=True, capture_output=True).stdout
    with tarfile.open(fileobj=io.BytesIO(archive)) as files:
        files.extractall(source, filter="data")
    wheels = str(source / "dist")
    for words in (
        ("build", "--wheel", "--no-isolation", "--outdir", wheels, str(source)),
        (
            *["pip", "install", "--quiet", "--no-deps", "--no-index", "holonstream", "--find-links"],
            wheels,
            "--target",
            str(installed),
        ),
    ):
        done = subprocess.run([sys.executable, "-m", *words], capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
    (installed / "sitecustomize.py").write_text(WITHOUT_CHECKOUT.format(root=str(ROOT)))
    return installed


def wait_for_members(settings: Settings, part: str, number: int) -> None:
    group = settings.group(part)
    wait_until(lambda: len(members(client(settings), group)) == number, f"{number} members of {group}", every=0.3)


@contextmanager
def service(environment: dict[str, str], folder: Path) -> Iterator[list[int]]:
    """A service that appends; the positions that it was given, when it has ended in good order."""
    script, output, positions = folder / "service.py", folder / "positions", list[int]()
    script.write_text(SERVICE)
    with output.open("wb") as out, (folder / "service.log").open("wb") as errors:
        child = subprocess.Popen([sys.executable, str(script)], env=environment, stdout=out, stderr=errors)
    try:
        wait_until(lambda: output.read_text().count("\n") > 50, "the service appends")
        yield positions
    finally:
        child.send_signal(signal.SIGTERM)
        assert child.wait(60) == 0, (folder / "service.log").read_text()
        positions += map(int, output.read_text().split())


def test_nothing_stops_and_nothing_is_lost(
    stack: local.Stack,
    postgres_dsn: str,
    topic_prefix: str,
    neo4j_uri: str,
    redis_url: str,
    release: Path,
    tmp_path: Path,
) -> None:
    settings = {
        **stack.env(),
        "HOLONSTREAM_POSTGRES_DSN": postgres_dsn,
        "HOLONSTREAM_NAMESPACE": topic_prefix.rstrip("."),
        "HOLONSTREAM_SESSION_TIMEOUT": "6",
        "HOLONSTREAM_COMMIT_INTERVAL": "0.2",
    }
    before = {**settings, "PYTHONPATH": str(release)}
    where = [sys.executable, "-c", "import holonstream.producers.relay.relay as relay; print(relay.__file__)"]
    said = subprocess.run(where, env={**os.environ, **before}, check=True, capture_output=True, text=True).stdout
    assert said.startswith(str(release)), "the processes of the release before run its own code"

    with Processes(before, tmp_path / "old") as olds, Processes(settings, tmp_path / "new") as news:
        old, new = Pipeline(before, olds), Pipeline(settings, news)
        old.run("init")
        old.start("relay", "graph", "cache")
        with service({**os.environ, **before}, tmp_path) as positions:
            for part in ("graph", "cache"):
                wait_for_members(Settings.of(settings), part, 1)
            old.wait_until_relayed(100)
            new.run("init")
            assert schema_status(postgres_dsn).pending == []
            olds.check()
            for part in ("graph", "cache", "relay"):  # as docs/versioning.md says: workers, then the relay
                new.start(part)
                if part != "relay":
                    wait_for_members(Settings.of(settings), part, 2)
                olds.check()
                child = olds.running.pop(part)
                child.send_signal(signal.SIGTERM)
                assert child.wait(60) == 0, (tmp_path / "old" / f"{part}.log").read_text()[-3000:]
            news.check()
        new.wait_until_caught_up("graph", "cache")
        published = {event.position for events in new.records().values() for event in events}
        assert published == set(positions)
        for events in new.records().values():
            in_order = [event.position for event in events]
            assert in_order == sorted(set(in_order))
        new.run("verify", "graph")
    unlink_keys(redis_url, f"{settings['HOLONSTREAM_NAMESPACE']}:")
