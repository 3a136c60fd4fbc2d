"""The log as operators' tools read it: stream by stream and undecoded, for what they read may be unreadable.

The walk over all streams follows the unique index on (stream, version) in short statements, each from where the one
before ended: nothing is sorted, nothing is spilled to a disk, no snapshot stays open, and one pass is enough.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping, Sequence
from types import TracebackType
from typing import Self

from holonstream.producers.log.frontier import Frontier, read_frontier
from holonstream.producers.log.postgres import (
    NO_LIMIT,
    READER_OPTIONS,
    ROWS_AT_ONCE,
    connect,
    driver_errors,
    query,
    storable,
)
from holonstream.schemas.wire import LoggedEvent

STRETCH = 20_000  # events of one statement


class LogReader:
    """Reads the log on one connection, in one thread. Use it in a ``with``. Every method raises LogUnavailable."""

    def __init__(self, dsn: str, application_name: str) -> None:
        self._connection = connect(dsn, application_name, options=READER_OPTIONS)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection; closing twice is fine."""
        self._connection.close()

    def frontier(self) -> Frontier:
        """The last position drawn, and the gap-free one."""
        return read_frontier(self._connection)

    def first_position(self) -> int | None:
        """The position of the log's first event, None without one."""
        with driver_errors():
            row = self._connection.execute(query("first_position")).fetchone()
        assert row is not None
        return None if row[0] is None else int(row[0])

    def last_position(self, until: int) -> int:
        """The position of the last event up to another, 0 without one."""
        with driver_errors():
            row = self._connection.execute(query("last_event"), {"until": until}).fetchone()
        assert row is not None
        return int(row[0])

    def stream(
        self, stream: str, after_version: int = 0, until: int = NO_LIMIT, limit: int = NO_LIMIT
    ) -> Generator[LoggedEvent, None, None]:
        """The committed events of a stream beyond a version and up to a position, in order, `limit` of them at most.

        Close it, or read it to its end, before the next call.
        """
        if not storable([stream]):
            return
        arguments = {"stream": stream, "after": after_version, "until": until, "limit": limit}
        with driver_errors(), self._connection.cursor() as cursor:
            for name, version, position, value in cursor.stream(query("read_stream"), arguments, size=ROWS_AT_ONCE):
                yield LoggedEvent(name, version, position, value.encode())

    def read(self, stream: str, after_version: int, until: int, limit: int) -> list[LoggedEvent]:
        """The same as a list (`sinks.parked.StreamLog`)."""
        return list(self.stream(stream, after_version, until, limit))

    def all_streams(self, until: int) -> Iterator[LoggedEvent]:
        """Every event up to a gap-free position, in the order of streams and versions."""
        reached = {"stream": "", "version": 0}
        found = STRETCH
        while found == STRETCH:
            found = 0
            with driver_errors(), self._connection.cursor() as cursor:
                arguments = {**reached, "until": until, "limit": STRETCH}
                for name, version, position, value in cursor.stream(
                    query("read_streams"), arguments, size=ROWS_AT_ONCE
                ):
                    found += 1
                    reached = {"stream": name, "version": version}
                    yield LoggedEvent(name, version, position, value.encode())

    def places(self, versions: Mapping[str, int]) -> dict[str, tuple[int | None, int]]:
        """Of each stream that the log has: the position of that version, None without it, and the last version."""
        streams = storable(versions)
        arguments = {"streams": streams, "versions": [versions[stream] for stream in streams]}
        with driver_errors():
            rows = self._connection.execute(query("stream_places"), arguments).fetchall()
        return {stream: (position, last) for stream, position, last in rows}

    def unknown(self, streams: Sequence[str]) -> set[str]:
        """Those of some streams of which the log has no event."""
        possible = storable(streams)
        with driver_errors():
            rows = self._connection.execute(query("unknown_streams"), {"streams": possible}).fetchall()
        return {stream for (stream,) in rows} | (set(streams) - set(possible))

    def streams_at(self, positions: Sequence[int], until: int) -> list[str]:
        """The streams of the events at or next beyond some positions, up to another, each once."""
        with driver_errors():
            arguments = {"positions": list(positions), "until": until}
            rows = self._connection.execute(query("streams_at"), arguments).fetchall()
        return sorted(stream for (stream,) in rows)
