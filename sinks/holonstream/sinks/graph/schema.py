"""What the graph needs before a sink may write: constraints, indexes, and a checkpoint per partition.

`holonstream init` makes them (`initialise`). A sink only checks that they are there, so that a wrong address or a
forgotten init is an error at the start, and no graph is written without constraints.

Constraints and indexes are stated whole (`wanted`), and made when they are missing. What else changes in nodes of ours
is a migration, ``migrations/0001_checkpoints.cypher`` and so on: one statement, run once, in one transaction with its
record ``(:HolonstreamMigration {number, name, release, appliedAt})``. Number 0 stands for the constraints and indexes,
and is the lock of an upgrade. Holons and relationships are not migrated: a graph that must become another is rebuilt
from the log. Programs of the release before run on an upgraded graph.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from functools import cache, partial
from importlib.metadata import version
from typing import Any, NamedTuple

from holonstream.schemas.catalogue import Catalogue
from holonstream.schemas.errors import NotInitialised, PartitionsAdded
from holonstream.schemas.migration import AppliedMigration, Migration, SchemaStatus, pending_migrations, read_migrations
from holonstream.schemas.retry import retry_deadlock
from holonstream.sinks.errors import GraphRefused, GraphUnavailable
from holonstream.sinks.graph import checkpoint
from holonstream.sinks.graph.driver import Deadlock, GraphConnection, Transaction
from holonstream.sinks.graph.statements import statement, text

INDEXES = "indexes"
AT_ONCE = 4  # constraints that are made at the same time; with more they wait for each other
UNKNOWN = 2**62
"""A position that no event has."""


class DuplicateIds(NotInitialised):
    """A uniqueness constraint is missing, and what it would not let be is there."""


class Index(NamedTuple):
    """An index on properties of a label or relationship type; a unique one is a constraint's."""

    name: str
    properties: tuple[str, ...]
    unique: bool
    of_relationships: bool = False

    def __str__(self) -> str:
        return f"{'unique ' if self.unique else ''}{self.name}({', '.join(self.properties)})"


def wanted(catalogue: Catalogue) -> dict[Index, str]:
    """Every index that the sink and the store rely on, with the statement that makes it."""
    indexes = {
        Index("Holon", ("_id",), True): text("constraint_holon"),
        Index("HolonstreamCheckpoint", ("topic", "partition"), True): text("constraint_checkpoint"),
        Index("HolonstreamParked", ("key",), True): text("constraint_parked"),
        Index("HolonstreamParked", ("topic", "partition"), False): text("index_parked"),
        Index("HolonstreamEmptyStream", ("key",), True): text("constraint_empty_stream"),
    }
    for name in sorted(catalogue.holon_types):
        indexes[Index(name, ("_id",), False)] = statement("index_holon_type", catalogue, holon_type=name)
    for name in sorted(catalogue.relationship_types):
        indexes[Index(name, ("_id",), True, True)] = statement(
            "constraint_relationship", catalogue, relationship_types=[name]
        )
    return indexes


@cache
def migrations() -> list[Migration]:
    """All numbered migrations of this release, in order."""
    return read_migrations("holonstream.sinks.graph", "migrations")


async def initialise(
    connection: GraphConnection, catalogue: Catalogue, topic: str, partitions: int, log_end: int = UNKNOWN
) -> None:
    """Make what is missing: constraints, indexes, and a checkpoint (offset 0) for each partition of the topic.

    `log_end` is a position that no event in the graph is beyond. A worker loads entities of events up to it when a
    checkpoint was missing in a graph that has entities.
    Raises SchemaNewer, PartitionsAdded, DuplicateIds, NotInitialised (another program's index is in the way),
    GraphUnavailable, GraphRefused.
    """
    followed = await checkpoint.read_all(connection, topic)
    last = max((c.partition for c in followed), default=-1)
    if last + 1 < partitions and any(c.offset for c in followed):
        raise PartitionsAdded(
            f"{connection}: follows {topic} with {last + 1} partitions, and it has {partitions} now: a stream's newer "
            "events are not where the older ones are, so that nothing orders them. Set up a pipeline under another "
            "HOLONSTREAM_NAMESPACE beside this one (docs/compose.md, Grow partitions)"
        )
    await upgrade(connection, catalogue)
    await checkpoint.create_checkpoints(connection, topic, partitions, log_end)


async def graph_status(connection: GraphConnection, catalogue: Catalogue) -> SchemaStatus:
    """What was applied to a graph and what is pending; changes nothing. Raises SchemaNewer, GraphUnavailable."""
    reading = connection.execute(text("migrations_applied")), missing_indexes(connection, catalogue)
    rows, missing = await asyncio.gather(*reading)
    applied = _applied(rows)
    pending = pending_migrations(f"The graph in {connection}", migrations(), applied)
    if missing:
        pending.insert(0, Migration(0, INDEXES, ";\n".join(missing.values())))
    return SchemaStatus(applied, pending)


