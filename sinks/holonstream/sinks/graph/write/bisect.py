"""Which event is it that Neo4j refuses? Found by halves; only its stream is parked.

An event may fit our rules and still be refused: a constraint that somebody else made holds a value that occurs twice,
an index cannot hold a long one. Neo4j refuses the whole transaction then. So the records of the refused batches are
written in halves, each half a batch of its own that is committed with its checkpoint, until what is refused is one
record. Of two events of a partition that do not go together the later one is thus guilty. A refused batch costs some
two batches' time for each guilty event in it; nothing else waits for longer.

What is not the data's fault must park nothing:

- *an outage*: GraphUnavailable ends the search wherever it is; the worker tries the same batches again, and finds what
was
  written meanwhile below the checkpoint;
- *a fault that concerns every event* (a wrong password, a constraint that was dropped, a database that is read-only):
  before a lone record is found guilty, the graph must pass its check, take an innocuous write of each kind (`canary`),
  and then refuse the record once more. Else the refusal is raised as what it is, and the worker stops.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from holonstream.schemas.catalogue import Catalogue
from holonstream.sinks.base import Batch, WriteResult
from holonstream.sinks.graph import schema
from holonstream.sinks.graph.driver import ExecutionFailed, GraphConnection, GraphRefused
from holonstream.sinks.graph.write.changes import Changes, perform

REFUSALS = (GraphRefused, ExecutionFailed)
REASON = 500  # characters of a refusal that are kept: it may quote the value

Write = Callable[[Sequence[Batch]], Awaitable[list[WriteResult]]]
Park = Callable[[Batch, Exception], Awaitable[WriteResult]]


def reason_of(refused: Exception) -> str:
    """Why an event is parked that Neo4j refuses, in the server's words."""
    detail = refused.detail if isinstance(refused, REFUSALS) else ""
    return f"Refused: {refused}: {detail}"[:REASON]


async def write_in_halves(batches: Sequence[Batch], refused: Exception, write: Write, park: Park) -> list[WriteResult]:
    """Write batches that were refused together; what each came to. `park` gets each batch that is one record and
    refused.

    Raises what `write` and `park` raise; what was written by then stays.
    """
    parts = halves(batches)
    if len(parts) == 1:
        return [await park(batches[0], refused)]
    written: dict[int, WriteResult] = {}
    for part in parts:
        try:
            done = await write(part)
        except REFUSALS as again:
            done = await write_in_halves(part, again, write, park)
        for batch, result in zip(part, done, strict=True):
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
    """Find out whether the graph is ready and takes innocuous data; nothing of it stays.

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
            raise _Enough
    except _Enough:
        pass


class _Enough(Exception):
    """Rolls back."""


def _sum(one: WriteResult, other: WriteResult) -> WriteResult:
    return WriteResult(
        one.applied + other.applied,
        one.skipped + other.skipped,
        one.dead + other.dead,
        one.position if other.position is None else other.position,
    )
