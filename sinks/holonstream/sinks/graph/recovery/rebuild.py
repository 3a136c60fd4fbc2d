"""Rebuilding a graph: what is deleted, what is kept, and the mark at which an interrupted replay continues.

The node ``(:HolonstreamReplay {topic, suffix, state, began})`` says which replay makes this graph. ``state`` is

- ``wiping``: nothing of the old graph may be trusted; the checkpoints were deleted first, so no worker can write;
- ``following``: workers fill it from its checkpoints on, where an interrupted replay continues;
- ``done``: a replay beside another graph has caught up. (A replay in place deletes its mark.)
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from holonstream.schemas.catalogue import Catalogue
from holonstream.schemas.errors import HolonstreamError
from holonstream.sinks.graph.driver import GraphConnection
from holonstream.sinks.graph.parking import DiscardedEvent
from holonstream.sinks.graph.recovery.redrive import Redriver
from holonstream.sinks.graph.statements import text
from holonstream.sinks.parked import NotParked

Stage = Literal["wiping", "following", "done"]


class SharedGraph(HolonstreamError):
    """Several pipelines write one database: a replay or a repair would delete what belongs to others."""


@dataclass(frozen=True, slots=True)
class Content:
    """What a graph holds."""

    nodes: int
    offset: int
    """the highest offset of a checkpoint, 0 when no worker has written"""
    topics: list[str]


@dataclass(frozen=True, slots=True)
class ReplayMark:
    """The replay that makes a graph."""

    suffix: str
    """of its consumer group; empty when in place"""
    state: Stage
    began: str
    """instant"""


async def content(connection: GraphConnection, topic: str) -> Content:
    """What the graph holds. Raises SharedGraph when it also follows another topic, GraphUnavailable."""
    ((nodes, offset, topics),) = await connection.execute(text("replay_content"))
    if others := sorted(set(topics) - {topic}):
        raise SharedGraph(
            f"{connection} also follows {', '.join(others)}: what belongs to these would be deleted. Give every "
            "pipeline a graph of its own"
        )
    return Content(nodes, offset, topics)


async def mark(connection: GraphConnection, topic: str) -> ReplayMark | None:
    """The replay that makes the graph, or None. Raises GraphUnavailable."""
    rows = await connection.execute(text("replay_mark"), topic=topic)
    return ReplayMark(*rows[0]) if rows else None


async def set_mark(connection: GraphConnection, topic: str, suffix: str, state: Stage) -> None:
    """Record the stage of the replay. Raises GraphUnavailable."""
    now = datetime.now(UTC).isoformat(timespec="seconds")
    await connection.execute(text("replay_mark_set"), topic=topic, suffix=suffix, state=state, now=now)


async def delete_mark(connection: GraphConnection, topic: str) -> None:
    """Delete the mark: the replay is over. Raises GraphUnavailable."""
    await connection.execute(text("replay_mark_delete"), topic=topic)


async def wipe(connection: GraphConnection, catalogue: Catalogue, topic: str, suffix: str) -> None:
    """Delete all that is holonstream's but constraints and indexes, in batches; may be repeated.

    What another program keeps in the same database stays, but for its relationships with holons. Leaves the graph
    marked as being wiped.

    Raises GraphUnavailable: it may be half empty then.
    """
    await delete_mark(connection, topic)
    await set_mark(connection, topic, suffix, "wiping")
    await connection.execute(text("replay_wipe_checkpoints"))
    await connection.execute(text("replay_wipe_empty_streams"))
    await connection.execute(text("replay_wipe_decisions"))
    await connection.execute(text("replay_wipe_relationships"), types=sorted(catalogue.relationship_types))
    await connection.execute(text("replay_wipe_holons"))


async def decisions_before(connection: GraphConnection, topic: str) -> list[DiscardedEvent]:
    """The discarded events of the graph before it was wiped. Raises GraphUnavailable."""
    rows = await connection.execute(text("replay_decisions_before"), topic=topic)
    return [DiscardedEvent(*row) for row in rows]


async def forget_decisions_before(connection: GraphConnection, topic: str) -> None:
    """Delete them, once those that are needed have been taken over. Raises GraphUnavailable."""
    await connection.execute(text("replay_decisions_forget"), topic=topic)


async def take_over(redriver: Redriver, decisions: list[DiscardedEvent]) -> int:
    """Discard again the events that were discarded in the graph before; returns how many.

    Only where the rebuilt graph has parked the same event: one that applies by now needs no decision.
    """
    count = 0
    for decision in decisions:  # in log order, so that one decision leads a stream to its next
        try:
            await redriver.discard(decision.stream, decision.version, decision.note)
            count += 1
        except NotParked:
            continue
    return count
