"""What all requests share: one client, one connection to the graph, one watch and one feed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from holonstream.client import Client
from holonstream.client.connections import catalogue, graph_connection
from holonstream.ops.console.feed import EventFeed
from holonstream.ops.console.watch import Watch
from holonstream.ops.settings import Settings
from holonstream.producers.log.reader import LogReader
from holonstream.schemas.catalogue import Catalogue
from holonstream.sinks.graph.driver import GraphConnection

APPLICATION = "holonstream-console"


@dataclass(frozen=True, slots=True)
class Services:
    """Open from the start of the server to its end; nothing is connected to before it is needed."""

    settings: Settings
    catalogue: Catalogue
    client: Client
    feed: EventFeed
    watch: Watch
    connection: GraphConnection

    async def graph(self) -> GraphConnection:
        """The graph's database, for what a client does not ask. Raises GraphUnavailable, GraphRefused."""
        await self.connection.open()
        return self.connection


@asynccontextmanager
async def services(settings: Settings) -> AsyncIterator[Services]:
    """Everything, closed at the end."""

    def frontier() -> int:
        with LogReader(settings.log_dsn, APPLICATION) as log:
            return log.frontier().frontier

    async with Client.from_settings(settings) as client:
        connection = graph_connection(settings)
        watch = Watch(settings)
        polling = asyncio.create_task(watch.run())
        try:
            yield Services(settings, catalogue(settings), client, EventFeed(client, frontier), watch, connection)
        finally:
            polling.cancel()
            await watch.close()
            await connection.close()
