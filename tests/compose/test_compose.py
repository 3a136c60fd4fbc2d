"""docs/compose.md, done with containers: build, start, import, scale, kill, cut off, upgrade, alerts, more partitions.

Outside of `make test`, since it needs a Docker engine with its compose plugin and the ports of docker-compose.yml. The
tests share one project, which each leaves as it found it, but for the last one.
"""

from __future__ import annotations

import json
import os
import threading
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from time import monotonic
from typing import Any

import psycopg
import pytest
import yaml

from tests.compose.kit import HOST, PATIENCE, PROJECT, ROOT, WORKERS, Compose, Trickle, compose_project
from tests.support.event_log import append, envelope
from tests.support.waiting import wait_until

LONGEST_PAUSE = 10.0  # seconds of publishing during an upgrade; a second is promised, and the machine may be loaded
MORE = ("--scale", "graph-worker=4", "--scale", "cache-worker=2")


@pytest.fixture(scope="module")
def compose(small_organisation: Path) -> Iterator[Compose]:
    """All profiles, with a history in all stores."""
    with compose_project() as made:
        made.compose("--profile", "pipeline", "build")
        made.up()
        made.holonstream("import", str(small_organisation))
        made.verify()
        yield made


def test_an_unchanged_build_replaces_nothing(compose: Compose) -> None:
    before = set(compose.containers())
    compose.up("--build")
    assert set(compose.containers()) == before
    images = {compose.inspect(container, ".Image") for container in compose.containers("relay", *WORKERS, "exporter")}
    assert len(images) == 1


def test_groups_scale(compose: Compose) -> None:
    compose.compose("--profile", "pipeline", "up", "-d", *MORE)
    wanted = {"holonstream-graph": 4, "holonstream-cache": 2}
    wait_until(
        lambda: {name: group["members"] for name, group in compose.groups().items()} == wanted,
        f"{wanted} workers",
        PATIENCE,
        every=1.0,
    )


def test_processes_come_back(compose: Compose) -> None:
    """By a signal from outside: what `docker kill` ends stays down."""
    for service in ("relay", *WORKERS):
        container = compose.containers(service)[0]
        started = compose.inspect(container, ".State.StartedAt")
        os.kill(int(compose.inspect(container, ".State.Pid")), 9)
        wait_until(lambda c=container, s=started: compose.inspect(c, ".State.StartedAt") != s, f"{service} is back")  # type: ignore[misc]
    compose.verify()


def test_stores_cut_off_are_found_again(compose: Compose) -> None:
    for store in ("kafka", "neo4j", "redis", "postgres"):
        with compose.cut_off(store):
            threading.Event().wait(20)  # longer than every session
            began = monotonic()
        print(f"{store} was cut off for 20 s: all well {monotonic() - began:.1f} s after it was back")
    compose.verify()


def test_an_upgrade_stops_nothing(compose: Compose) -> None:
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


def test_alerts_are_loaded_and_fire(compose: Compose) -> None:
    rules = yaml.safe_load((ROOT / "deploy/prometheus/alerts.yml").read_text())["groups"]
    known = {rule["alert"] for group in rules for rule in group["rules"] if "alert" in rule}
    assert {rule["name"] for group in _prometheus("rules")["groups"] for rule in group["rules"]} >= known
    compose.compose("--profile", "pipeline", "stop", "relay", "graph-worker")
    with psycopg.connect(HOST["HOLONSTREAM_POSTGRES_DSN"]) as connection:
        append(connection, [envelope("kept-open")])  # a transaction that holds the frontier
        wanted = {"FrontierHeld", "RelayNotLeading", "GroupWithoutMembers"}
        wait_until(lambda: wanted <= _firing(), f"{wanted} fire", PATIENCE, every=5.0)
    compose.up(*MORE)


def _firing() -> set[str]:
    return {alert["labels"]["alertname"] for alert in _prometheus("alerts")["alerts"] if alert["state"] == "firing"}


def _prometheus(what: str) -> Any:
    with urllib.request.urlopen(f"http://127.0.0.1:9090/api/v1/{what}", timeout=10) as answer:
        return json.load(answer)["data"]


def test_partitions_grow(compose: Compose) -> None:
    compose.compose("--profile", "pipeline", "rm", "-sf", "relay", *WORKERS, "exporter", "init", "neo4j")
    compose.run("docker", "volume", "rm", f"{PROJECT}_neo4j-data")
    changed = {"HOLONSTREAM_NAMESPACE": "holonstream-b", "HOLONSTREAM_PARTITIONS": "24"}
    compose.environment |= changed
    compose.settings |= changed
    compose.up()
    compose.verify()
    assert len(compose.groups()["holonstream-b-graph"]["partitions"]) == 24
