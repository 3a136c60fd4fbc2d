"""The compose file as a user runs it, and a service that appends meanwhile."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from time import monotonic
from typing import Any

import psycopg
from confluent_kafka import Consumer

from tests.support.event_log import append, envelope
from tests.support.waiting import wait_until

ROOT = Path(__file__).parents[2]
PROJECT = "holonstream-test"
PASSWORD = "holonstream-dev"
PROFILES = ("--profile", "pipeline", "--profile", "observability")
WORKERS = ("graph-worker", "cache-worker")
PATIENCE = 600.0  # seconds for anything that ends by itself
HOST = {
    "HOLONSTREAM_POSTGRES_DSN": f"postgresql://postgres:{PASSWORD}@127.0.0.1:5432/holonstream",
    "HOLONSTREAM_KAFKA_BOOTSTRAP": "127.0.0.1:29092",
    "HOLONSTREAM_NEO4J_URI": "bolt://127.0.0.1:7687",
    "HOLONSTREAM_NEO4J_PASSWORD": PASSWORD,
}


class Compose:
    """The project of the compose file, and what a user types."""

    def __init__(self) -> None:
        self.environment = {**os.environ, "COMPOSE_PROJECT_NAME": PROJECT, "IMAGE": f"{PROJECT}:local"}
        self.settings = dict(HOST)
        self._network = f"{PROJECT}_default"

    def run(self, *words: str, check: bool = True) -> str:
        """The output of a command in the project's folder."""
        done = subprocess.run(words, cwd=ROOT, env=self.environment, capture_output=True, text=True)
        assert done.returncode == 0 or not check, f"{words}: {done.stdout[-2000:]}{done.stderr[-4000:]}"
        return done.stdout

    def compose(self, *words: str) -> str:
        return self.run("docker", "compose", *words)

    def up(self, *words: str, profiles: Sequence[str] = PROFILES) -> None:
        self.compose(*profiles, "up", "-d", "--wait", "--wait-timeout", str(int(PATIENCE)), *words)

    def containers(self, *services: str) -> list[str]:
        return self.compose(*PROFILES, "ps", "-q", *services).split()

    def inspect(self, container: str, what: str) -> str:
        return self.run("docker", "inspect", "-f", f"{{{{{what}}}}}", container).strip()

    def holonstream(self, *words: str) -> str:
        """A command on the host, with the settings that docs/compose.md gives."""
        done = subprocess.run(
            [sys.executable, "-m", "holonstream", *words],
            env={**os.environ, **self.settings},
            capture_output=True,
            text=True,
            timeout=2 * PATIENCE,
        )
        assert done.returncode == 0, f"{words}: {done.stdout[-2000:]}{done.stderr[-2000:]}"
        return done.stdout

    def groups(self) -> dict[str, Any]:
        """The consumer groups as `holonstream status` has them; none while the brokers do not answer."""
        try:
            return dict(json.loads(self.holonstream("status", "--json", "--timeout", "60s"))["groups"])
        except AssertionError:
            return {}

    def verify(self) -> None:
        """Wait until the views have what the log has, and compare the graph with it."""
        self.holonstream("wait", "--timeout", f"{PATIENCE:.0f}s")
        self.holonstream("verify", "graph")

    def well(self) -> bool:
        """Whether all processes of the pipeline are healthy."""
        running = self.containers("relay", *WORKERS, "exporter")
        return bool(running) and all(self.is_healthy(container) for container in running)

    def is_healthy(self, container: str) -> bool:
        return self.inspect(container, ".State.Health.Status") == "healthy"

    @contextmanager
    def cut_off(self, service: str) -> Iterator[None]:
        """`docker network disconnect`: connections stay open, and nothing answers."""
        (container,) = self.containers(service)
        self.run("docker", "network", "disconnect", self._network, container)
        try:
            yield
        finally:
            self.run("docker", "network", "connect", "--alias", service, self._network, container)
        wait_until(
            lambda: self.is_healthy(container) and self.well(), f"well after {service} was cut off", PATIENCE, every=1
        )


class Trickle:
    """Events that a service appends all along, and when a reader of the topic got them."""

    def __init__(self, bootstrap: str) -> None:
        self._bootstrap = bootstrap
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._append), threading.Thread(target=self._read)]
        self._arrivals: list[float] = []
        self.failure: BaseException | None = None

    def __enter__(self) -> Trickle:
        for thread in self._threads:
            thread.start()
        self.wait_for(20, "the trickle arrives")
        return self

    def __exit__(self, *exc: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def wait_for(self, count: int, what: str) -> None:
        """Wait until so many more have arrived."""
        wanted = len(self._arrivals) + count
        wait_until(lambda: len(self._arrivals) >= wanted, what, PATIENCE)

    def longest_pause(self) -> float:
        """In seconds, between two arrivals."""
        return max(after - before for before, after in zip(self._arrivals, self._arrivals[1:], strict=False))

    def _append(self) -> None:
        number = 0
        try:
            with psycopg.connect(HOST["HOLONSTREAM_POSTGRES_DSN"], autocommit=True) as connection:
                while not self._stop.wait(0.05):
                    number += 1
                    append(connection, [envelope(f"trickle-{number}")])
        except BaseException as error:
            self.failure = error

    def _read(self) -> None:
        reader = Consumer(
            {
                "bootstrap.servers": self._bootstrap,
                "group.id": "trickle",
                "auto.offset.reset": "latest",
                "isolation.level": "read_committed",
            }
        )
        reader.subscribe(["holonstream.events"])
        while not self._stop.is_set():
            message = reader.poll(0.5)
            if message is not None and message.error() is None:
                self._arrivals.append(monotonic())
        reader.close()


@contextmanager
def compose_project() -> Iterator[Compose]:
    """The project, which leaves no container and no volume behind."""
    prepared = subprocess.run([ROOT / "tests/compose/prepare.sh"], capture_output=True, text=True)
    assert prepared.returncode == 0, f"containers cannot be tried here: {prepared.stderr}"
    made = Compose()
    volumes = set(made.run("docker", "volume", "ls", "-q").split())
    try:
        yield made
    finally:
        print(made.compose(*PROFILES, "logs", "--no-color", "--tail", "40"))
        made.run("docker", "compose", *PROFILES, "down", "-v", "--remove-orphans", check=False)
    assert set(made.run("docker", "volume", "ls", "-q").split()) <= volumes, "volumes are left behind"
