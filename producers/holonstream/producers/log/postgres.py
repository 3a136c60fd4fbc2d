"""The log's statements and connections, and the one place where PostgreSQL's errors become ours."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, LiteralString

import psycopg

from holonstream.producers.errors import (
    AppendOnly,
    EventIdConflict,
    EventTooLarge,
    LogUnavailable,
    NotPermitted,
    WrongExpectedVersion,
)
from holonstream.schemas import jsontext
from holonstream.schemas.errors import BadData, HolonstreamError, InvalidEvent, NotInitialised, UnknownEventType
from holonstream.schemas.statements import parse_statements, read_text

# A session that has silently gone must be noticed within seconds: the leader lock is released with it.
KEEPALIVE: dict[str, Any] = {
    "keepalives_idle": 5,  # seconds
    "keepalives_interval": 2,  # seconds
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,  # milliseconds
    "connect_timeout": 5,  # seconds
}
NO_LIMIT = 2**63 - 1
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


_QUERIES = parse_statements(read_text("holonstream.producers.log", "sql/queries.sql"))


def query(name: str) -> LiteralString:
    """The statement of that name in ``queries.sql``."""
    return _QUERIES[name]


def connect(dsn: str, application_name: str, **options: Any) -> psycopg.Connection[Any]:
    """A connection in autocommit mode. Raises LogUnavailable."""
    with driver_errors():
        return psycopg.connect(dsn, autocommit=True, application_name=application_name, **KEEPALIVE, **options)


@contextmanager
def driver_errors() -> Iterator[None]:
    """Raise our errors in place of the driver's. What is neither the caller's fault nor the server's stays as it is."""
    try:
        yield
    except psycopg.Error as error:
        ours = translate(error)
        if ours is None:
            raise
        raise ours from error


def translate(error: psycopg.Error) -> HolonstreamError | None:
    """Our error for a driver's error, None for a bug. append.sql lists the codes of its own."""
    message = error.diag.message_primary or str(error)
    match error.sqlstate:
        case "HS001":
            detail = _detail(error)
            return UnknownEventType(detail.get("type", "?"), detail.get("id"))
        case "HS002":
            return InvalidEvent(message)
        case "HS003":
            detail = _detail(error)
            return WrongExpectedVersion(detail["stream"], detail["expected"], detail["actual"])
        case "HS004":
            return EventIdConflict(message)
        case "23505" if error.diag.constraint_name == "events_id_key":
            return EventIdConflict(
                f"Event id conflict: {error.diag.message_detail} (appended to another stream just now)"
            )
        case "HS005":
            return EventTooLarge(message)
        case "HS006":
            return AppendOnly(message)
        case "HS007":
            return BadData(message)
        case "22P02" | "22P05" | "22021" | "22003" | "54000":  # what jsonb cannot hold: \u0000, lone surrogates
            return InvalidEvent(f"Invalid event: PostgreSQL refuses its text: {message}")
        case "3F000" | "42P01" | "42883":
            return NotInitialised(f"The event log is not there: {message}: run `holonstream init`")
        case "42501":
            return NotPermitted(
                f"Not permitted: {message}: GRANT holonstream_writer (append) or holonstream_reader (read)"
            )
        case _ if isinstance(error, psycopg.OperationalError):
            return LogUnavailable(f"PostgreSQL unavailable: {str(error).strip()}")
    return None


def _detail(error: psycopg.Error) -> dict[str, Any]:
    detail = jsontext.decode(error.diag.message_detail or "{}")
    return detail if isinstance(detail, dict) else {}
