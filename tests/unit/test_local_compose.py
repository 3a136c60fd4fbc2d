"""docker-compose.yml holds together, names what exists, and runs the servers that the local stack runs.

Nothing here runs a container: `make compose-test` does.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from holonstream.client.settings import PREFIX
from holonstream.local import jars
from holonstream.ops import probe
from holonstream.ops.commands import COMMANDS
from holonstream.ops.settings import Settings

ROOT = Path(__file__).parents[2]
FILE = ROOT / "docker-compose.yml"
BROKERS = ROOT / "docker-compose.brokers.yml"
STORES = {"postgres", "kafka", "neo4j", "redis"}
MEASURED = {"relay", "graph-worker", "cache-worker", "exporter"}
PROCESSES = {"init"} | MEASURED
OBSERVERS = {"prometheus", "grafana"}


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(FILE.read_text())
    return loaded


def environment(service: dict[str, Any]) -> dict[str, str]:
    """A service's variables as they are when nothing is set outside."""
    return {
        name: re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", str(value)) for name, value in service.get("environment", {}).items()
    }


@pytest.mark.parametrize("file", [FILE, BROKERS], ids=lambda file: file.name)
def test_it_is_what_the_compose_specification_allows(file: Path) -> None:
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", str(file)]
    checked = subprocess.run(command, capture_output=True, text=True)
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_the_stores_start_alone_and_the_rest_by_profile(compose: dict[str, Any]) -> None:
    profiles = {name: service.get("profiles") for name, service in compose["services"].items()}
    assert profiles == {
        **dict.fromkeys(STORES),
        **{name: ["pipeline"] for name in PROCESSES},
        **{name: ["observability"] for name in OBSERVERS},
    }


def test_every_store_has_a_healthcheck_and_a_declared_volume(compose: dict[str, Any]) -> None:
    for name in STORES | OBSERVERS:
        service = compose["services"][name]
        assert service["healthcheck"]["test"][0] in {"CMD", "CMD-SHELL"}
        volumes = {volume.split(":")[0] for volume in service.get("volumes", []) if not volume.startswith(".")}
        assert volumes <= set(compose["volumes"])
        assert volumes or name == "redis", f"{name} would lose its data"


def test_files_that_are_mounted_exist_and_cannot_be_changed(compose: dict[str, Any]) -> None:
    mounted = [
        volume
        for service in compose["services"].values()
        for volume in service.get("volumes", [])
        if volume.startswith(".")
    ]
    assert len(mounted) == 3
    for volume in mounted:
        source, _, mode = volume.split(":")
        assert mode == "ro"
        assert any((ROOT / source).rglob("*.*")), source


def test_every_dependency_exists_and_can_be_awaited(compose: dict[str, Any]) -> None:
    for name, service in compose["services"].items():
        for other, how in service.get("depends_on", {}).items():
            there = compose["services"][other]
            assert there.get("profiles") in (None, service.get("profiles")), f"{name} waits for what may not be started"
            if how["condition"] == "service_healthy":
                assert "healthcheck" in there, f"{name} waits for {other}"
            else:
                assert how["condition"] == "service_completed_successfully"
                assert there["restart"] == "no"


def test_commands_of_our_processes_exist(compose: dict[str, Any]) -> None:
    commands = {command.name: command for command in COMMANDS}
    for service in PROCESSES:
        program, name, *arguments = compose["services"][service]["command"]
        assert program == "holonstream"
        with commands[name].make_context(name, arguments) as context:
            assert isinstance(context, click.Context)  # raises when an argument or option is unknown


def test_settings_of_our_processes_are_valid_and_name_every_store(compose: dict[str, Any]) -> None:
    known = {PREFIX + name.upper() for name in Settings.__struct_fields__}
    for name in PROCESSES:
        given = environment(compose["services"][name])
        assert given.keys() <= known
        settings = Settings.of(given)
        stores = [
            settings.postgres_dsn.reveal(),
            settings.kafka_bootstrap,
            settings.neo4j_uri,
            settings.redis_url.reveal(),
        ]
        for store, address in zip(("postgres", "kafka", "neo4j", "redis"), stores, strict=True):
            assert re.search(rf"\b{store}:\d+", address.partition("://")[2] or address), address
        assert bool(settings.metrics_port) == (name in MEASURED)


def test_one_build_makes_the_image_of_all_processes(compose: dict[str, Any]) -> None:
    assert [name for name, service in compose["services"].items() if "build" in service] == ["init"]
    assert len({compose["services"][name]["image"] for name in PROCESSES}) == 1


def test_stores_come_back_and_are_confined(compose: dict[str, Any]) -> None:
    brokers = yaml.safe_load(BROKERS.read_text())["services"]
    stores = {name: compose["services"][name] for name in STORES} | {n: brokers[n] for n in ("kafka-2", "kafka-3")}
    for name, service in stores.items():
        assert service["restart"] == "unless-stopped", name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert "mem_limit" in service, name


def test_three_brokers_are_three_times_the_one(compose: dict[str, Any]) -> None:
    others = yaml.safe_load(BROKERS.read_text())["services"]
    one = compose["services"]["kafka"]["environment"]
    for node in (2, 3):
        own = others[f"kafka-{node}"]["environment"]
        assert own.keys() == one.keys() | others["kafka"]["environment"].keys()
        assert own["KAFKA_NODE_ID"] == node
        assert others[f"kafka-{node}"]["healthcheck"] == compose["services"]["kafka"]["healthcheck"]
    for name in PROCESSES:
        settings = Settings.of(environment(compose["services"][name]) | environment(others[name]))
        assert settings.replication == 3
        assert settings.kafka_bootstrap.count(":9092") == 3


def test_our_processes_are_confined(compose: dict[str, Any]) -> None:
    assert set(compose["services"]) == STORES | PROCESSES | OBSERVERS
    for name in PROCESSES:
        service = compose["services"][name]
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert "user" not in service, "the image's own is not root"
        assert "privileged" not in service


def test_our_processes_can_be_scaled(compose: dict[str, Any]) -> None:
    for name in MEASURED:
        service = compose["services"][name]
        assert not service.keys() & {"ports", "container_name", "hostname"}, (
            f"two of {name} would be in each other's way"
        )
    assert compose["services"]["relay"]["deploy"]["replicas"] == 2, "one stands by"


def test_our_processes_are_asked_how_they_are(compose: dict[str, Any]) -> None:
    for name in MEASURED:
        assert compose["services"][name]["healthcheck"]["test"] == ["CMD", "python", "-m", probe.__name__, "readyz"]


def test_ports_are_published_on_loopback_only(compose: dict[str, Any]) -> None:
    published = [port for service in compose["services"].values() for port in service.get("ports", [])]
    assert published
    assert all(port.startswith("127.0.0.1:") for port in published)
    hosts = [port.split(":")[1] for port in published]
    assert len(hosts) == len(set(hosts))


def test_versions_are_those_of_the_local_stack(compose: dict[str, Any]) -> None:
    images = {name: compose["services"][name]["image"] for name in STORES}
    assert images["kafka"] == f"apache/kafka:{jars.version('kafka')}"
    assert images["neo4j"] == f"neo4j:{'.'.join(jars.version('neo4j').split('.')[:2])}-community"


def test_the_stores_are_set_up_as_the_pipeline_needs_them(compose: dict[str, Any]) -> None:
    kafka, redis = compose["services"]["kafka"]["environment"], compose["services"]["redis"]["command"]
    assert kafka["KAFKA_LOG_RETENTION_MS"] == -1
    assert redis[redis.index("--maxmemory-policy") + 1] == "volatile-ttl"
