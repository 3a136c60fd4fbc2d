"""Checkpoints: how far the graph has come in each partition, kept in the graph itself.

A node ``(:HolonstreamCheckpoint {topic, topicId, partition, offset, position, visible, epoch})`` per partition.
``topicId`` is what Kafka calls the topic that the offset is in: one that is deleted and made again has another id.
``offset`` and ``position`` move in the transaction that writes a batch: a worker continues there. ``visible`` follows
in a transaction of its own, after the commit: Neo4j applies a committed transaction piece by piece: a reader may see
the new position before the entities that were written with it. Readers go by ``visible``. ``epoch`` is raised by
operators' writes (redrive, repair), so that a worker notices them.

``known`` is above 0 in a checkpoint that was deleted and made again at offset 0. Entities of events up to that log
position may be in the graph already, so that a worker loads an entity also for the first event of its stream.
``provesHoles`` is true when every stream without an entity has its node (`sinks.graph.empty_streams`), since this code
has written the partition from its beginning.

A writer of a partition first takes the write lock of its checkpoint, and holds it until its transaction is applied. So
a function here that takes the lock finds everything that was committed before it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from holonstream.schemas.errors import NotInitialised, TopicReplaced
from holonstream.sinks.errors import GraphDamaged
from holonstream.sinks.graph.driver import GraphConnection, Transaction
from holonstream.sinks.graph.statements import text


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """How far the graph has come in one partition, for readers."""

    partition: int
    offset: int
    """next to be read by a worker"""
    visible_position: int
    """every event up to here is visible to readers"""


class CheckpointPlace(NamedTuple):
    """Where a checkpoint stands, for writers."""

    offset: int
    epoch: int
    position: int
    known: int
    proves_holes: bool


class Claim(NamedTuple):
    """A checkpoint that a batch moves, if it still stands where its worker left it."""

    topic: str
    partition: int
    offset: int
    """where the worker left it"""
    epoch: int
    next_offset: int
    position: int | None
    """the highest of the batch; None or a lower one leaves it"""


async def read_all(connection: GraphConnection, topic: str) -> list[Checkpoint]:
    """All checkpoints that exist, in order of the partitions. Raises GraphUnavailable."""
    return [Checkpoint(*row) for row in await connection.execute(text("checkpoints"), topic=topic)]


async def checkpoints(connection: GraphConnection, topic: str) -> list[Checkpoint]:
    """The checkpoint of every partition, in order. Raises NotInitialised when one is missing, GraphUnavailable."""
    found = await read_all(connection, topic)
    if not found:
        others = [name for (name,) in await connection.execute(text("other_topics")) if name is not None]
        of_others = f", but those of {', '.join(others)}: is it the graph of another pipeline? If not" if others else ""
        raise NotInitialised(f"{connection}: topic {topic!r} has no checkpoints{of_others}: run `holonstream init`")
    if [c.partition for c in found] != list(range(len(found))):
        raise missing_checkpoints(connection, topic, found)
    return found


def missing_checkpoints(connection: GraphConnection, topic: str, found: Sequence[Checkpoint]) -> NotInitialised:
    """The error that says which checkpoints there are, where some are missing."""
    partitions = [c.partition for c in found]
    return NotInitialised(
        f"{connection}: topic {topic!r} has checkpoints for {partitions} only: run `holonstream init`"
    )


async def offsets(connection: GraphConnection, topic: str, partitions: Sequence[int]) -> dict[int, Any]:
    """The offset of each partition's checkpoint, where there is one, damaged or not. Raises GraphUnavailable."""
    rows = await connection.execute(text("checkpoint_offsets"), topic=topic, partitions=list(partitions))
    return dict(rows)


async def create_checkpoints(connection: GraphConnection, topic: str, partitions: int, log_end: int) -> None:
    """Make the checkpoints that are missing; `log_end` is a position that no event in the graph is beyond.

    Raises GraphUnavailable.
    """
    await connection.execute(text("checkpoints_create"), topic=topic, partitions=partitions, log_end=log_end)


