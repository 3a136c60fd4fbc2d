"""What `holonstream doctor` asks of the graph's server."""

from __future__ import annotations

from typing import NamedTuple

from holonstream.sinks.graph.driver import GraphConnection
from holonstream.sinks.graph.statements import text


class GraphServer(NamedTuple):
    """A server of Neo4j."""

    version: str
    edition: str
    now: int
    """its clock, in milliseconds since 1970"""


class OpenTransaction(NamedTuple):
    """A transaction that has been open for long, in any session."""

    id: str
    user: str
    client: str
    seconds: int


async def server_facts(connection: GraphConnection) -> GraphServer:
    """Raises GraphUnavailable, GraphRefused."""
    (row,) = await connection.execute(text("server_facts"))
    return GraphServer(*row)


async def open_transactions(connection: GraphConnection, seconds: int) -> list[OpenTransaction]:
    """Those that have been open for so many seconds. Raises GraphUnavailable, GraphRefused."""
    return [OpenTransaction(*row) for row in await connection.execute(text("open_transactions"), seconds=seconds)]
