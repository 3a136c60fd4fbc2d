"""Entities as they were written, never a mixture of two versions.

Neo4j reads what is committed, property by property, and applies a transaction record by record: while an entity is
being written a reader may find some properties of before and some of after. Every row carries a digest of itself; one
that it does not fit is read once more under the entity's write lock, which a writer holds until its transaction is
applied. That is rare (reader and writer must meet within one entity), so readers as a rule take no lock.

A row that does not fit even then was changed by another program. It is returned as it is, with a warning and marked as
not whole, so that no cache keeps it: `holonstream verify graph` finds it.

Not guaranteed: that a query which filters finds an entity that is being written at that very moment; the filter sees
the properties that Neo4j then shows. Nor that a relationship which is made again with other ends or another type is
found at the moment when the one edge goes and the other comes.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from functools import partial
from typing import Any

import structlog

from holonstream.schemas.catalogue import Catalogue
from holonstream.schemas.errors import HolonstreamError
from holonstream.schemas.retry import retry_deadlock
from holonstream.schemas.state import Holon, Relationship
from holonstream.sinks.graph.driver import Deadlock, GraphConnection
from holonstream.sinks.graph.mapping import holon_of, is_bare, is_whole, own_labels, relationship_of
from holonstream.sinks.graph.statements import statement, text

log = structlog.get_logger(__name__)

Row = Sequence[Any]


class ChangedWhileRead(Exception):
    """An entity was made again, or half of it was not there, while it was read: repeat the read."""


class DamagedEntity(HolonstreamError):
    """Another program has changed an entity so that it can no longer be read: `holonstream verify graph --repair`."""


async def read_holons(
    connection: GraphConnection, catalogue: Catalogue, rows: Sequence[Row]
) -> tuple[dict[str, Holon], bool]:
    """The holons of nodes that were read as (labels, properties), by id, and whether all are as they were written.

    Bare ends and labels of other programs are left out. Raises ChangedWhileRead, GraphUnavailable, DamagedEntity.
    """
    holons: dict[str, Holon] = {}
    torn: list[str] = []
    for all_labels, properties in rows:
        labels = own_labels(all_labels, properties, catalogue.holon_types)
        if is_whole(properties, labels):
            holons[properties["_id"]] = holon_of(labels, properties)
        elif not is_bare(labels, properties):
            torn.append(_identity(properties))
    damaged = False
    for all_labels, properties in await _locked(connection, text("holons_locked"), torn):
        labels = own_labels(all_labels, properties, catalogue.holon_types)
        if not is_bare(labels, properties):
            identity = _identity(properties)
            damaged |= _is_damaged(properties, labels)
            holons[identity] = _built(holon_of, identity, labels, properties)
    return holons, not damaged


async def read_relationships(
    connection: GraphConnection, catalogue: Catalogue, rows: Sequence[Row]
) -> dict[str, Relationship]:
    """The relationships of edges that were read as (source, type, target, properties), by id.

    Raises ChangedWhileRead (a relationship that is made again is another edge), GraphUnavailable, DamagedEntity.
    """
    relationships: dict[str, Relationship] = {}
    torn: defaultdict[str, list[str]] = defaultdict(list)
    for source, name, target, properties in rows:
        if name is None or source is None or target is None:
            raise ChangedWhileRead
        if is_whole(properties, (name,), source, target):
            relationships[properties["_id"]] = relationship_of(source, name, target, properties)
        else:
            torn[name].append(_identity(properties))
    for name, ids in torn.items():
        query = statement("relationships_locked", catalogue, relationship_types=(name,))
        locked = await _locked(connection, query, ids)
        if len(locked) < len(set(ids)):
            raise ChangedWhileRead
        for source, _, target, properties in locked:
            if source is None or target is None:  # an end that is being deleted
                raise ChangedWhileRead
            identity = _identity(properties)
            _is_damaged(properties, (name,), source, target)
            relationships[identity] = _built(relationship_of, identity, source, name, target, properties)
    return relationships


async def _locked(connection: GraphConnection, query: str, ids: list[str]) -> list[list[Any]]:
    if not ids:
        return []
    return await retry_deadlock(partial(connection.execute, query, ids=sorted(ids)), Deadlock)  # one lock order for all


def _identity(properties: dict[str, Any]) -> str:
    """The id; raises ChangedWhileRead without one, which is how an entity that was just deleted is read."""
    if (identity := properties.get("_id")) is None:
        raise ChangedWhileRead
    return str(identity)


def _is_damaged(properties: dict[str, Any], labels: Sequence[str], *ends: str) -> bool:
    if is_whole(properties, labels, *ends):
        return False
    log.warning("graph.entity.damaged", id=properties["_id"], position=properties.get("_position"))
    return True


def _built(make: Any, identity: str, *columns: Any) -> Any:
    try:
        return make(*columns)
    except Exception as error:
        raise DamagedEntity(
            f"Damaged: {identity!r} is not in Neo4j as it was written ({error!r}): `holonstream verify graph --repair`"
        ) from error
