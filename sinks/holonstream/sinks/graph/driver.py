"""The one place that uses the Neo4j driver and turns its errors into ours.

A server that is down, busy, out of memory or in a deadlock raises GraphUnavailable: a retry can help. What the server
refuses (a wrong password, a statement it cannot run, a value that breaks a constraint) raises GraphRefused: a retry
cannot help.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

from neo4j import (
    AsyncDriver,
    AsyncGraphDatabase,
    AsyncSession,
    AsyncTransaction,
    NotificationMinimumSeverity,
    Query,
)
from neo4j.exceptions import ConfigurationError, DriverError, Neo4jError

from holonstream.schemas.tls import RenewedContext
from holonstream.sinks.errors import GraphRefused, GraphUnavailable

CONNECT_TIMEOUT = 5.0  # seconds
ACQUIRE_TIMEOUT = 15.0  # seconds to wait for a free connection of the pool
TRANSACTION_TIMEOUT = 120.0  # seconds, then the server ends a transaction and frees the locks of a client that hangs
STREAM_SIZE = 500  # rows that a stream asks for at a time
IDLE_CHECK = 30.0  # seconds without use, then a pooled connection is checked before it is used

_RETRIABLE = (
    "Neo.TransientError.",
    "Neo.DatabaseError.",
    "Neo.ClientError.Transaction.TransactionTimedOut",
    "Neo.ClientError.Transaction.LockClientStopped",
    "Neo.ClientError.Transaction.TransactionTerminated",
    "Neo.ClientError.Transaction.TransactionHookFailed",
    "Neo.ClientError.Cluster.",
    "Neo.ClientError.General.TransactionOutOfMemoryError",
    "Neo.ClientError.Statement.EntityNotFound",  # it was deleted while it was read
)
_DEADLOCK = "Neo.TransientError.Transaction.DeadlockDetected"
_BOOKMARK = "Neo.TransientError.Transaction.BookmarkTimeout"
_FAILED = "Neo.DatabaseError.Statement.ExecutionFailed"


class ExecutionFailed(GraphUnavailable):
    """Neo4j could not run a statement and does not say why: a fault of its own, or a value that is too large for an
    index. The sink finds out which (`sinks.graph.write.bisect`)."""

    detail = ""
    """as for GraphRefused"""


class OutOfMemory(GraphUnavailable):
    """A transaction is too large for the server's memory."""

    too_much = True


class LostBookmarks(GraphUnavailable):
    """The database lacks transactions that it had committed for this client: it was restored from a backup."""


class Deadlock(GraphUnavailable):
    """Two transactions waited for each other's locks, and the server rolled this one back."""


R = TypeVar("R", GraphRefused, ExecutionFailed)


@contextmanager
def neo4j_errors(address: str) -> Iterator[None]:
    """Turn what the driver raises into GraphUnavailable, Deadlock, ExecutionFailed or GraphRefused."""
    try:
        yield
    except Neo4jError as error:
        code = error.code or ""
        detail = error.message or ""
        text = f"Neo4j at {address}: {code}{'' if _quotes_values(code) else f': {detail}'}"
        if code == _DEADLOCK:
            raise Deadlock(text) from error
        if code == _BOOKMARK:
            raise LostBookmarks(text) from error
        if code == _FAILED:
            raise _detailed(ExecutionFailed(text), detail) from error
        if "OutOfMemory" in code:
            raise OutOfMemory(text) from error
        if code.startswith(_RETRIABLE) or error.is_retryable():
            raise GraphUnavailable(text) from error
        raise _detailed(GraphRefused(text), detail) from error
    except ConfigurationError as error:
        raise GraphRefused(f"Neo4j at {address}: {error}") from error
    except (DriverError, OSError, asyncio.IncompleteReadError) as error:
        raise GraphUnavailable(f"Neo4j at {address}: {type(error).__name__}: {error}") from error


def _detailed(refusal: R, detail: str) -> R:
    refusal.detail = detail
    return refusal


def _trusting(uri: str, ca: Path | None) -> tuple[str, dict[str, Any]]:
    """Address and options for the driver, which takes a context only with a scheme without TLS."""
    scheme, _, rest = uri.partition("://")
    if ca is None or not scheme.endswith("+s"):
        return uri, {}
    return f"{scheme.removesuffix('+s')}://{rest}", {"encrypted": True, "ssl_context": RenewedContext(ca)}


def _quotes_values(code: str) -> bool:
    """Whether the server's message may quote values of an event, which would then stand in a log."""
    return (".Statement." in code and not code.endswith(".SyntaxError")) or code.endswith("ConstraintValidationFailed")