async def upgrade(connection: GraphConnection, catalogue: Catalogue) -> bool:
    """Make or upgrade a graph; returns whether anything was pending. May be repeated and run by several at once.

    Raises SchemaNewer, DuplicateIds, NotInitialised (another program's index is in the way), GraphUnavailable,
    GraphRefused.
    """
    if not (await graph_status(connection, catalogue)).pending:
        return False
    await make_indexes(connection, catalogue)
    await connection.execute(text("constraint_migration"))
    async with connection.transaction() as transaction:
        await transaction.execute(text("migrations_lock"))
        applied = _applied(await transaction.execute(text("migrations_applied")))
        for step in pending_migrations(f"The graph in {connection}", migrations(), applied):
            await transaction.execute(step.text)
            await _note(transaction, step.number, step.name)
        await _note(transaction, 0, INDEXES)
    return True


async def make_indexes(connection: GraphConnection, catalogue: Catalogue) -> None:
    """Make the constraints and indexes that are missing.

    The server builds the index of a constraint, mostly waiting, before the statement returns: so some are made at a
    time. All other indexes take one transaction. Raises DuplicateIds, NotInitialised (another program's index is in the
    way), GraphUnavailable, GraphRefused.
    """
    missing = await missing_indexes(connection, catalogue)
    if not missing:
        return
    turns = asyncio.Semaphore(AT_ONCE)

    async def make(index: Index) -> None:
        async with turns:
            try:
                await retry_deadlock(partial(connection.execute, missing[index]), Deadlock)
            except (GraphRefused, GraphUnavailable):
                await _check_duplicates(connection, [index])
                raise

    async def make_plain() -> None:
        async with connection.transaction() as transaction:
            for index, statement in missing.items():
                if not index.unique:
                    await transaction.execute(statement)

    making = [retry_deadlock(make_plain, Deadlock), *(make(index) for index in missing if index.unique)]
    failures = [found for found in await asyncio.gather(*making, return_exceptions=True) if found is not None]
    if failures:
        # What says most: a constraint that cannot be made, then an index of others in the way.
        failure = min(failures, key=lambda error: not isinstance(error, DuplicateIds))
        if isinstance(failure, GraphRefused):
            await _check_names(connection, missing)
        raise failure
    await connection.execute(text("await_indexes"))
    await _check_names(connection, missing)


async def missing_indexes(connection: GraphConnection, catalogue: Catalogue) -> dict[Index, str]:
    """The constraints and indexes that are missing, with the statement that makes each. Raises GraphUnavailable."""
    there = await _there(connection)
    return {index: make for index, make in wanted(catalogue).items() if index not in there}


async def check(connection: GraphConnection, catalogue: Catalogue, topic: str) -> int:
    """Check that the graph is ready; returns the number of partitions that have a checkpoint.

    Raises NotInitialised, naming what is missing (DuplicateIds when `init` cannot make it); GraphUnavailable.
    """
    await check_indexes(connection, catalogue)
    return len(await checkpoint.checkpoints(connection, topic))


async def check_indexes(connection: GraphConnection, catalogue: Catalogue) -> None:
    """Check that constraints and indexes are there. Raises NotInitialised, DuplicateIds, GraphUnavailable."""
    there = await _there(connection)
    if missing := [index for index in wanted(catalogue) if index not in there]:
        await _check_duplicates(connection, missing)
        names = ", ".join(map(str, missing))
        raise NotInitialised(f"{connection}: constraints or indexes are missing: {names}: run `holonstream init`")


async def _check_duplicates(connection: GraphConnection, missing: Sequence[Index]) -> None:
    """Raises DuplicateIds when one of these constraints cannot be made."""
    for index in missing:
        if not index.unique:
            continue
        query = text("duplicate_relationships" if index.of_relationships else "duplicate_nodes")
        if found := await connection.execute(query, name=index.name, properties=list(index.properties)):
            named = ", ".join(f"{', '.join(str(value)[:80] for value in key)} ({count} times)" for key, count in found)
            raise DuplicateIds(
                f"{connection}: the constraint {index} is missing and cannot be made, since these are there more than "
                f"once: {named}. Stop the graph's workers and type `holonstream replay graph --in-place`"
            )


async def _check_names(connection: GraphConnection, made: Iterable[Index]) -> None:
    """Check that indexes are there once they were made: where another one has the name, Neo4j makes none and says
    nothing. Raises NotInitialised."""
    there = await _there(connection)
    if missing := [index for index in made if index not in there]:
        names = ", ".join(map(str, missing))
        raise NotInitialised(
            f"{connection}: constraints or indexes cannot be made: {names}: others have their names, or are on the "
            "same properties. Type SHOW INDEXES in Cypher, drop these, and run `holonstream init` again"
        )


async def _note(transaction: Transaction, number: int, name: str) -> None:
    await transaction.execute(text("migration_note"), number=number, name=name, release=version("holonstream"))


def _applied(rows: Sequence[Sequence[Any]]) -> list[AppliedMigration]:
    return [
        AppliedMigration(number, name, release, datetime.fromtimestamp(millis / 1000, UTC))
        for number, name, release, millis in rows
    ]


async def _there(connection: GraphConnection) -> set[Index]:
    rows = await connection.execute(text("indexes"))
    there = {
        Index(name, tuple(properties or ()), unique, entity == "RELATIONSHIP")
        for name, properties, unique, entity in rows
        if name
    }
    return there | {index._replace(unique=False) for index in there}  # a unique one answers as well
