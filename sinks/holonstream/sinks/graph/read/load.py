"""Loading the present states of entities."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from holonstream.schemas.catalogue import Catalogue
from holonstream.schemas.state import HOLON, RELATIONSHIP, State, stream_of
from holonstream.sinks.errors import GraphDamaged, GraphUnavailable
from holonstream.sinks.graph.driver import ExecutionFailed, GraphConnection, Transaction
from holonstream.sinks.graph.mapping import DamagedRow, holon_of, is_bare, own_labels, relationship_of
from holonstream.sinks.graph.statements import count_statement, statement, text


class Loader:
    """Loads states by stream; remembers which relationship types occur, as a seek is needed for each of them."""

    def __init__(self, connection: GraphConnection, catalogue: Catalogue) -> None:
        self._connection, self._catalogue = connection, catalogue
        self._types: set[str] | None = None
        self._forgotten = 0

    async def warm(self) -> None:
        """Have the server plan the statements that the first load will need. Raises GraphUnavailable."""
        await asyncio.gather(holon_rows(self._connection, []), occurring_types(self._connection, self._catalogue))

    def forget_types(self) -> None:
        """Read again which types occur: another worker may have written the first relationship of a type.

        Call it once that worker is done: after the checkpoint's lock was taken.
        """
        self._types = None
        self._forgotten += 1

    def add_types(self, types: set[str]) -> None:
        """Add types that were written."""
        if self._types is not None:
            self._types |= types

    async def load(self, streams: Sequence[str]) -> dict[str, State]:
        """The states of some streams, in at most two queries; those that have none are left out.

        Raises GraphDamaged when a state cannot be read, GraphUnavailable, for ExecutionFailed too: a failed load says
        nothing about the values to be written.
        """
        try:
            return await self._load(streams)
        except ExecutionFailed as error:
            raise GraphUnavailable(str(error)) from error

    async def _load(self, streams: Sequence[str]) -> dict[str, State]:
        holons, relationships = ids_of(streams)
        states: dict[str, State] = {}
        if holons:
            for all_labels, properties in await holon_rows(self._connection, holons):
                labels = own_labels(all_labels, properties, self._catalogue.holon_types)
                if is_bare(labels, properties):
                    continue
                holon_id = properties.get("_id")
                try:
                    holon = holon_of(labels, properties)
                except DamagedRow as error:
                    raise _damaged(HOLON, holon_id, error) from error
                states[stream_of(HOLON, holon.id)] = holon
        if relationships and (types := await self._occurring_types()):
            query = statement("relationships_load", self._catalogue, relationship_types=types)
            for row in (await self._connection.execute(query, ids=relationships))[0][0]:
                relationship_id = row[-1].get("_id")
                try:
                    relationship = relationship_of(*row)
                    if (stream := stream_of(RELATIONSHIP, relationship.id)) in states:
                        raise DamagedRow("it is there more than once")
                except DamagedRow as error:
                    raise _damaged(RELATIONSHIP, relationship_id, error) from error
                states[stream] = relationship
        return states

    async def _occurring_types(self) -> set[str]:
        while self._types is None:
            forgotten = self._forgotten
            found = set(await occurring_types(self._connection, self._catalogue))
            if forgotten == self._forgotten:  # else it may have been asked too early
                self._types = found
        return self._types


def _damaged(kind: str, identity: Any, error: DamagedRow) -> GraphDamaged:
    return GraphDamaged(
        f"{kind}/{identity} in Neo4j is not as it was written ({error}): if it is not just being deleted, type "
        "`holonstream verify graph --no-wait --repair`"
    )


def ids_of(streams: Sequence[str]) -> tuple[list[str], list[str]]:
    """The ids of the holons and of the relationships that some streams belong to."""
    holons: list[str] = []
    relationships: list[str] = []
    for stream in streams:
        kind, _, entity = stream.partition("/")
        (holons if kind == HOLON else relationships).append(entity)
    return holons, relationships


async def holon_rows(connection: GraphConnection, ids: Sequence[str]) -> list[list[Any]]:
    """Labels and properties of those of these ids that are holons, in any order. Raises GraphUnavailable."""
    rows: list[list[Any]] = (await connection.execute(text("holons_load"), ids=list(ids)))[0][0]
    return rows


async def occurring_types(database: GraphConnection | Transaction, catalogue: Catalogue) -> list[str]:
    """The relationship types of which the graph has any, sorted. Raises GraphUnavailable."""
    names = sorted(catalogue.relationship_types)
    (counts,) = await database.execute(count_statement(catalogue, names))
    return [name for name, count in zip(names, counts, strict=True) if count]
