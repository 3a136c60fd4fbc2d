"""Shared by the graph's tests: an initialised graph, batches of events into it, and what came out."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from holonstream.schemas.event import Event, RecordedEvent
from holonstream.schemas.partition import partition_of
from holonstream.schemas.state import State
from holonstream.sinks.base import DeadLetter, WriteResult
from holonstream.sinks.graph.driver import GraphConnection
from holonstream.sinks.graph.read.store import Neo4jGraphStore
from holonstream.sinks.graph.schema import initialise
from holonstream.sinks.graph.write.sink import GraphSink
from holonstream.testing.records import Record, batches_of, records_of
from tests.conformance.graph_store import CATALOGUE, log_of

TOPIC = "graph-test.events"
PARTITIONS = 3


class Letters(list[DeadLetter]):
    """Dead letters, as they are published."""

    async def publish(self, letters: Sequence[DeadLetter]) -> None:
        self.extend(letters)


@asynccontextmanager
async def ready(uri: str, partitions: int = PARTITIONS) -> AsyncIterator[GraphConnection]:
    """A connection to a graph that `holonstream init` has made ready."""
    async with GraphConnection(uri) as connection:
        await initialise(connection, CATALOGUE, TOPIC, partitions)
        yield connection


def sink(
    connection: GraphConnection, letters: Letters | None = None, *, cached: int = 4096, group: int = 3
) -> GraphSink:
    """A sink; the group is small, so that a batch of a test has several."""
    publish = (Letters() if letters is None else letters).publish
    return GraphSink(connection, CATALOGUE, TOPIC, publish, cached_states=cached, group=group)


def partitioned(log: Sequence[RecordedEvent], partitions: int = PARTITIONS) -> list[list[Record]]:
    """The records of each partition, as the relay would send them."""
    return [
        records_of(event for event in log if partition_of(event.stream, partitions) == partition)
        for partition in range(partitions)
    ]


async def feed(
    into: GraphSink, log: Sequence[RecordedEvent], size: int = 7, partitions: int = PARTITIONS
) -> list[WriteResult]:
    """Write a log in batches of `size`, partition by partition, from offset 0."""
    written = []
    for partition, records in enumerate(partitioned(log, partitions)):
        await into.assign(TOPIC, partition, None)
        for batch in batches_of(records, size, TOPIC, partition):
            written.append(await into.write(batch))
    return written


async def graph(connection: GraphConnection) -> dict[str, State]:
    """All states, by stream."""
    store = Neo4jGraphStore(connection, CATALOGUE, TOPIC)
    states = [state async for state in store.export()]
    found = {f"{type(state).__name__.lower()}/{state.id}": state for state in states}
    assert len(found) == len(states)
    return found


async def bare(connection: GraphConnection) -> list[str]:
    """The ids of the nodes that are ends but no holons."""
    rows = await connection.execute("MATCH (n:Holon) WHERE n._version IS NULL RETURN n._id ORDER BY n._id")
    return [row[0] for row in rows]


async def holding(connection: GraphConnection, *events: Event) -> Neo4jGraphStore:
    """A store over the graph, after these events."""
    await feed(sink(connection), log_of(*events))
    return Neo4jGraphStore(connection, CATALOGUE, TOPIC)
