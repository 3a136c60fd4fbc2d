"""How far the graph has seen streams that have no entity, so that a hole in them is noticed.

A stream has no entity while none of its events has created one. Of an entity the version says which event comes next;
for a stream without one a node ``(:HolonstreamEmptyStream {key, stream, version, position})`` does. It is written in
the transaction of the batch, and read only for a stream that loads as nothing and whose next event is not its first. It
stays when an entity comes: then nothing reads it. A parked stream needs none: a redrive reads it from its start.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

from holonstream.sinks.graph.driver import GraphConnection, Transaction
from holonstream.sinks.graph.parking import parked_key
from holonstream.sinks.graph.statements import text


class LastSeen(NamedTuple):
    """The last event of a stream that the graph has seen."""

    version: int
    position: int


NOTHING = LastSeen(0, 0)


async def empty_streams(connection: GraphConnection, streams: Collection[str]) -> dict[str, LastSeen]:
    """How far the graph has seen those of some streams that have a node. Raises GraphUnavailable."""
    rows = await connection.execute(text("empty_streams_of"), keys=[parked_key(stream) for stream in streams])
    return {
        stream: LastSeen(version, position)
        for stream, version, position in rows
        if type(version) is int and type(position) is int  # else another program has changed it: it says nothing
    }


async def write_empty_streams(transaction: Transaction, reached: Mapping[str, LastSeen]) -> None:
    """Record how far the graph has seen some streams."""
    if reached:
        await transaction.execute(text("empty_streams_write"), empty=empty_stream_rows(reached))


def empty_stream_rows(reached: Mapping[str, LastSeen]) -> list[dict[str, Any]]:
    """The rows of ``empty_streams_write``."""
    return [{"key": parked_key(stream), "stream": stream, **at._asdict()} for stream, at in sorted(reached.items())]
