"""Which event does Neo4j refuse? Found by halves; only its stream is parked.

An event may fit our rules and still be refused: somebody else made a constraint that a second entity with the same
value breaks, or an index that cannot hold a long value. Neo4j then refuses the whole transaction. So what was refused
is written in halves, each committed by itself, until what is refused is one event. Of two events of a partition that
exclude each other the later one is thus guilty. A refused batch costs about two batches' time for each guilty event in
it. The sink divides batches, down to one record; a redrive divides the versions of a stream.

What is not the data's fault must park nothing:

- *an outage*: GraphUnavailable ends the search wherever it is. The worker retries the same batches, and finds what was
  written meanwhile below the checkpoint;
- *a fault that concerns every event* (a wrong password, a constraint that was dropped, a database that is read-only):
  before a lone record is found guilty, the graph must pass its check, take a harmless write of each kind (`canary`),
  and then refuse the record once more. Else the refusal is raised as it is, and the worker stops.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from holonstream.schemas.catalogue import Catalogue
from holonstream.sinks.base import Batch, WriteResult
from holonstream.sinks.errors import GraphRefused
from holonstream.sinks.graph import schema
from holonstream.sinks.graph.driver import ExecutionFailed, GraphConnection
from holonstream.sinks.graph.write.changes import Changes, perform

REFUSALS = (GraphRefused, ExecutionFailed)
REASON = 500  # characters of a refusal that are kept: it may quote the value

P = TypeVar("P")
R = TypeVar("R")

Write = Callable[[Sequence[Batch]], Awaitable[list[WriteResult]]]
Park = Callable[[Batch, Exception], Awaitable[WriteResult]]


def reason_of(refused: Exception) -> str:
    """Why an event is parked that Neo4j refuses, in the server's words."""
    detail = refused.detail if isinstance(refused, REFUSALS) else ""
    return f"Refused: {refused}: {detail}"[:REASON]


async def isolate(
    part: P,
    refused: Exception,
    halves: Callable[[P], Sequence[P]],
    write: Callable[[P], Awaitable[R]],
    park: Callable[[P, Exception], Awaitable[R]],
) -> list[tuple[P, R]]:
    """Write in halves what was refused as a whole; `park` gets each part that is refused and cannot be divided.

    Returns the parts with their results, in order. Raises what `write` and `park` raise; what was written by then
    stays.
    """
    smaller = halves(part)
    if len(smaller) < 2:
        return [(part, await park(part, refused))]
    done: list[tuple[P, R]] = []
    for half in smaller:
        try:
            done.append((half, await write(half)))
        except REFUSALS as again:
            done += await isolate(half, again, halves, write, park)
    return done


async def write_in_halves(batches: Sequence[Batch], refused: Exception, write: Write, park: Park) -> list[WriteResult]:
    """Write batches that were refused together, and return the result of each; `park` gets each batch of one record
    that is refused. Errors as of `isolate`.
    """

    async def park_one(part: Sequence[Batch], refused: Exception) -> list[WriteResult]:
        return [await park(part[0], refused)]

    written: dict[int, WriteResult] = {}
    for part, results in await isolate(batches, refused, halves, write, park_one):
        for batch, result in zip(part, results, strict=True):
            before = written.get(batch.partition)
            written[batch.partition] = result if before is None else _sum(before, result)
    return [written[batch.partition] for batch in batches]


def halves(batches: Sequence[Batch]) -> list[Sequence[Batch]]:
    """Two halves: of the batches, or of the records of a single one. Only itself when it cannot be divided."""
    if len(batches) > 1:
        return [batches[: len(batches) // 2], batches[len(batches) // 2 :]]
    (batch,) = batches
    if len(batch.records) < 2:
        return [batches]
    return [[part] for part in batch.cut(len(batch.records) // 2)]


async def canary(connection: GraphConnection, catalogue: Catalogue, topic: str) -> None:
    """Find out whether the graph is ready and takes harmless data; nothing of it stays.

    Raises NotInitialised, GraphRefused, GraphUnavailable.
    """
    await schema.check(connection, catalogue, topic)
    holon_type, (one, *others) = min(catalogue.holon_types), sorted(catalogue.relationship_types)[:2]
    ends = ["holonstream canary 1", "holonstream canary 2"]
    system = {"_version": 1, "_position": 0, "_lastModified": "2000-01-01T00:00:00.000Z"}
    holon = {**system, "_createdAt": system["_lastModified"]}
    edge = {**system, "_id": ends[0], "_effectiveStart": system["_lastModified"], "_effectiveEnd": None}
    rows = [{"t": t, "s": ends[0], "e": ends[1], "p": edge} for t in (one, *others)]
    todo = Changes(holons=[{"t": holon_type, "p": {**holon, "_id": id_}} for id_ in ends], ends=ends, created=rows)
    after = Changes(
        retyped=[{"id": ends[0], "old": holon_type}], deleted={one: [ends[0]]}, updated=dict.fromkeys(others, rows[1:])
    )  # fmt: skip
    try:
        async with connection.transaction() as transaction:
            await perform(transaction, catalogue, todo)
            await perform(transaction, catalogue, after)
            raise _Rollback
    except _Rollback:
        pass


class _Rollback(Exception):
    """Ends the canary's transaction without a commit."""


def _sum(one: WriteResult, other: WriteResult) -> WriteResult:
    return WriteResult(
        one.applied + other.applied,
        one.skipped + other.skipped,
        one.dead + other.dead,
        one.position if other.position is None else other.position,
    )
