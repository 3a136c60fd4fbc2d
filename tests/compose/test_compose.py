"""docs/compose.md, done with containers: build, start, import, scale, kill, upgrade, alerts, more partitions; and with
three brokers, of which one is lost.

Outside of `make test`, since it needs a Docker engine with its compose plugin and the ports of docker-compose.yml.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from time import monotonic
from typing import Any

import psycopg
import pytest
import yaml
from confluent_kafka import Consumer

from tests.support.event_log import append, envelope
from tests.support.waiting import wait_until

ROOT = Path(__file__).parents[2]
PROJECT = "holonstream-test"
PASSWORD = "holonstream-dev"
PROFILES = ("--profile", "pipeline", "--profile", "observability")
WORKERS = ("graph-worker", "cache-worker")
PATIENCE = 600.0  # seconds for anything that ends by itself
LONGEST_PAUSE = 10.0  # seconds of publishing during an upgrade; a second is promised, and the machine may be loaded
BROKERS = {"kafka": 29092, "kafka-2": 29093, "kafka-3": 29094}
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
        self.network = f"{PROJECT}_default"

    def run(self, *words: str, check: bool = True) -> str:
        """The output of a command in the project's folder."""
        done = subprocess.run(words, cwd=ROOT, env=self.environment, capture_output=True, text=True)
        assert done.returncode == 0 or not check, f"{words}: {done.stdout[-2000:]}{done.stderr[-4000:]}"
        return done.stdout

    def compose(self, *words: str) -> str:
        return self.run("docker", "compose", *words)

    def up(self, *words: str) -> None:
        self.compose(*PROFILES, "up", "-d", "--wait", "--wait-timeout", str(int(PATIENCE)), *words)

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
            timeout=PATIENCE,
        )
        assert done.returncode == 0, f"{words}: {done.stdout[-2000:]}{done.stderr[-2000:]}"
        return done.stdout

    def status(self) -> Any:
        return json.loads(self.holonstream("status", "--json", "--timeout", "60s"))

    def wait_until_caught_up(self) -> None:
        def caught_up() -> bool:
            status = self.status()
            return status["relay"]["lag"] == 0 and all(group["lag"] == 0 for group in status["groups"].values())

        wait_until(caught_up, "everything is relayed and handled", PATIENCE, every=1.0)

    def verify(self) -> None:
        self.wait_until_caught_up()
        self.holonstream("verify", "graph")


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


@pytest.fixture
def compose() -> Iterator[Compose]:
    made = Compose()
    prepared = subprocess.run([ROOT / "tests/compose/prepare.sh"], capture_output=True, text=True)
    assert prepared.returncode == 0, f"containers cannot be tried here: {prepared.stderr}"
    try:
        yield made
    finally:
        print(made.compose(*PROFILES, "logs", "--no-color", "--tail", "40"))
        made.run("docker", "compose", *PROFILES, "down", "-v", "--remove-orphans", check=False)


def test_the_page_does_what_it_says(compose: Compose, small_organisation: Path) -> None:
    compose.compose("--profile", "pipeline", "build")
    volumes = set(compose.run("docker", "volume", "ls", "-q").split())
    compose.up()
    an_unchanged_build_replaces_nothing(compose)
    compose.holonstream("import", str(small_organisation))
    compose.verify()
    groups_scale(compose)
    processes_come_back(compose)
    stores_cut_off_are_found_again(compose)
    an_upgrade_stops_nothing(compose)
    alerts_are_loaded_and_fire(compose)
    partitions_grow(compose)
    compose.compose(*PROFILES, "down", "-v")
    assert set(compose.run("docker", "volume", "ls", "-q").split()) <= volumes, "volumes are left behind"


def an_unchanged_build_replaces_nothing(compose: Compose) -> None:
    before = set(compose.containers())
    compose.up("--build")
    assert set(compose.containers()) == before
    images = {compose.inspect(container, ".Image") for container in compose.containers("relay", *WORKERS, "exporter")}
    assert len(images) == 1


def groups_scale(compose: Compose) -> None:
    compose.compose("--profile", "pipeline", "up", "-d", "--scale", "graph-worker=4", "--scale", "cache-worker=2")
    wanted = {"holonstream-graph": 4, "holonstream-cache": 2}
    wait_until(
        lambda: {name: group["members"] for name, group in compose.status()["groups"].items()} == wanted,
        f"{wanted} workers",
        PATIENCE,
        every=1.0,
    )


def processes_come_back(compose: Compose) -> None:
    """By a signal from outside: what `docker kill` ends stays down."""
    for service in ("relay", *WORKERS):
        container = compose.containers(service)[0]
        started = compose.inspect(container, ".State.StartedAt")
        os.kill(int(compose.inspect(container, ".State.Pid")), 9)
        wait_until(lambda c=container, s=started: compose.inspect(c, ".State.StartedAt") != s, f"{service} is back")  # type: ignore[misc]
    compose.verify()


