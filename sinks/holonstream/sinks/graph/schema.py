"""What the graph needs before a sink may write: constraints, indexes, and a checkpoint per partition.

`holonstream init` makes them (`initialise`). A sink only checks that they are there, so that a wrong address or a
forgotten init is an error at the start, and no graph is written without constraints.
"""

from __future__ import annotations

from typing import NamedTuple

from holonstream.schemas.catalogue import Catalogue
from holonstream.schemas.errors import NotInitialised
from holonstream.sinks.errors import PartitionsAdded
from holonstream.sinks.graph import checkpoint
from holonstream.sinks.graph.driver import GraphConnection
from holonstream.sinks.graph.statements import statement, text


class Index(NamedTuple):
    """An index on properties of a label or relationship type; a unique one is a constraint's."""

    name: str
    properties: tuple[str, ...]
    unique: bool

    def __str__(self) -> str:
        return f"{'unique ' if self.unique else ''}{self.name}({', '.join(self.properties)})"


def wanted(catalogue: Catalogue) -> dict[Index, str]:
    """Every index that the sink and the store rely on, with the statement that makes it."""
    indexes = {
        Index("Holon", ("_id",), True): text("constraint_holon"),
        Index("HolonstreamCheckpoint", ("topic", "partition"), True): text("constraint_checkpoint"),
        Index("HolonstreamParked", ("key",), True): text("constraint_parked"),
        Index("HolonstreamParked", ("topic", "partition"), False): text("index_parked"),
    }
    for name in sorted(catalogue.holon_types):
        indexes[Index(name, ("_id",), False)] = statement("index_holon_type", catalogue, holon_type=name)
    for name in sorted(catalogue.relationship_types):
        indexes[Index(name, ("_id",), True)] = statement(
            "constraint_relationship", catalogue, relationship_types=[name]
        )
    return indexes


async def initialise(connection: GraphConnection, catalogue: Catalogue, topic: str, partitions: int) -> None:
    """Make what is missing: constraints, indexes, and a checkpoint (offset 0) for each partition of the topic.

    Raises PartitionsAdded, GraphUnavailable, GraphRefused.
    """
    followed = await checkpoint.read_all(connection, topic)
    last = max((c.partition for c in followed), default=-1)
    if last + 1 < partitions and any(c.offset for c in followed):
        raise PartitionsAdded(
            f"{connection}: follows {topic} with {last + 1} partitions, and it has {partitions} now: a stream's newer "
            "events are not where the older ones are, so that nothing orders them. Set up a pipeline under another "
            "HOLONSTREAM_NAMESPACE beside this one (docs/compose.md, Grow partitions)"
        )
    there = await _there(connection)
    missing = [make for index, make in wanted(catalogue).items() if index not in there]
    for make in missing:
        await connection.execute(make)
    if missing:
        await connection.execute(text("await_indexes"))
    await checkpoint.create_checkpoints(connection, topic, partitions)


async def check(connection: GraphConnection, catalogue: Catalogue, topic: str) -> int:
    """Check that the graph is ready; returns the number of partitions that have a checkpoint.

    Raises NotInitialised, naming what is missing; GraphUnavailable.
    """
    there = await _there(connection)
    if missing := [str(index) for index in wanted(catalogue) if index not in there]:
        raise NotInitialised(f"{connection}: indexes are missing: {', '.join(missing)}: run `holonstream init`")
    partitions = [c.partition for c in await checkpoint.checkpoints(connection, topic)]
    if partitions != list(range(len(partitions))):
        raise NotInitialised(
            f"{connection}: topic {topic!r} has checkpoints for {partitions} only: run `holonstream init`"
        )
    return len(partitions)


async def _there(connection: GraphConnection) -> set[Index]:
    rows = await connection.execute(text("indexes"))
    return {Index(name, tuple(properties or ()), unique) for name, properties, unique in rows if name}
