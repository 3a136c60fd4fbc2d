"""The graph as verification reads it: as it is, damaged or not."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from holonstream.schemas.catalogue import Catalogue
from holonstream.schemas.state import HOLON, RELATIONSHIP, stream_of
from holonstream.sinks.graph.driver import GraphConnection
from holonstream.sinks.graph.empty_streams import empty_streams
from holonstream.sinks.graph.parking import discarded_of, parked_of
from holonstream.sinks.graph.read.load import ids_of, occurring_types
from holonstream.sinks.graph.recovery.rows import Row, of_edge, of_node
from holonstream.sinks.graph.statements import statement, text

BATCH = 2_000  # elements of a scan


class Element(NamedTuple):
    """A node or relationship that a scan found."""

    element: str
    """Neo4j's own id of it"""
    stream: str | None
    """the stream whose entity it is; None when no worker can find it by id, label and type"""
    is_node: bool
    description: str


@dataclass(frozen=True, slots=True)
class Omission:
    """What of a stream's events is not in the graph."""

    parked: int | None = None
    """the version from which the stream is parked"""
    reason: str | None = None
    discarded: frozenset[int] = frozenset()
    """versions left out by an operator"""


class GraphReader:
    """Reads entities, omissions and all elements. Every method raises GraphUnavailable."""

    def __init__(self, connection: GraphConnection, catalogue: Catalogue) -> None:
        self._connection, self._catalogue = connection, catalogue

    async def rows_of(self, streams: Sequence[str]) -> dict[str, list[Row]]:
        """All that the graph has of some streams' entities, by stream.

        Not guaranteed: that a row is of one version. While an entity is written Neo4j may show some properties of
        before and some of after, or none. So a difference counts only when it is seen again.
        """
        holons, relationships = ids_of(streams)
        found: defaultdict[str, list[Row]] = defaultdict(list)
        if holons:
            for i, labels, properties in (await self._connection.execute(text("verify_holons"), ids=holons))[0][0]:
                if (node := of_node(labels, properties)) is not None:
                    found[stream_of(HOLON, i)].append(node)
        if relationships and (types := await occurring_types(self._connection, self._catalogue)):
            query = statement("verify_relationships", self._catalogue, relationship_types=types)
            for i, *columns in (await self._connection.execute(query, ids=relationships))[0][0]:
                found[stream_of(RELATIONSHIP, i)].append(of_edge(*columns))
        return found

    async def omissions(self, streams: Sequence[str]) -> dict[str, Omission]:
        """Which of some streams are parked, or have discarded events.

        Read these before the rows: a stream that is redriven in between then has a version that is beyond its omission.
        """
        parked = await parked_of(self._connection, streams)
        discarded = await discarded_of(self._connection, streams)
        return {
            stream: Omission(
                parked[stream].version if stream in parked else None,
                parked[stream].reason if stream in parked else None,
                discarded.get(stream, frozenset()),
            )
            for stream in parked.keys() | discarded.keys()
        }

    async def empty_versions(self, streams: Sequence[str]) -> dict[str, int]:
        """Up to which version the graph has seen those of some streams that have no entity, where it says so."""
        return {stream: at.version for stream, at in (await empty_streams(self._connection, streams)).items()}

    async def nodes(self) -> AsyncIterator[list[Element]]:
        """Every node that is, or claims to be, a holon, but no bare ends; in batches."""
        types = sorted(self._catalogue.holon_types)
        async with self._connection.stream(text("verify_nodes"), types=types) as rows:
            async for batch in _batches(rows):
                yield [
                    Element(
                        element,
                        None if i is None else stream_of(HOLON, i),
                        True,
                        f"node {_labels(labels)} {stored!r}",
                    )
                    for element, i, labels, stored in batch
                ]

    async def edges(self) -> AsyncIterator[list[Element]]:
        """Every relationship that has an id or a type of the catalogue; in batches."""
        types = sorted(self._catalogue.relationship_types)
        async with self._connection.stream(text("verify_edges"), types=types) as rows:
            async for batch in _batches(rows):
                yield [
                    Element(
                        element,
                        None if i is None else stream_of(RELATIONSHIP, i),
                        False,
                        f"relationship :{name} {stored!r} from {source!r} to {target!r}",
                    )
                    for element, i, name, stored, source, target in batch
                ]


async def _batches(rows: AsyncIterator[list[Any]]) -> AsyncIterator[list[list[Any]]]:
    batch: list[list[Any]] = []
    async for row in rows:
        batch.append(row)
        if len(batch) >= BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


def _labels(labels: Sequence[str]) -> str:
    return "".join(f":{label}" for label in sorted(labels))
