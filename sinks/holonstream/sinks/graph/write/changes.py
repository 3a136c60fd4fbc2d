"""The writes that give entities their new states: rows grouped by statement, sorted by id."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from holonstream.schemas.catalogue import Catalogue
from holonstream.schemas.state import Holon, Relationship, State
from holonstream.sinks.graph.driver import Transaction
from holonstream.sinks.graph.mapping import holon_row, relationship_row
from holonstream.sinks.graph.statements import statement, text


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


def changes(pairs: Iterable[tuple[State | None, State]]) -> Changes:
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
        await transaction.execute(text("holons_write"), rows=todo.holons)
    for name, ids in todo.deleted.items():
        await transaction.execute(statement("relationships_delete", catalogue, relationship_types=[name]), ids=ids)
    if todo.created:
        await transaction.execute(text("ends_write"), ids=todo.ends)
        await transaction.execute(text("relationships_create"), rows=todo.created)
    for name, rows in todo.updated.items():
        await transaction.execute(statement("relationships_update", catalogue, relationship_types=[name]), rows=rows)
