"""The log as the relay reads it: a stretch of settled events, streamed in batches bounded in events and bytes.

Rows come a few at a time, so that memory is bounded by the batch whatever the events' size, and PostgreSQL makes the
next rows while Kafka commits those before.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import psycopg
from psycopg.types.string import ByteaBinaryLoader

from holonstream.producers.postgres import driver_errors, query

# An index scan whatever the statistics say: a scan of the whole log, sorted, for every stretch would cost more the
# longer the log is.
READER_OPTIONS = " ".join(
    f"-c {setting}"
    for setting in (
        "enable_seqscan=off",
        "enable_bitmapscan=off",
        "enable_sort=off",
        "max_parallel_workers_per_gather=0",
        "jit=off",
    )
)
# Rows that libpq hands over at once: 32 of the largest events are 29 MB. libpq before 17 knows one at a time only,
# at twice the cost.
ROWS_AT_ONCE = 32 if psycopg.capabilities.has_stream_chunked() else 1

SettledEvent = tuple[int, bytes, bytes]
"""What the relay needs of an event: position, stream, and the record's value (CloudEvents JSON)."""


class EventBatch(NamedTuple):
    """Consecutive events of the log."""

    events: list[SettledEvent]
    bytes: int
    full: bool
    """whether a bound ended it, so that more may follow"""

    @property
    def position(self) -> int:
        """The position of the last event."""
        return self.events[-1][0]


def read_settled(
    connection: psycopg.Connection[Any], after: int, frontier: int, *, limit: int, batch_events: int, batch_bytes: int
) -> Generator[EventBatch, None, None]:
    """The events beyond `after` up to `frontier`, `limit` of them at most.

    A batch ends with the event that reaches `batch_events` or `batch_bytes`. Raises LogUnavailable.
    """
    events: list[SettledEvent] = []
    size = 0
    with driver_errors(), connection.cursor(binary=True) as cursor:
        cursor.adapters.register_loader("text", ByteaBinaryLoader)  # to be sent on, so never decoded
        arguments = {"after": after, "frontier": frontier, "limit": limit}
        for event in cursor.stream(query("read_settled"), arguments, size=ROWS_AT_ONCE):
            events.append(event)
            size += len(event[1]) + len(event[2])
            if len(events) >= batch_events or size >= batch_bytes:
                yield EventBatch(events, size, full=True)
                events, size = [], 0
    if events:
        yield EventBatch(events, size, full=False)


def read_ahead(batches: Iterator[EventBatch]) -> Generator[EventBatch, None, None]:
    """The same batches, each read while the one before is in use. Close it before `batches`.

    A drain is faster for it: PostgreSQL and Kafka then work at the same time.
    """
    batch = next(batches, None)
    if batch is None or not batch.full:  # nothing to overlap: save a short batch the hand-over
        if batch is not None:
            yield batch
        return
    with ThreadPoolExecutor(1, "read-ahead") as reader:
        while batch is not None:
            following = reader.submit(next, batches, None)
            yield batch
            batch = following.result()
