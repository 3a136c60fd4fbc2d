"""What all requests share: one client, one connection to the graph, one watch and one feed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial

from holonstream.client import Client
from holonstream.client.connections import catalogue, graph_connection
from holonstream.ops.console.feed import EventFeed
from holonstream.ops.console.live import LivePage
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
    live: LivePage
    connection: GraphConnection

    def frontier(self) -> int:
        """The log's gap-free position. Raises LogUnavailable."""
        return read_frontier(self.settings)

    async def graph(self) -> GraphConnection:
        """The graph's database, for what a client does not ask. Raises GraphUnavailable, GraphRefused."""
        await self.connection.open()
        return self.connection


def read_frontier(settings: Settings) -> int:
    """The log's gap-free position. Raises LogUnavailable."""
    with LogReader(settings.log_dsn, APPLICATION) as log:
        return log.frontier().frontier


@asynccontextmanager
async def services(settings: Settings) -> AsyncIterator[Services]:
    """Everything, closed at the end."""
    async with Client.from_settings(settings) as client:
        connection = graph_connection(settings)
        watch = Watch(settings, connection)
        polling = asyncio.create_task(watch.run())
        try:
            yield Services(
                settings,
                catalogue(settings),
                client,
                EventFeed(client, partial(read_frontier, settings)),
                watch,
                LivePage(settings, watch),
                connection,
            )
        finally:
            polling.cancel()
            await watch.close()
            await connection.close()
