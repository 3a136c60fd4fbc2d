"""Which events the graph does not have: parked streams and discarded events, recorded in the graph itself.

A *parked* stream has a node ``(:HolonstreamParked {key, stream, version, position, ...})``: its events from that
version on are not in the graph. A *discarded* event is left out by an operator's decision and has a node
``(:HolonstreamDiscarded {key, stream, version, position, reason, note, decided})``.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from hashlib import sha256
from typing import Any

from holonstream.schemas.partition import partition_of
from holonstream.sinks.graph.driver import GraphConnection, Transaction
from holonstream.sinks.graph.mapping import MAX_ID
from holonstream.sinks.graph.statements import text
from holonstream.sinks.parked import ParkedStream

Database = GraphConnection | Transaction


@dataclass(frozen=True, slots=True)
class DiscardedEvent:
    """An event that is left out of the graph by decision."""

    stream: str
    version: int
    position: int
    reason: str
    """why it could not be applied"""
    note: str | None
    """the operator's words"""
    decided: str
    """instant"""


def parked_key(stream: str) -> str:
    """The unique key of a parked stream: its name, or a digest when the name is too long for Neo4j's index."""
    name = stream.encode()
    return stream if len(name) <= MAX_ID else f"sha256:{sha256(name).hexdigest()}"


async def parked_streams(connection: GraphConnection, topic: str) -> list[ParkedStream]:
    """Every parked stream, in log order. Raises GraphUnavailable."""
    return [_parked(*row) for row in await connection.execute(text("parked_streams"), topic=topic)]


async def parked_in(connection: GraphConnection, topic: str, partition: int) -> dict[str, tuple[int, str]]:
    """Version and reason of each parked stream of a partition. Raises GraphUnavailable."""
    rows = await connection.execute(text("parked_in"), topic=topic, partition=partition)
    return {stream: (version, reason) for stream, version, reason in rows}


async def parked_of(database: Database, streams: Collection[str]) -> dict[str, ParkedStream]:
    """Those streams of `streams` that are parked. Raises GraphUnavailable."""
    rows = await database.execute(text("parked_of"), keys=_keys(streams))
    return {row[0]: _parked(*row) for row in rows}


async def hidden_from(connection: GraphConnection, streams: Collection[str]) -> dict[str, tuple[int, bool]]:
    """The position from which readers do not see a stream's events, and whether it is parked, for those that are or
    were just parked.

    A redrive's transaction is not applied at once, so a stream counts until readers may rely on it.
    """
    rows = await connection.execute(text("hidden_from"), keys=_keys(streams))
    return {stream: (since, is_parked) for stream, since, is_parked in rows}


async def park(
    transaction: Transaction, parked: Sequence[ParkedStream], since: Mapping[str, int] | None = None
) -> None:
    """Park streams; `since` is the position from which readers do not see a stream, where it is not its own."""
    rows = [_row(p, since=(since or {}).get(p.stream, p.position)) for p in parked]
    if rows:
        await transaction.execute(text("park"), rows=rows)


async def unpark(transaction: Transaction, streams: Collection[str], topic: str, partition: int) -> None:
    """Unpark streams of a partition; their nodes stay until readers may rely on it (`checkpoint.publish_all`)."""
    if streams:
        await transaction.execute(text("unpark"), keys=_keys(streams), topic=topic, partition=partition)


async def discard(transaction: Transaction, event: DiscardedEvent, topic: str) -> None:
    """Record the decision to leave an event out."""
    await transaction.execute(text("discard"), row=_row(event, topic=topic))


async def discarded_events(connection: GraphConnection, topic: str) -> list[DiscardedEvent]:
    """Every event that was left out by decision, in log order. Raises GraphUnavailable."""
    return [DiscardedEvent(*row) for row in await connection.execute(text("discarded_events"), topic=topic)]


async def discarded_of(database: Database, streams: Collection[str]) -> dict[str, frozenset[int]]:
    """The versions of some streams that were left out by decision; streams without are missing."""
    found: defaultdict[str, set[int]] = defaultdict(set)
    for stream, version in await database.execute(text("discarded_of"), keys=_keys(streams)):
        found[stream].add(version)
    return {stream: frozenset(versions) for stream, versions in found.items()}


def _parked(
    stream: str, version: int, position: int, topic: str, partition: int | None, partitions: int, *rest: Any
) -> ParkedStream:
    """A row; of a stream whose node names no partition of the topic, the one that holds the stream."""
    known = partition_of(stream, partitions or 1) if partition is None else partition
    return ParkedStream(stream, version, position, topic, known, *rest)


def _keys(streams: Collection[str]) -> list[str]:
    return [parked_key(stream) for stream in streams]


def _row(noted: ParkedStream | DiscardedEvent, **more: Any) -> dict[str, Any]:
    return {"key": parked_key(noted.stream), **asdict(noted), **more}
