"""Repair: put entities into the state that the log says they have, while workers run.

What the graph must hold of an entity follows from the log and from the partition's checkpoint: the fold of its stream's
events up to the checkpoint's position, or up to where the stream is parked. With more, the worker would skip the next
event as already seen; with less, it would find a hole before it.

A repair is one transaction per partition:

1. *raise the epoch*, under the checkpoint's lock. Either a worker's transaction came before: then this one sees what it
   wrote. Or it comes after: then its claim finds the epoch raised, so it writes nothing, drops its cached states and
   writes its batch once more over what the repair has left. So no cached state outlives a repair;
2. fold the streams up to the checkpoint's position: the caller does it, since sinks do not read the log;
3. overwrite what the graph has with these states, labels too. An entity that the log does not have becomes a bare end
   when it is a node, and goes when it is a relationship.

The checkpoint stays where it is. A crash before the commit changes nothing, and a repair may be repeated. The cache
never holds a damaged holon (`sinks.graph.read.whole`), unless a worker has written an event on top of the damage.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import NamedTuple

import structlog

from holonstream.schemas.catalogue import Catalogue
from holonstream.schemas.retry import retry_deadlock
from holonstream.schemas.state import HOLON, Holon, Relationship, State
from holonstream.sinks.graph.checkpoint import raise_epoch
from holonstream.sinks.graph.driver import Deadlock, GraphConnection, Transaction
from holonstream.sinks.graph.empty_streams import LastSeen, write_empty_streams
from holonstream.sinks.graph.mapping import holon_row
from holonstream.sinks.graph.parking import discarded_of, parked_of
from holonstream.sinks.graph.read.load import occurring_types
from holonstream.sinks.graph.statements import text
from holonstream.sinks.graph.write.changes import changes, perform

log = structlog.get_logger(__name__)


class LoggedState(NamedTuple):
    """What the log says of a stream."""

    state: State | None
    reached: LastSeen
    """its last event"""


StateAt = Callable[[str, int, int | None, frozenset[int]], Awaitable[LoggedState]]
"""A stream's entity up to a log position (inclusive) and before a version, when one is given; the last are
the versions that an operator has left out."""


async def repair(
    connection: GraphConnection,
    catalogue: Catalogue,
    topic: str,
    partition: int,
    streams: Sequence[str],
    state_at: StateAt,
) -> None:
    """Put the entities of some streams of one partition into the state that the log gives them.

    Raises what `state_at` raises, NotInitialised when the partition has no checkpoint, GraphUnavailable; nothing is
    changed then.
    """

    async def attempt() -> None:
        async with connection.transaction() as transaction:
            await _repair(transaction, catalogue, topic, partition, streams, state_at)

    await retry_deadlock(attempt, Deadlock)
    log.info("graph.repaired", topic=topic, partition=partition, streams=len(streams))


async def remove_loose(
    connection: GraphConnection, catalogue: Catalogue, *, nodes: Sequence[str] = (), edges: Sequence[str] = ()
) -> None:
    """Delete elements, by element id, that no worker can find: without an id, the label or a type of the
    catalogue. An element that has them by now stays. Raises GraphUnavailable.
    """
    if nodes:
        types = sorted(catalogue.holon_types)
        await connection.execute(text("repair_loose_nodes"), elements=list(nodes), types=types)
    if edges:
        types = sorted(catalogue.relationship_types)
        await connection.execute(text("repair_loose_edges"), elements=list(edges), types=types)


async def _repair(
    transaction: Transaction,
    catalogue: Catalogue,
    topic: str,
    partition: int,
    streams: Sequence[str],
    state_at: StateAt,
) -> None:
    _, position = await raise_epoch(transaction, topic, partition)
    parked = await parked_of(transaction, streams)
    left_out = await discarded_of(transaction, streams)
    states: dict[str, State | None] = {}
    empty: dict[str, LastSeen] = {}
    for stream in sorted(streams):  # one lock order for every writer
        before = parked[stream].version if stream in parked else None
        states[stream], reached = await state_at(stream, position, before, left_out.get(stream, frozenset()))
        if states[stream] is None and reached.version:
            empty[stream] = reached
    await write_empty_streams(transaction, empty)
    await _write_holons(transaction, states)
    relationships = {stream: state for stream, state in states.items() if not _is_holon(stream)}
    if relationships:
        await _write_relationships(transaction, catalogue, relationships.keys(), relationships.values())


async def _write_holons(transaction: Transaction, states: dict[str, State | None]) -> None:
    if rows := [holon_row(state) for state in states.values() if isinstance(state, Holon)]:
        await transaction.execute(text("repair_holons"), rows=rows)
    if ids := [_id_of(stream) for stream, state in states.items() if state is None and _is_holon(stream)]:
        await transaction.execute(text("repair_bare"), ids=ids)


async def _write_relationships(
    transaction: Transaction, catalogue: Catalogue, streams: Iterable[str], states: Iterable[State | None]
) -> None:
    """Delete all relationships of these ids, of any type, also duplicates; create those that the log has."""
    ids = [_id_of(stream) for stream in streams]
    wanted = [state for state in states if isinstance(state, Relationship)]
    todo = changes((None, state) for state in wanted)
    todo.deleted = dict.fromkeys(await occurring_types(transaction, catalogue), ids)
    await perform(transaction, catalogue, todo)


def _is_holon(stream: str) -> bool:
    return stream.partition("/")[0] == HOLON


def _id_of(stream: str) -> str:
    return stream.partition("/")[2]
