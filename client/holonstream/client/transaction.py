"""Appending in a transaction of the service's own, over the connection that the service has.

`append_in` takes what blocks, `append_in_async` what is awaited. A library is recognised by the modules that its
classes come from, so that none has to be installed. All send one statement, and raise the same errors.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any

import psycopg
from psycopg.rows import tuple_row

from holonstream.client.connections import catalogue as load_catalogue
from holonstream.client.settings import ClientSettings
from holonstream.producers.log.append import Appended, append, decode_rows, encode_call
from holonstream.producers.log.postgres import query, translate
from holonstream.schemas import tracing
from holonstream.schemas.catalogue import Catalogue
from holonstream.schemas.event import AnyEvent

BLOCKING = "a psycopg Connection or Cursor, a SQLAlchemy Session or Connection, or a Django connection"
ASYNCHRONOUS = (
    "a psycopg AsyncConnection or AsyncCursor, a SQLAlchemy AsyncSession or AsyncConnection, or an asyncpg Connection"
)


def append_in(
    connection: Any,
    events: Sequence[AnyEvent],
    *,
    expected: Mapping[str, int] | None = None,
    catalogue: Catalogue | None = None,
) -> list[Appended]:
    """Append events in the transaction that is open on `connection`; where each is in the log, in the order given.

    `connection` is a psycopg Connection or Cursor, a SQLAlchemy Session or Connection, or a Django connection
    (``django.db.connections["default"]``). The caller commits or rolls back; the tokens count once it has committed.
    Events are checked against `catalogue`, by default the one that HOLONSTREAM_SCHEMAS says. `expected` is as for
    `Client.append`.

    After an error of the database the transaction, or the savepoint around the call, must be rolled back. Raises
    InvalidEvent (UnknownEventType, EventTooLarge), WrongExpectedVersion, EventIdConflict, NotInitialised, NotPermitted,
    TransactionConflict (repeat the whole transaction), TransactionFailed (roll it back), LogRefused, LogUnavailable,
    InvalidSettings; TypeError for what is no such connection.
    """
    with tracing.span("append", "producer", events=len(events)):
        return _append_in(connection, encode_call(events, catalogue or _default_catalogue(), expected))


def _append_in(connection: Any, arguments: Mapping[str, Any]) -> list[Appended]:
    if isinstance(connection, psycopg.Cursor):
        connection = connection.connection
    if isinstance(connection, psycopg.Connection):
        return append(connection, arguments)
    match _library(connection):
        case "sqlalchemy" if not _is_async(connection) and hasattr(connection, "execute"):
            with _driver_errors():
                return decode_rows(connection.execute(_sqlalchemy_statement(), arguments).all())
        case "django":
            with _driver_errors(), connection.cursor() as cursor:
                cursor.execute(query("append"), arguments)
                return decode_rows(cursor.fetchall())
    raise TypeError(f"append_in takes {BLOCKING}, not {_name(connection)}; append_in_async takes {ASYNCHRONOUS}")


async def append_in_async(
    connection: Any,
    events: Sequence[AnyEvent],
    *,
    expected: Mapping[str, int] | None = None,
    catalogue: Catalogue | None = None,
) -> list[Appended]:
    """`append_in` for asyncio: the same arguments, answers and errors.

    `connection` is a psycopg AsyncConnection or AsyncCursor, a SQLAlchemy AsyncSession or AsyncConnection, or an
    asyncpg Connection, also one from a pool.
    """
    with tracing.span("append", "producer", events=len(events)):
        return await _append_in_async(connection, encode_call(events, catalogue or _default_catalogue(), expected))


async def _append_in_async(connection: Any, arguments: Mapping[str, Any]) -> list[Appended]:
    if isinstance(connection, psycopg.AsyncCursor):
        connection = connection.connection
    if isinstance(connection, psycopg.AsyncConnection):
        with _driver_errors():
            async with psycopg.AsyncCursor(connection, row_factory=tuple_row) as cursor:
                await cursor.execute(query("append"), arguments)
                return decode_rows(await cursor.fetchall())
    match _library(connection):
        case "sqlalchemy" if _is_async(connection) and hasattr(connection, "execute"):
            with _driver_errors():
                return decode_rows((await connection.execute(_sqlalchemy_statement(), arguments)).all())
        case "asyncpg" if hasattr(connection, "is_in_transaction"):  # a pool has no transaction
            with _driver_errors():
                return decode_rows(await connection.fetch(_numbered_statement(), *arguments.values()))
    raise TypeError(f"append_in_async takes {ASYNCHRONOUS}, not {_name(connection)}; append_in takes {BLOCKING}")


def _library(connection: object) -> str | None:
    roots = {cls.__module__.partition(".")[0] for cls in type(connection).__mro__}
    return next((name for name in ("sqlalchemy", "django", "asyncpg") if name in roots), None)


def _is_async(connection: object) -> bool:
    return any(cls.__module__.startswith("sqlalchemy.ext.asyncio") for cls in type(connection).__mro__)


def _name(connection: object) -> str:
    return f"{type(connection).__module__}.{type(connection).__qualname__}"


@cache
def _default_catalogue() -> Catalogue:
    return load_catalogue(ClientSettings.load())


@cache
def _sqlalchemy_statement() -> Any:
    from sqlalchemy import text  # it is there: it made the connection

    return text(query("append").replace("%(events)s", ":events").replace("%(expected)s", ":expected"))


@cache
def _numbered_statement() -> str:
    return query("append").replace("%(events)s", "$1").replace("%(expected)s", "$2")


@contextmanager
def _driver_errors() -> Iterator[None]:
    """Raise our errors in place of a driver's, also of one that SQLAlchemy or Django has wrapped in its own."""
    try:
        yield
    except Exception as error:
        ours = translate(_innermost(error))
        if ours is None:
            raise
        raise ours from error


def _innermost(error: BaseException) -> BaseException:
    """The driver's own error, which says most: the last one of the chain of causes that we have an error for."""
    found, cause = error, error.__cause__
    while cause is not None:
        if translate(cause) is not None:
            found = cause
        cause = cause.__cause__
    return found
