"""Fixtures for pytest, which loads this module by its entry point (docs/testing.md).

    holonstream_client, holonstream_sync_client    the clients, over the two below
    holonstream_log                                the log: in memory, or holonstream_postgres_dsn's
    holonstream_graph                              the graph, in memory
    holonstream_catalogue                          the event types: HOLONSTREAM_SCHEMAS, or those that ship
    holonstream_postgres_dsn                       a database of the test's own, with the log in it

Nothing of holonstream is imported before a test asks for a fixture: pytest loads this module in every session of an
environment that holonstream is installed in.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from holonstream.client import Client, SyncClient
    from holonstream.producers.log.store import EventStore
    from holonstream.schemas.catalogue import Catalogue
    from holonstream.testing.memory_graph import MemoryGraphStore


@pytest.fixture(scope="session")
def holonstream_catalogue() -> Catalogue:
    """The event types that HOLONSTREAM_SCHEMAS says, else those that ship. Override it to name others."""
    from holonstream.client import ClientSettings
    from holonstream.client.connections import catalogue

    return catalogue(ClientSettings.load())


@pytest.fixture(scope="session")
def holonstream_postgres_server() -> str:
    """The PostgreSQL server for holonstream_postgres_dsn, as a connection string whose user may create databases.

    Override it to name a server in another way than by HOLONSTREAM_POSTGRES_DSN.
    """
    dsn = os.environ.get("HOLONSTREAM_POSTGRES_DSN")
    if not dsn:
        pytest.fail("holonstream_postgres_dsn needs a server: set HOLONSTREAM_POSTGRES_DSN", pytrace=False)
    return dsn


@pytest.fixture(scope="session")
def _holonstream_template(holonstream_postgres_server: str, holonstream_catalogue: Catalogue) -> Iterator[str]:
    """The connection string of a database with an empty log, from which each test's own is copied."""
    from holonstream.producers.log.schema import apply_schema
    from holonstream.testing.databases import temporary_database

    with temporary_database(holonstream_postgres_server) as dsn:
        apply_schema(dsn, holonstream_catalogue)
        yield dsn


@pytest.fixture
def holonstream_postgres_dsn(holonstream_postgres_server: str, _holonstream_template: str) -> Iterator[str]:
    """The connection string of a database of the test's own, with an empty log in it.

    A test that uses it gets clients over this log.
    """
    from holonstream.testing.databases import temporary_database

    with temporary_database(holonstream_postgres_server, copy_of=_holonstream_template) as dsn:
        yield dsn


@pytest.fixture
def holonstream_log(request: pytest.FixtureRequest, holonstream_catalogue: Catalogue) -> Iterator[EventStore]:
    """The log: in PostgreSQL when the test uses holonstream_postgres_dsn, else in memory."""
    if "holonstream_postgres_dsn" in request.fixturenames:
        from holonstream.producers.log.store import PostgresEventStore

        with PostgresEventStore(request.getfixturevalue("holonstream_postgres_dsn"), holonstream_catalogue) as log:
            yield log
    else:
        from holonstream.testing.memory_log import MemoryEventStore

        yield MemoryEventStore(holonstream_catalogue)


@pytest.fixture
def holonstream_graph(holonstream_log: EventStore, holonstream_catalogue: Catalogue) -> MemoryGraphStore:
    """The graph, in memory: it shows what is in the log, unless it is made to lag."""
    from holonstream.testing.memory_graph import MemoryGraphStore

    return MemoryGraphStore(holonstream_log, holonstream_catalogue)


@pytest.fixture
def holonstream_client(
    holonstream_graph: MemoryGraphStore, holonstream_log: EventStore, holonstream_catalogue: Catalogue
) -> Client:
    """The client for asyncio, over an empty log."""
    from holonstream.client import Client

    return Client(holonstream_graph, holonstream_log, holonstream_catalogue)


@pytest.fixture
def holonstream_sync_client(
    holonstream_graph: MemoryGraphStore, holonstream_log: EventStore, holonstream_catalogue: Catalogue
) -> Iterator[SyncClient]:
    """The blocking client, over the same log and graph."""
    from holonstream.client import Client, SyncClient

    @asynccontextmanager
    async def opening() -> AsyncIterator[Client]:
        yield Client(holonstream_graph, holonstream_log, holonstream_catalogue)

    with SyncClient.over(opening()) as client:
        yield client
