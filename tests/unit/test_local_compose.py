"""docker-compose.yml holds together, and runs the servers that the local stack runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from local import jars

STORES = {"postgres", "kafka", "neo4j", "redis"}
PROCESSES = {"init", "relay", "graph-worker", "cache-worker"}


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    path = Path(__file__).parents[2] / "docker-compose.yml"
    loaded: dict[str, Any] = yaml.safe_load(path.read_text())
    return loaded


def test_every_store_has_a_healthcheck_and_a_declared_volume(compose: dict[str, Any]) -> None:
    for name in STORES:
        service = compose["services"][name]
        assert service["healthcheck"]["test"][0] in {"CMD", "CMD-SHELL"}
        volumes = {volume.split(":")[0] for volume in service.get("volumes", [])}
        assert volumes <= set(compose["volumes"])
        assert volumes or name == "redis", f"{name} would lose its data"


def test_every_dependency_exists_and_can_be_awaited(compose: dict[str, Any]) -> None:
    for name, service in compose["services"].items():
        for other, how in service.get("depends_on", {}).items():
            if how["condition"] == "service_healthy":
                assert "healthcheck" in compose["services"][other], f"{name} waits for {other}"
            else:
                assert how["condition"] == "service_completed_successfully"
                assert compose["services"][other]["restart"] == "no"


def test_our_processes_are_built_here_and_know_every_store(compose: dict[str, Any]) -> None:
    assert set(compose["services"]) == STORES | PROCESSES
    for name in PROCESSES:
        service = compose["services"][name]
        assert service["build"] == "."
        assert {
            "HOLONSTREAM_POSTGRES_DSN",
            "HOLONSTREAM_KAFKA_BOOTSTRAP",
            "HOLONSTREAM_NEO4J_URI",
            "HOLONSTREAM_REDIS_URL",
        } <= set(service["environment"])


def test_ports_are_published_on_loopback_only(compose: dict[str, Any]) -> None:
    published = [port for service in compose["services"].values() for port in service.get("ports", [])]
    assert published
    assert all(port.startswith("127.0.0.1:") for port in published)


def test_versions_are_those_of_the_local_stack(compose: dict[str, Any]) -> None:
    images = {name: compose["services"][name]["image"] for name in STORES}
    assert images["kafka"] == f"apache/kafka:{jars.version('kafka')}"
    assert images["neo4j"] == f"neo4j:{'.'.join(jars.version('neo4j').split('.')[:2])}-community"