async def check_topic(connection: GraphConnection, topic: str, partition: int, topic_id: str | None) -> None:
    """Check that a checkpoint is one in the topic with this id; one that says nothing yet takes it (None leaves it).

    Raises NotInitialised when the partition has no checkpoint, TopicReplaced, GraphUnavailable.
    """
    rows = await connection.execute(text("checkpoint_topic"), topic=topic, partition=partition, topic_id=topic_id)
    if not rows:
        raise NotInitialised(f"{connection}: {topic}[{partition}] has no checkpoint: run `holonstream init`")
    known, offset = rows[0]
    if topic_id is not None and known != topic_id:
        raise TopicReplaced(
            f"{connection}: holds {topic}[{partition}] up to offset {offset} of a topic that was deleted (id {known}), "
            f"or it is the graph of another pipeline; the present topic has id {topic_id}. If the graph is this "
            "pipeline's, wait until the relay leads again, stop the graph's workers, type `holonstream replay graph "
            "--in-place`, and start them again (docs/runbook.md, TopicReplaced)"
        )


async def publish_all(connection: GraphConnection, topic: str, partition: int) -> CheckpointPlace:
    """Wait for a checkpoint's last writer, and publish its visible position. Returns where it stands.

    Raises NotInitialised when the partition has no checkpoint, GraphDamaged, GraphUnavailable.
    """
    rows = await connection.execute(text("checkpoint_publish"), topic=topic, partition=partition)
    if not rows:
        raise NotInitialised(f"{connection}: {topic}[{partition}] has no checkpoint: run `holonstream init`")
    check_numbers(topic, partition, *rows[0][:4])
    return CheckpointPlace(*rows[0])


def check_numbers(topic: str, partition: int, *values: Any) -> None:
    """Check that fields of a checkpoint are the numbers that they must be. Raises GraphDamaged."""
    if any(type(value) is not int or value < 0 for value in values):
        raise GraphDamaged(
            f"The checkpoint of {topic}[{partition}] in Neo4j is damaged ({', '.join(map(repr, values))}): type "
            "`holonstream verify graph --no-wait --repair`"
        )


async def advance_visible(connection: GraphConnection, topic: str, partitions: Sequence[int]) -> None:
    """Publish the visible position of partitions: readers see what was committed. Raises GraphUnavailable."""
    await connection.execute(text("advance_visible"), topic=topic, partitions=list(partitions))


async def claim(transaction: Transaction, claims: Sequence[Claim]) -> dict[int, tuple[int, int]]:
    """Take the locks of checkpoints and move each that still stands where its worker left it (compare-and-set).

    Returns where each stood before (offset and epoch), by partition; one that does not exist is left out.
    """
    return places_before(await transaction.execute(text("claim"), claims=claim_rows(claims)))


def claim_rows(claims: Sequence[Claim]) -> list[dict[str, Any]]:
    """The rows of ``claim``, in one lock order for every worker."""
    return [claim._asdict() for claim in sorted(claims)]


def places_before(rows: Sequence[Sequence[Any]]) -> dict[int, tuple[int, int]]:
    """Where checkpoints stood before ``claim``, by partition."""
    return {partition: (offset, epoch) for partition, offset, epoch in rows}


async def raise_epoch(
    transaction: Transaction, topic: str, partition: int, expected: int | None = None
) -> tuple[int, int]:
    """Take a checkpoint's lock and raise its epoch, unless it is not the one expected.

    Until the transaction ends no worker can commit to the partition; the worker that waits for the lock then finds the
    new epoch. Returns the epoch found and the position. Raises NotInitialised when there is no such checkpoint.
    """
    rows = await transaction.execute(text("raise_epoch"), topic=topic, partition=partition, expected=expected)
    if not rows:
        raise NotInitialised(f"{topic}[{partition}] has no checkpoint: run `holonstream init`")
    return rows[0][0], rows[0][1]