class GraphConnection:
    """A database of a Neo4j server; holds a pool of connections from `open` to `close`."""

    def __init__(
        self,
        uri: str,
        *,
        user: str | None = None,
        password: str | None = None,
        database: str = "neo4j",
        max_connections: int = 20,
        ca: Path | None = None,
    ) -> None:
        """`ca` is the file of authorities trusted instead of the system's, for ``bolt+s://`` and ``neo4j+s://``."""
        self._target, self._trust = _trusting(uri, ca)
        self.uri, self.database = uri, database
        self._auth = None if user is None else (user, password or "")
        self._max_connections = max_connections
        self._driver: AsyncDriver | None = None
        self._routed = uri.startswith("neo4j")
        self._forget_bookmarks()

    def __repr__(self) -> str:
        return f"GraphConnection({self.uri!r}, database={self.database!r})"

    def __str__(self) -> str:
        return f"Neo4j at {self.uri} (database {self.database})"

    async def open(self) -> None:
        """Connect and check that the server answers. Raises GraphUnavailable or GraphRefused."""
        if self._driver is not None:
            return
        with neo4j_errors(self.uri):
            driver = AsyncGraphDatabase.driver(
                self._target,
                auth=self._auth,
                connection_timeout=CONNECT_TIMEOUT,
                connection_acquisition_timeout=ACQUIRE_TIMEOUT,
                max_connection_pool_size=self._max_connections,
                liveness_check_timeout=IDLE_CHECK,
                notifications_min_severity=NotificationMinimumSeverity.OFF,
                telemetry_disabled=True,
                keep_alive=True,
                **self._trust,
            )
            try:
                await driver.verify_connectivity()
            except BaseException:
                await driver.close()
                raise
        self._driver = driver

    async def ping(self) -> None:
        """Check that the server answers. Raises GraphUnavailable or GraphRefused."""
        if self._driver is None:
            raise GraphUnavailable(f"Neo4j at {self.uri}: the connection is not open")
        with neo4j_errors(self.uri):
            await self._driver.verify_connectivity()

    async def close(self) -> None:
        """Close all connections; closing twice is fine."""
        driver, self._driver = self._driver, None
        if driver is not None:
            await driver.close()

    async def __aenter__(self) -> GraphConnection:
        await self.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def execute(self, statement: str, *, timeout: float | None = None, **parameters: Any) -> list[list[Any]]:
        """Run a statement in a transaction of its own, and return its rows: one round trip.

        After `timeout` seconds the server ends it, in case it or the client hangs.
        """
        with self._errors():
            async with self._session() as session:
                query, parameters = with_lists(statement, parameters)
                result = await session.run(_query(query, timeout), parameters)
                return await result.values()

    @asynccontextmanager
    async def stream(self, statement: str, **parameters: Any) -> AsyncIterator[AsyncIterator[list[Any]]]:
        """Run a statement in a transaction of its own, and yield its rows as they come."""
        async with self._session(fetch_size=STREAM_SIZE) as session:
            with self._errors():
                query, parameters = with_lists(statement, parameters)
                result = await session.run(_query(query), parameters)

            async def rows() -> AsyncIterator[list[Any]]:
                with neo4j_errors(self.uri):
                    async for record in result:
                        yield record.values()

            yield rows()

    async def plan(self, statement: str, **parameters: Any) -> dict[str, Any]:
        """The plan by which the server would run a statement, which is not run."""
        with neo4j_errors(self.uri):
            async with self._session() as session:
                query, parameters = with_lists("EXPLAIN " + statement, parameters)
                result = await session.run(_query(query), parameters)
                plan = (await result.consume()).plan
                assert plan is not None
                return plan

    @asynccontextmanager
    async def transaction(self, timeout: float = TRANSACTION_TIMEOUT) -> AsyncIterator[Transaction]:
        """A transaction that commits at the end of the block, and rolls back when the block raises.

        After `timeout` seconds the server rolls it back, in case the client hangs.
        """
        async with self._session() as session:
            with self._errors():
                transaction = await session.begin_transaction(timeout=timeout)
            try:
                yield Transaction(transaction, self.uri)
            except asyncio.CancelledError:
                transaction.cancel()
                raise
            except BaseException:
                with suppress(Neo4jError, DriverError, OSError):
                    await transaction.close()
                raise
            with neo4j_errors(self.uri):
                await transaction.commit()

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            with neo4j_errors(self.uri):
                yield
        except LostBookmarks:
            self._forget_bookmarks()
            raise

    def _forget_bookmarks(self) -> None:
        """Wait for no earlier transaction any more.

        A cluster needs bookmarks: another server may not have a transaction yet. A single server has all that it has
        committed; of one that was restored from a backup a bookmark would wait for what never comes.
        """
        self._bookmarks = AsyncGraphDatabase.bookmark_manager() if self._routed else None

    def _session(self, fetch_size: int = -1) -> AsyncSession:
        if self._driver is None:
            raise GraphUnavailable(f"Neo4j at {self.uri}: the connection is not open")
        return self._driver.session(database=self.database, fetch_size=fetch_size, bookmark_manager=self._bookmarks)


class Transaction:
    """Statements that take effect together."""

    def __init__(self, transaction: AsyncTransaction, address: str) -> None:
        self._transaction, self._address = transaction, address

    async def execute(self, statement: str, **parameters: Any) -> list[list[Any]]:
        """Run a statement in this transaction, and return its rows."""
        with neo4j_errors(self._address):
            result = await self._transaction.run(*with_lists(statement, parameters))
            return await result.values()


class _HiddenValues(list[Any]):
    """A list whose text does not hold its values.

    The driver makes the text of its debug log, with all parameters, for every statement, even when nothing is logged: a
    tenth of the cost of a batch, and data that no log may hold.
    """

    def __repr__(self) -> str:
        return f"<{len(self)} values>"


def with_lists(statement: str, parameters: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """The statement with its lists in one map, ``$lists.ids`` for ``$ids``.

    Neo4j plans a statement for 0, 1, 10, 100, 1,000 ... values of each list, so one with five lists would be planned
    again and again: 30 ms each time, half a second on a server that has just started. It does not count inside a map.
    """
    lists = {name: _HiddenValues(value) for name, value in parameters.items() if isinstance(value, list)}
    if not lists:
        return statement, parameters
    others = {name: value for name, value in parameters.items() if name not in lists}
    return _in_map(statement, tuple(lists)), {**others, "lists": lists}


@lru_cache(maxsize=1024)
def _in_map(statement: str, names: tuple[str, ...]) -> str:
    return re.sub(rf"\$({'|'.join(names)})\b", r"$lists.\1", statement)


def _query(statement: str, timeout: float | None = None) -> Query:
    # Statements come from this project's files; only names that the catalogue knows are put into them (statements.py).
    return Query(statement, timeout=timeout)