def stores_cut_off_are_found_again(compose: Compose) -> None:
    """`docker network disconnect`: connections stay open, and nothing answers."""
    for store in ("kafka", "neo4j", "redis", "postgres"):
        (container,) = compose.containers(store)
        compose.run("docker", "network", "disconnect", compose.network, container)
        threading.Event().wait(20)  # longer than every session
        compose.run("docker", "network", "connect", "--alias", store, compose.network, container)
        began = monotonic()
        wait_until(lambda: compose.containers() and well(compose), f"well after {store} was cut off", PATIENCE, every=1)
        print(f"{store} was cut off for 20 s: well {monotonic() - began:.1f} s after it was back")
    compose.verify()


def well(compose: Compose) -> bool:
    running = compose.containers("relay", *WORKERS, "exporter")
    return all(compose.inspect(container, ".State.Health.Status") == "healthy" for container in running)


def an_upgrade_stops_nothing(compose: Compose) -> None:
    before = compose.containers("relay", *WORKERS, "exporter")
    compose.run("docker", "build", "-q", "--label", "release=next", "-t", compose.environment["IMAGE"], ".")
    compose.compose("--profile", "pipeline", "run", "--rm", "--no-deps", "init")
    with Trickle(HOST["HOLONSTREAM_KAFKA_BOOTSTRAP"]) as trickle:
        compose.run("deploy/upgrade.sh")
    assert trickle.failure is None
    after = compose.containers("relay", *WORKERS, "exporter")
    assert len(after) == len(before)
    assert not set(after) & set(before)
    print(f"upgrade: the longest pause of publishing was {trickle.longest_pause():.2f} s")
    assert trickle.longest_pause() < LONGEST_PAUSE
    compose.verify()


def alerts_are_loaded_and_fire(compose: Compose) -> None:
    rules = yaml.safe_load((ROOT / "deploy/prometheus/alerts.yml").read_text())["groups"]
    known = {rule["alert"] for group in rules for rule in group["rules"] if "alert" in rule}
    assert {rule["name"] for group in _prometheus("rules")["groups"] for rule in group["rules"]} >= known
    compose.compose("--profile", "pipeline", "stop", "relay", "graph-worker")
    with psycopg.connect(HOST["HOLONSTREAM_POSTGRES_DSN"]) as connection:
        append(connection, [envelope("kept-open")])  # a transaction that holds the frontier
        wanted = {"FrontierHeld", "RelayNotLeading", "GroupWithoutMembers"}
        wait_until(lambda: wanted <= _firing(), f"{wanted} fire", PATIENCE, every=5.0)
    compose.up("--scale", "graph-worker=4", "--scale", "cache-worker=2")


def _firing() -> set[str]:
    return {alert["labels"]["alertname"] for alert in _prometheus("alerts")["alerts"] if alert["state"] == "firing"}


def _prometheus(what: str) -> Any:
    with urllib.request.urlopen(f"http://127.0.0.1:9090/api/v1/{what}", timeout=10) as answer:
        return json.load(answer)["data"]


def partitions_grow(compose: Compose) -> None:
    compose.compose("--profile", "pipeline", "rm", "-sf", "relay", *WORKERS, "exporter", "init", "neo4j")
    compose.run("docker", "volume", "rm", f"{PROJECT}_neo4j-data")
    changed = {"HOLONSTREAM_NAMESPACE": "holonstream-b", "HOLONSTREAM_PARTITIONS": "24"}
    compose.environment |= changed
    compose.settings |= changed
    compose.up()
    compose.verify()
    assert len(compose.status()["groups"]["holonstream-b-graph"]["partitions"]) == 24


def test_one_of_three_brokers_is_lost(compose: Compose, small_organisation: Path) -> None:
    compose.environment["COMPOSE_FILE"] = "docker-compose.yml:docker-compose.brokers.yml"
    bootstrap = ",".join(f"127.0.0.1:{port}" for port in BROKERS.values())
    compose.settings["HOLONSTREAM_KAFKA_BOOTSTRAP"] = bootstrap
    compose.compose("--profile", "pipeline", "up", "-d", "--build", "--wait", "--wait-timeout", str(int(PATIENCE)))
    compose.holonstream("import", str(small_organisation))
    compose.verify()
    for broker in BROKERS:
        (container,) = compose.containers(broker)
        with Trickle(bootstrap) as trickle:
            compose.run("docker", "network", "disconnect", compose.network, container)
            trickle.wait_for(100, f"publishing continues without {broker}")
            compose.run("docker", "network", "connect", "--alias", broker, compose.network, container)
            trickle.wait_for(100, f"publishing continues with {broker}")
        assert trickle.failure is None
        print(f"{broker} was cut off: the longest pause of publishing was {trickle.longest_pause():.2f} s")
        wait_until(lambda c=container: compose.inspect(c, ".State.Health.Status") == "healthy", "healthy", PATIENCE)  # type: ignore[misc]
        wait_until(lambda: well(compose), f"well after {broker} was cut off", PATIENCE, every=1)
        compose.verify()
