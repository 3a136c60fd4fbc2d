"""Clients connect to what a call needs, when it needs it: also after an outage, and in a child that was forked."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import pytest

from holonstream import local
from holonstream.client import (
    Client,
    ClientSettings,
    GraphUnavailable,
    LogUnavailable,
    NotInitialised,
    SyncClient,
)
from holonstream.client.asynchronous import LOG_CALLS
from holonstream.client.connections import graph_connection
from holonstream.client.settings import PREFIX
from holonstream.producers.log.schema import apply_schema
from holonstream.schemas.catalogue import Catalogue
from holonstream.sinks.graph.schema import initialise
from tests.support.event_log import person
from tests.support.proxy import FaultProxy

CATALOGUE = Catalogue.load()
NOWHERE = {"neo4j_uri": "bolt://127.0.0.1:9", "redis_url": "redis://127.0.0.1:9/0"}
READERS = 40  # more than a driver has connections


@pytest.fixture
def environment(stack: local.Stack, postgres_dsn: str, neo4j_uri: str) -> dict[str, str]:
    """The settings of a pipeline that `holonstream init` has made ready."""
    apply_schema(postgres_dsn, CATALOGUE)
    namespace = f"test-{uuid.uuid4().hex}"
    environment = stack.env() | {f"{PREFIX}POSTGRES_DSN": postgres_dsn, f"{PREFIX}NAMESPACE": namespace}
    settings = ClientSettings.of(environment)

    async def init() -> None:
        async with graph_connection(settings) as connection:
            await initialise(connection, CATALOGUE, settings.topic, 1)

    asyncio.run(init())
    return environment


def settings(environment: dict[str, str], **changes: str) -> ClientSettings:
    return ClientSettings.of(environment | {PREFIX + name.upper(): value for name, value in changes.items()})


@contextmanager
def proxied(environment: dict[str, str], name: str) -> Iterator[tuple[FaultProxy, ClientSettings]]:
    """A proxy to the server that a setting names, and the settings that lead through it."""
    address = environment[PREFIX + name.upper()]
    port = urlsplit(address).port
    assert port is not None
    with FaultProxy(port) as proxy:
        yield proxy, settings(environment, **{name: address.replace(f":{port}", f":{proxy.port}")})


def test_appending_and_the_past_need_postgresql_alone(environment: dict[str, str]) -> None:
    with SyncClient.from_settings(settings(environment, **NOWHERE)) as client:
        (appended,) = client.append([person("ada")])
        assert [event.id for event in client.get_events()] == [appended.id]
        holon = client.get_holon("ada", at=appended.position)
        assert holon is not None
        with pytest.raises(GraphUnavailable, match=r"127\.0\.0\.1:9"):
            client.get_holon("ada")
        with pytest.raises(GraphUnavailable, match=r"127\.0\.0\.1:9"):
            client.get_all_holons()
        assert client.append([person("bob")])
    assert "holonstream-client" not in {thread.name for thread in threading.enumerate()}


def test_the_present_needs_the_graph_alone(environment: dict[str, str]) -> None:
    down = {"postgres_dsn": "postgresql://postgres@127.0.0.1:9/none", "redis_url": NOWHERE["redis_url"]}
    with SyncClient.from_settings(settings(environment, **down)) as client:
        assert client.get_holon("ada") is None
        assert client.get_all_holons() == []
        with pytest.raises(LogUnavailable, match="port 9"):
            client.append([person("ada")])


def test_a_warning_does_not_stand_among_what_the_program_prints(environment: dict[str, str]) -> None:
    program = """if True:
        from holonstream.client import SyncClient
        with SyncClient.from_settings() as client:
            print(client.get_holon("ada"))
        """
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=os.environ | environment | {f"{PREFIX}REDIS_URL": NOWHERE["redis_url"]},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "None\n"
    assert "127.0.0.1:9" in done.stderr


def test_the_call_that_needs_a_store_says_that_it_is_not_initialised(stack: local.Stack, postgres_dsn: str) -> None:
    changes = {"postgres_dsn": postgres_dsn, "namespace": f"test-{uuid.uuid4().hex}"}
    with SyncClient.from_settings(settings(stack.env(), **changes)) as client:
        with pytest.raises(NotInitialised, match="holonstream init"):
            client.get_all_holons()
        with pytest.raises(NotInitialised, match="holonstream init"):
            client.append([person("ada")])


def test_a_first_call_that_failed_does_not_spoil_the_next(environment: dict[str, str]) -> None:
    with proxied(environment, "neo4j_uri") as (proxy, through), SyncClient.from_settings(through) as client:
        proxy.cut()
        with pytest.raises(GraphUnavailable):
            client.get_all_holons()
        proxy.restore()
        assert client.get_all_holons() == []
    with proxied(environment, "postgres_dsn") as (proxy, through), SyncClient.from_settings(through) as client:
        proxy.cut()
        with pytest.raises(LogUnavailable):
            client.append([person("ada")])
        proxy.restore()
        assert client.append([person("ada")])


def test_first_calls_at_the_same_time_share_what_they_connect(environment: dict[str, str]) -> None:
    async def read(through: ClientSettings) -> None:
        async with Client.from_settings(through) as client:
            await asyncio.gather(*(client.traverse_relationships(f"p-{n}") for n in range(READERS)))

    async def append(through: ClientSettings) -> None:
        async with Client.from_settings(through) as client:
            await asyncio.gather(*(client.append([person(f"p-{n}")]) for n in range(READERS)))

    with proxied(environment, "neo4j_uri") as (proxy, through):
        asyncio.run(read(through))
        assert 0 < proxy.connections < READERS
    with proxied(environment, "postgres_dsn") as (proxy, through):
        asyncio.run(append(through))
        assert 0 < proxy.connections <= LOG_CALLS + 1


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_after_a_fork_child_and_parent_each_have_connections_of_their_own(
    kind: str, environment: dict[str, str]
) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "tests.support.forking_client", kind],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert ended.returncode == 0, ended.stderr
    seen = json.loads(ended.stdout)

    def used(who: str) -> list[str]:
        return [f"holon/{who}", "None", "agent-1"]

    expected = {"before": used("before"), "child": used("child"), "after": used("after")}
    if kind == "sync":
        expected["grandchildren"] = [used("grandchild"), used("child-again")]  # type: ignore[list-item]
    assert seen == expected
    assert "Error" not in ended.stderr
