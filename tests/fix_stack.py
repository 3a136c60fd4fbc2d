"""
Fixtures over the real servers: one stack for each process that runs tests, and isolation per test.

Set HOLONSTREAM_TEST_STACK_DIR to the data folder of a stack to use it and leave it running, for quick re-runs.
A server that cannot be had is an error, never a skip.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from pathlib import Path

import neo4j
import pytest
import redis
from confluent_kafka.admin import AdminClient

from holonstream import local
from holonstream.local.temporary import temporary_stack
from holonstream.testing.databases import temporary_database


def pytest_report_header() -> list[str]:
    """The versions of the servers and where they run."""
    versions = ", ".join(f"{name} {version}" for name, version in local.versions().items())
    return [f"servers: {versions} ({os.environ.get('HOLONSTREAM_TEST_STACK_DIR') or 'a temporary stack'})"]


@pytest.fixture(scope="session")
def stack() -> Iterator[local.Stack]:
    """The four servers, up."""
    if kept := os.environ.get("HOLONSTREAM_TEST_STACK_DIR"):
        # Of processes that run tests at once, each has a stack: tests clear the graph.
        running = local.Stack(Path(kept) / os.environ.get("PYTEST_XDIST_WORKER", ""), progress=print, fsync=False)
        running.up()
        yield running
    else:
        with temporary_stack(progress=print) as temporary:
            yield temporary


@pytest.fixture
def postgres_dsn(stack: local.Stack) -> Iterator[str]:
    """An empty database of the test's own, dropped afterwards."""
    with temporary_database(stack.env()["HOLONSTREAM_POSTGRES_DSN"]) as dsn:
        yield dsn


@pytest.fixture
def kafka_bootstrap(stack: local.Stack) -> str:
    """The address of the broker."""
    return stack.env()["HOLONSTREAM_KAFKA_BOOTSTRAP"]


@pytest.fixture
def topic_prefix(kafka_bootstrap: str) -> Iterator[str]:
    """A prefix for the test's own topics and groups; topics that begin with it are deleted afterwards."""
    prefix = f"test-{uuid.uuid4().hex}."
    yield prefix
    admin = AdminClient({"bootstrap.servers": kafka_bootstrap})
    if topics := [name for name in admin.list_topics(timeout=30).topics if name.startswith(prefix)]:
        for deleted in admin.delete_topics(topics, operation_timeout=30).values():
            deleted.result()


@pytest.fixture(scope="session")
def _neo4j_driver(stack: local.Stack) -> Iterator[neo4j.Driver]:
    with neo4j.GraphDatabase.driver(stack.env()["HOLONSTREAM_NEO4J_URI"]) as driver:
        yield driver


@pytest.fixture
def neo4j_uri(stack: local.Stack, _neo4j_driver: neo4j.Driver) -> str:
    """The address of an empty graph; constraints and indexes stay from test to test."""
    with _neo4j_driver.session() as session:
        session.run("MATCH (n) CALL (n) { DETACH DELETE n } IN TRANSACTIONS OF 10000 ROWS").consume()
    return stack.env()["HOLONSTREAM_NEO4J_URI"]


@pytest.fixture
def redis_url(stack: local.Stack) -> str:
    """The address of the cache, which all tests share: use `redis_prefix`."""
    return stack.env()["HOLONSTREAM_REDIS_URL"]


@pytest.fixture
def redis_prefix(redis_url: str) -> Iterator[str]:
    """A prefix for the test's own keys; keys that begin with it are deleted afterwards."""
    prefix = f"test-{uuid.uuid4().hex}:"
    yield prefix
    unlink_keys(redis_url, prefix)


def unlink_keys(redis_url: str, prefix: str) -> None:
    """Delete the keys that begin with the prefix."""
    with redis.Redis.from_url(redis_url) as client:
        for key in client.scan_iter(match=f"{prefix}*", count=10_000):
            client.unlink(key)
