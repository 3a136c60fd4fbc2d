"""A batch on its way into the graph."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from holonstream.schemas.partition import partition_of
from holonstream.schemas.state import State
from holonstream.sinks.base import Batch
from holonstream.sinks.graph.checkpoint import Claim
from holonstream.sinks.graph.empty_streams import LastSeen
from holonstream.sinks.graph.write.batch import Outcome, leave_out
from holonstream.sinks.graph.write.partition import HeldPartition
from holonstream.sinks.records import Item


@dataclass(slots=True)
class BatchWork:
    """A batch on its way into the graph, and what is to be remembered of it once the transaction has committed."""

    batch: Batch
    held: HeldPartition
    outcome: Outcome = field(default_factory=Outcome)
    streams: dict[str, list[Item]] = field(default_factory=dict)
    position: int | None = None
    states: dict[str, State] = field(default_factory=dict)
    empty: dict[str, LastSeen] = field(default_factory=dict)
    """how far streams without an entity have come"""


def claims_of(works: Sequence[BatchWork]) -> list[Claim]:
    """The checkpoints that batches move."""
    return [
        Claim(
            work.batch.topic,
            work.batch.partition,
            work.held.offset,
            work.held.epoch,
            work.batch.next_offset,
            work.position,
        )
        for work in works
    ]


def by_stream(works: Sequence[BatchWork], partitions: int) -> dict[str, BatchWork]:
    """The batch that has each stream. Of one that comes from two partitions, what is not in its own is left out."""
    found: dict[str, BatchWork] = {}
    for work in works:
        for stream in list(work.streams):
            other = found.setdefault(stream, work)
            if other is not work:
                home = partition_of(stream, partitions)
                found[stream], wrong = (work, other) if work.batch.partition == home else (other, work)
                reason = f"Record of another producer: {stream} belongs to partition {home} of {partitions}"
                leave_out(wrong.batch, wrong.streams.pop(stream), reason, wrong.outcome)
    return found
