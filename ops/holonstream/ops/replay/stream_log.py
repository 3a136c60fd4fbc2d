"""Single streams of the log, read as the redrive needs them: bounded by position, and undecoded.

`PostgresEventStore.read_stream` decodes as it reads; what a redrive reads is there because something in it did not
apply, perhaps its decoding.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from importlib import resources
from types import TracebackType
from typing import LiteralString, Self

from holonstream.producers.postgres import connect, driver_errors, parse_queries
from holonstream.sinks.graph.recovery.redrive import LoggedEvent


class PostgresStreamLog:
    """A `sinks.graph.recovery.redrive.StreamLog` on one connection; use it in a ``with``. All raise LogUnavailable."""

    def __init__(self, dsn: str) -> None:
        self._connection = connect(dsn, "holonstream-redrive")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._connection.close()

    def read(self, stream: str, after_version: int, until_position: int, limit: int) -> Sequence[LoggedEvent]:
        """See `sinks.graph.recovery.redrive.StreamLog.read`."""
        arguments = {
            "stream": stream,
            "after_version": after_version,
            "until_position": until_position,
            "limit": limit,
        }
        with driver_errors():
            rows = self._connection.execute(_query("read"), arguments).fetchall()
        return [LoggedEvent(version, position, text.encode()) for version, position, text in rows]

    def versions(self, streams: Sequence[str]) -> dict[str, int]:
        """The last version of each stream that the log has."""
        with driver_errors():
            rows = self._connection.execute(_query("versions"), {"streams": list(streams)}).fetchall()
        return dict(rows)


@cache
def _queries() -> dict[str, LiteralString]:
    # LiteralString: the text is ours, read from the package, and nothing from outside is in it
    return parse_queries((resources.files("holonstream.ops.replay") / "queries.sql").read_text())


def _query(name: str) -> LiteralString:
    return _queries()[name]
