"""The graph store on Neo4j."""

from __future__ import annotations

from typing import Any

from holonstream.schemas.catalogue import Catalogue
from holonstream.schemas.errors import NotInitialised
from holonstream.schemas.partition import partition_of
from holonstream.schemas.state import HOLON, stream_of
from holonstream.schemas.token import Token
from holonstream.sinks.freshness import reach
from holonstream.sinks.graph import checkpoint, schema
from holonstream.sinks.graph.checkpoint import Checkpoint
from holonstream.sinks.graph.driver import GraphConnection
from holonstream.sinks.graph.parking import parked_key
from holonstream.sinks.graph.read.reads import Neo4jReads
from holonstream.sinks.graph.read.whole import read_holons
from holonstream.sinks.graph.statements import text
from holonstream.sinks.store import GraphReads, HolonRead, SemanticGraphStore


class Neo4jGraphStore(SemanticGraphStore):
    """Reads the graph that GraphSink writes."""

    def __init__(self, connection: GraphConnection, catalogue: Catalogue, topic: str) -> None:
        self._connection, self._catalogue, self._topic = connection, catalogue, topic
        self._reads = Neo4jReads(connection, catalogue, topic)
        self._partitions: int | None = None

    async def open(self) -> None:
        """Connect and check that the graph is ready. Raises NotInitialised, GraphUnavailable, GraphRefused."""
        await self._connection.open()
        self._partitions = await schema.check(self._connection, self._catalogue, self._topic)

    async def close(self) -> None:
        """Close all connections; closing twice is fine."""
        await self._connection.close()

    async def checkpoints(self) -> list[Checkpoint]:
        """How far the graph has come, per partition. Raises NotInitialised, GraphUnavailable."""
        return await checkpoint.checkpoints(self._connection, self._topic)

    async def read_holon(self, holon_id: str) -> HolonRead:
        """A holon with the checkpoint that was read before it: the holon is at least as new as that position.

        Raises NotInitialised, GraphUnavailable.
        """
        stream = stream_of(HOLON, holon_id)
        partition, rows = await self._read_with_checkpoint(holon_id, stream, self._partitions or await self._count())
        if not rows:  # there are more than there were, or fewer
            partition, rows = await self._read_with_checkpoint(holon_id, stream, await self._count())
        if not rows:
            raise NotInitialised(f"{self._connection}: {self._topic}[{partition}] has no checkpoint")
        position, is_parked, labels, properties = rows[0]
        found = [] if labels is None else [(labels, properties)]
        holons, whole = await read_holons(self._connection, self._catalogue, found)
        return HolonRead(holons.get(holon_id), partition, position, whole, is_parked)

    async def _count(self) -> int:
        """How many partitions the topic has; read from the graph."""
        self._partitions = len(await self.checkpoints())
        return self._partitions

    async def _read_with_checkpoint(self, holon_id: str, stream: str, partitions: int) -> tuple[int, list[list[Any]]]:
        """The holon's partition, and its row; none unless the topic has so many partitions."""
        partition = partition_of(stream, partitions)
        rows = await self._connection.execute(
            text("holon_read"),
            topic=self._topic,
            partition=partition,
            partitions=partitions,
            id=holon_id,
            key=parked_key(stream),
        )
        return partition, rows

    async def _fresh(self, at_least: Token | str | None, deadline: float | None) -> GraphReads:
        await reach(self._reads.reached, at_least, deadline)
        return self._reads
