"""How far the graph has come, and waiting until it has come far enough for a token.

Neo4j applies a transaction piece by piece: a checkpoint's new position may be seen before the entities that were
written with it. So readers go by its ``visible``, which follows in a transaction of its own (`sinks.graph.write.sink`).
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from time import monotonic

from holonstream.schemas.errors import NotInitialised
from holonstream.schemas.partition import partition_of
from holonstream.schemas.token import Token
from holonstream.sinks.errors import NotYetVisible
from holonstream.sinks.graph.driver import GraphConnection
from holonstream.sinks.graph.mapping import parked_key
from holonstream.sinks.graph.statements import text

FIRST_WAIT, LONGEST_WAIT = 0.005, 0.1  # seconds between two looks at the checkpoints


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """How far the graph has come in one partition."""

    partition: int
    offset: int
    """next to be read by a worker"""
    position: int
    """log position up to which every event is visible to readers"""


async def checkpoints(connection: GraphConnection, topic: str) -> list[Checkpoint]:
    """The checkpoint of every partition, in order. Raises NotInitialised when there is none, GraphUnavailable."""
    found = [Checkpoint(*row) for row in await connection.rows(text("checkpoints"), topic=topic)]
    if not found:
        raise NotInitialised(f"{connection}: topic {topic!r} has no checkpoints: run `holonstream init`")
    return found


async def reach(connection: GraphConnection, topic: str, at_least: Token | str | None, deadline: float) -> None:
    """Return when the graph reflects all that the token names.

    Raises NotYetVisible when it does not within `deadline` seconds, InvalidToken, GraphUnavailable.
    """
    if at_least is None:
        return
    wanted = Token.of(at_least).positions
    start = monotonic()
    wait = FIRST_WAIT
    while wanted:
        there = await checkpoints(connection, topic)
        reached = {stream: there[partition_of(stream, len(there))].position for stream in wanted}
        # Read after the checkpoints: a stream parked before they were reached is seen.
        keys = [parked_key(stream) for stream in wanted]
        for stream, position in await connection.rows(text("parked_positions"), keys=keys):
            reached[stream] = min(reached[stream], position - 1)
        behind = [stream for stream, position in wanted.items() if reached[stream] < position]
        if not behind:
            return
        left = start + deadline - monotonic()
        if left <= 0:
            stream = behind[0]
            raise NotYetVisible(stream, wanted[stream], reached[stream], monotonic() - start)
        await asyncio.sleep(min(wait, left))
        wait = min(wait * 1.5, LONGEST_WAIT)
