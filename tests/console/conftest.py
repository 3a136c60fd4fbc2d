"""One pipeline with a history in it, one console, and one browser, for all tests of the folder."""

from __future__ import annotations

import asyncio
import re
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from holonstream import local
from holonstream.client import Appended, Event, SyncClient
from holonstream.local import ports
from holonstream.ops.commands.init import initialise
from holonstream.ops.processes import Processes
from holonstream.ops.settings import Settings
from holonstream.schemas.event import parse_event
from holonstream.sinks.graph.driver import GraphConnection
from holonstream.testing.databases import temporary_database
from tests.fix_pipeline import Pipeline
from tests.fix_stack import unlink_keys
from tests.support.chromium import chromium
from tests.support.poison import POISON
from tests.support.waiting import wait_until

EVIL = '"><script>alert(1)</script><img src=x onerror=alert(2)>\u202egnp.exe'


@dataclass
class Console:
    """A running console over a running pipeline."""

    url: str
    pipeline: Pipeline
    settings: Settings

    def append(self, *events: Event) -> list[Appended]:
        with SyncClient.from_settings(self.settings) as client:
            return client.append(list(events))


def fact(type: str, *subjects: str, at: str = "2024-03-01", **payload: object) -> Event:
    return Event(
        type=type, occurred_at=at, actor="tester", subjects=subjects, source_system="test", payload=dict(payload)
    )


@pytest.fixture(scope="session")
def console(
    stack: local.Stack, small_organisation: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Console]:
    """The organisation's history, a parked stream, and a holon with a hostile name."""
    logs = tmp_path_factory.mktemp("console")
    namespace = f"test-{uuid.uuid4().hex}"
    measured = ports.choose(("graph", "cache"))
    with temporary_database(stack.env()["HOLONSTREAM_POSTGRES_DSN"]) as dsn:
        environment = {
            **stack.env(),
            "HOLONSTREAM_POSTGRES_DSN": dsn,
            "HOLONSTREAM_NAMESPACE": namespace,
            "HOLONSTREAM_SESSION_TIMEOUT": "6",
            "HOLONSTREAM_COMMIT_INTERVAL": "0.2",
            "HOLONSTREAM_PARTITIONS": "3",
            "HOLONSTREAM_METRICS_INTERVAL": "1",
            "HOLONSTREAM_CONSOLE_WORKERS": ",".join(f"127.0.0.1:{port}" for port in measured.values()),
        }
        settings = Settings.of(environment)
        asyncio.run(_empty(settings.neo4j_uri))
        initialise(settings)
        with Processes(environment, logs) as processes:
            made = Console("", Pipeline(environment, processes), settings)
            made.pipeline.run("import", str(small_organisation))
            made.append(
                fact("PersonCreated", EVIL, name=EVIL, **{EVIL: EVIL}),
                *(parse_event(envelope) for envelope in POISON),
                fact("AssignmentStarted", "hub", EVIL, relationshipId=EVIL, relationshipType="OCCUPIES"),
                fact("PersonCreated", "hub", name="Hub"),
                *(fact("PersonCreated", f"spoke-{n}", name=f"Spoke {n}") for n in range(4)),
                *(
                    fact(
                        "AssignmentStarted", "hub", f"spoke-{n}", relationshipId=f"hs-{n}", relationshipType="OCCUPIES"
                    )
                    for n in range(4)
                ),
                fact("AssignmentStarted", "spoke-0", "rim", relationshipId="rim-0", relationshipType="OCCUPIES"),
                fact("PersonModified", "hub", at="2024-06-01", diff={"rank": "O-4"}),
            )
            made.pipeline.start("relay")
            for name, port in measured.items():
                processes.start(name, "worker", name, metrics_port=port)
            made.pipeline.wait_until_caught_up("graph", "cache")
            processes.start("console", "console", "--port", "0")
            made.url = wait_until(lambda: _address(logs / "console.log"), "the console's address")
            yield made
        unlink_keys(stack.env()["HOLONSTREAM_REDIS_URL"], f"{namespace}:")


def _address(log: Path) -> str | None:
    found = re.search(r"http://\S+", log.read_text())
    return found[0] if found else None


async def _empty(uri: str) -> None:
    async with GraphConnection(uri) as connection:
        await connection.execute("MATCH (n) CALL (n) { DETACH DELETE n } IN TRANSACTIONS OF 10000 ROWS")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A headless Chromium."""
    with chromium() as opened:
        yield opened
