"""The log as the relay reads it: a gap-free stretch, streamed in batches bounded in events and bytes.

Rows come a few at a time, so that memory is bounded by the batch whatever the events' size. PostgreSQL makes the next
rows while Kafka commits those before, as many as the connection's buffers hold. (A thread that reads ahead gains
nothing over them, and takes Python's lock from the one that publishes.) A short stretch is read at once, by a prepared
statement: psycopg prepares no statement whose rows it streams, and planning costs PostgreSQL more than reading some
events.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable
from typing import Any, NamedTuple

import psycopg
from psycopg.types.string import ByteaBinaryLoader

from holonstream.producers.log.postgres import ROWS_AT_ONCE, driver_errors, query

FEW = 64  # positions; that many of the largest events are 58 MB

BatchRow = tuple[int, bytes, bytes]
"""What the relay needs of an event: position, stream, and the record's value (CloudEvents JSON)."""


class EventBatch(NamedTuple):
    """Consecutive events of the log."""

    events: list[BatchRow]
    bytes: int

    @property
    def position(self) -> int:
        """The position of the last event."""
        return self.events[-1][0]


def read_batches(
    connection: psycopg.Connection[Any], after: int, frontier: int, *, limit: int, batch_events: int, batch_bytes: int
) -> Generator[EventBatch, None, None]:
    """The events beyond `after` up to `frontier`, `limit` of them at most.

    A batch ends with the event that reaches `batch_events` or `batch_bytes`. Raises LogUnavailable.
    """
    events: list[BatchRow] = []
    size = 0
    with driver_errors(), connection.cursor(binary=True) as cursor:
        cursor.adapters.register_loader("text", ByteaBinaryLoader)  # to be sent on, so never decoded
        arguments = {"after": after, "frontier": frontier, "limit": limit}
        if frontier - after <= FEW:
            rows: Iterable[Any] = cursor.execute(query("read_batches"), arguments, prepare=True)
        else:
            rows = cursor.stream(query("read_batches"), arguments, size=ROWS_AT_ONCE)
        for event in rows:
            events.append(event)
            size += len(event[1]) + len(event[2])
            if len(events) >= batch_events or size >= batch_bytes:
                yield EventBatch(events, size)
                events, size = [], 0
    if events:
        yield EventBatch(events, size)
