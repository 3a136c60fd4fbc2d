"""The writes that give entities their new states: rows grouped by statement, sorted by id.

`perform` runs a statement for each kind of change, in a transaction that is open. `write_at_once` writes a whole batch,
its checkpoints included, in one round trip.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from holonstream.schemas.catalogue import Catalogue
from holonstream.schemas.state import Holon, Relationship, State
from holonstream.sinks.graph.checkpoint import Claim, claim_rows, places_before
from holonstream.sinks.graph.driver import GraphConnection, Transaction
from holonstream.sinks.graph.empty_streams import LastSeen, empty_stream_rows
from holonstream.sinks.graph.mapping import holon_row, relationship_row
from holonstream.sinks.graph.statements import statement, text

Pair = tuple[State | None, State]
"""An entity's state before and after"""

TYPES_AT_ONCE = 2  # types of relationships that one statement updates


@dataclass(slots=True)
class Changes:
    """Rows for the statements of ``write.cypher``, in the order of the fields."""

    retyped: list[dict[str, Any]] = field(default_factory=list)
    holons: list[dict[str, Any]] = field(default_factory=list)
    deleted: dict[str, list[str]] = field(default_factory=dict)
    """ids of relationships by the type that they had"""
    ends: list[str] = field(default_factory=list)
    created: list[dict[str, Any]] = field(default_factory=list)
    updated: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    """relationships that keep type and ends, by type"""


def changes(pairs: Iterable[Pair]) -> Changes:
    """The changes that lead from the states before to those after; pairs come sorted by id."""
    c = Changes()
    ends: set[str] = set()
    for before, after in pairs:
        if isinstance(after, Holon):
            c.holons.append(holon_row(after))
            if before is not None and before.type != after.type:
                c.retyped.append({"id": after.id, "old": before.type})
            continue
        row = relationship_row(after)
        if isinstance(before, Relationship) and (before.type, before.source, before.target) == (
            after.type,
            after.source,
            after.target,
        ):
            c.updated.setdefault(after.type, []).append(row)
            continue
        if before is not None:
            c.deleted.setdefault(before.type, []).append(before.id)
        c.created.append(row)
        ends |= {after.source, after.target}
    c.ends = sorted(ends)
    return c


async def perform(transaction: Transaction, catalogue: Catalogue, todo: Changes) -> None:
    """Run the statements of some changes."""
    if todo.retyped:
        await transaction.execute(text("holons_retype"), rows=todo.retyped)
    if todo.holons:
        await transaction.execute(text("holons_write"), holons=todo.holons)
    for name, ids in todo.deleted.items():
        await transaction.execute(statement("relationships_delete", catalogue, relationship_types=[name]), ids=ids)
    if todo.created:
        await transaction.execute(text("ends_write"), ends=todo.ends)
        await transaction.execute(text("relationships_create"), created=todo.created)
    for name, rows in todo.updated.items():
        query = statement("relationships_update", catalogue, relationship_types=[name])
        await transaction.execute(query, updated=rows)


def fits_one_statement(todo: Changes) -> bool:
    """Whether `write_at_once` can write some changes: what is rare is not in its statement.

    The types of relationships that are updated stand in its text, since an index is only used for a type that does.
    With more of them at once there would be ever new texts, each of which the server has to plan.
    """
    return not todo.retyped and not todo.deleted and len(todo.updated) <= TYPES_AT_ONCE


async def write_at_once(
    connection: GraphConnection,
    catalogue: Catalogue,
    claims: Sequence[Claim],
    todo: Changes,
    empty: Mapping[str, LastSeen],
    timeout: float,
) -> dict[int, tuple[int, int]]:
    """Write a batch with its checkpoints in one statement.

    Returns where the checkpoints stood before, as `checkpoint.claim`. Unless each stood where its claim says, nothing
    was written.
    """
    rows = await connection.execute(
        statement("batch_write", catalogue, relationship_types=todo.updated),
        timeout=timeout,
        claims=claim_rows(claims),
        holons=todo.holons,
        ends=todo.ends,
        created=todo.created,
        updated=[row for rows in todo.updated.values() for row in rows],
        empty=empty_stream_rows(empty),
    )
    return places_before(rows)
