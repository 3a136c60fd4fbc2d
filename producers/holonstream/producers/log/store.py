"""The event store: appending to the log and reading it.

PostgreSQL is the truth. An append is one call of the SQL function ``holonstream.append_events``, in the caller's
transaction or in one of its own; what it returns is final once that transaction has committed. Reads that go by
position end at the frontier (`producers.log.frontier`), so that a reader who continues from the last position it saw
never misses an event; `get_event` and `read_stream` see everything that is committed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from select import POLLIN, poll
from threading import Lock
from types import TracebackType
from typing import Any, Protocol, Self
from uuid import UUID

import psycopg
from psycopg_pool import ConnectionPool, PoolTimeout

from holonstream.producers.errors import LogUnavailable, NotPermitted, UnreadableEvents
from holonstream.producers.log.append import Appended, append, encode_call
from holonstream.producers.log.frontier import read_frontier
from holonstream.producers.log.postgres import (
    LIMITS,
    NO_LIMIT,
    SESSION,
    UNHIDE,
    connect,
    driver_errors,
    query,
    sqlstate_of,
    storable,
)
from holonstream.schemas import instant, tracing, wire
from holonstream.schemas.catalogue import Catalogue
from holonstream.schemas.errors import InvalidEvent
from holonstream.schemas.event import AnyEvent, RecordedEvent
from holonstream.schemas.fork import forget_after_fork

APPLICATION_NAME = "holonstream-store"


class EventStore(Protocol):
    """The log of all events."""

    def append(
        self, events: Sequence[AnyEvent], *, expected: Mapping[str, int] | None = None, connection: Any = None
    ) -> list[Appended]:
        """Append events, all or none; returns where each is, in the order given.

        `expected` maps streams to the version they must be at, 0 for one that must not exist. With a `connection` the
        append is part of the transaction that is open on it, without one it is committed on return.
        An event whose id is in the log with the same content is not written again: where it is, is returned.

        Raises InvalidEvent (UnknownEventType, EventTooLarge), WrongExpectedVersion, EventIdConflict, LogUnavailable.
        """

    def get_event(self, event_id: str | UUID) -> RecordedEvent | None:
        """The event of that id. Raises UnreadableEvents when it cannot be read."""

    def get_events(
        self,
        *,
        type: str | Iterable[str] | None = None,
        start_time: str | None = None,
        end_time: str | None = None,
        actor: str | None = None,
        subjects: str | Iterable[str] | None = None,
        after: int = 0,
        limit: int | None = None,
    ) -> Iterator[RecordedEvent]:
        """Events that satisfy every filter given, in log order: of one of the types, occurred from `start_time` to
        `end_time` (inclusive, ISO-8601), by the actor, about any of the subjects, beyond the position `after`.

        An event that cannot be read does not hide the others: they come first, then UnreadableEvents names it.
        """

    def read(self, after_position: int = 0, until: int | None = None) -> Iterator[RecordedEvent]:
        """The log beyond a position and up to another (by default: as far as it is gap-free now), in order.

        UnreadableEvents as for `get_events`.
        """

    def read_stream(self, stream: str, after_version: int = 0) -> Iterator[RecordedEvent]:
        """One stream beyond a version, in order. Raises UnreadableEvents at the first event that cannot be read."""

    def head(self) -> int:
        """The last position drawn, whether committed or not; 0 before the first."""


def _filters(
    type: str | Iterable[str] | None,
    start_time: str | None,
    end_time: str | None,
    actor: str | None,
    subjects: str | Iterable[str] | None,
) -> dict[str, Any]:
    """The filters of `get_events` as statements take them."""
    return {
        "types": None if type is None else storable([type] if isinstance(type, str) else type),
        "start_time": None if start_time is None else instant.parse(start_time),
        "end_time": None if end_time is None else instant.parse(end_time),
        "actor": actor,
        "subjects": None if subjects is None else storable([subjects] if isinstance(subjects, str) else subjects),
    }


class PostgresEventStore:
    """The event store in PostgreSQL. Safe for use by several threads; close it, or use it in a ``with``.

    The first call connects, also the first one in a child that was forked. Every method raises LogUnavailable.
    """

    def __init__(
        self,
        dsn: str,
        catalogue: Catalogue,
        *,
        max_connections: int = 4,
        timeout: float = 10.0,
        on_append: Callable[[int, float], None] | None = None,
    ) -> None:
        """`timeout` in seconds is how long a call waits for a connection. `on_append` is called for each append that
        succeeded, by the thread that made it: how many events, and how many seconds it took.
        """
        self._dsn, self._catalogue = dsn, catalogue
        self._max_connections, self._timeout = max_connections, timeout
        self._on_append = on_append
        self._opening = Lock()
        self._pool: ConnectionPool | None = None
        self._closed = False
        forget_after_fork(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close all connections; closing twice is fine."""
        with self._opening:
            self._closed = True
            if self._pool is not None:
                self._pool.close()

    def _forget(self) -> object:
        """Start without connections in a child that was forked."""
        dropped = self._opening, self._pool
        self._opening, self._pool = Lock(), None
        return dropped

    def _connections(self) -> ConnectionPool:
        """The pool, opened by the first call of this process. Raises LogUnavailable."""
        with self._opening:
            if self._closed:
                raise LogUnavailable("The event store is closed")
            if self._pool is None:
                # a pool would try for its whole timeout, and not say why
                connect(self._dsn, APPLICATION_NAME).close()
                self._pool = ConnectionPool(
                    self._dsn,
                    # nothing prepared: pgbouncer gives each transaction another connection to the server
                    kwargs={
                        "autocommit": True,
                        "prepare_threshold": None,
                        "application_name": APPLICATION_NAME,
                        **SESSION,
                    },
                    min_size=0,
                    max_size=self._max_connections,
                    timeout=self._timeout,
                    check=_check_idle,
                    open=True,
                )
            return self._pool

    def append(
        self,
        events: Sequence[AnyEvent],
        *,
        expected: Mapping[str, int] | None = None,
        connection: psycopg.Connection[Any] | None = None,
    ) -> list[Appended]:
        """See `EventStore.append`."""
        began = time.perf_counter()
        with tracing.span("append", "producer", events=len(events)):
            appended = self._append_all(events, expected, connection)
        if self._on_append is not None:
            self._on_append(len(appended), time.perf_counter() - began)
        return appended

    def _append_all(
        self,
        events: Sequence[AnyEvent],
        expected: Mapping[str, int] | None,
        connection: psycopg.Connection[Any] | None,
    ) -> list[Appended]:
        arguments = encode_call(events, self._catalogue, expected)
        if connection is not None:
            return append(connection, arguments)
        # A deadlock is not the caller's business, nor are connections that broke while they lay in the pool. The ids
        # are fixed by now, so that a repetition writes nothing twice.
        pool = self._connections()
        for _ in range(self._max_connections + 1):
            try:
                return _append(pool, arguments)
            except LogUnavailable as error:
                if isinstance(error.__cause__, PoolTimeout) or sqlstate_of(error.__cause__) in LIMITS:
                    raise
        return _append(pool, arguments)

    def get_event(self, event_id: str | UUID) -> RecordedEvent | None:
        """See `EventStore.get_event`."""
        try:
            identity = UUID(str(event_id))  # also of a UUID
        except ValueError:
            raise InvalidEvent(f"Not an event id: {event_id!r} is not a UUID") from None
        return next(self._stream("get_event", {"id": identity}), None)

    def get_events(
        self,
        *,
        type: str | Iterable[str] | None = None,
        start_time: str | None = None,
        end_time: str | None = None,
        actor: str | None = None,
        subjects: str | Iterable[str] | None = None,
        after: int = 0,
        limit: int | None = None,
    ) -> Iterator[RecordedEvent]:
        """See `EventStore.get_events`."""
        arguments = {
            **_filters(type, start_time, end_time, actor, subjects),
            "after": after,
            "limit": NO_LIMIT if limit is None else min(max(limit, 0), NO_LIMIT),
        }
        return self._stream("get_events", arguments, gap_free=True)

    def before_last(
        self,
        limit: int,
        *,
        type: Iterable[str] | None = None,
        start_time: str | None = None,
        end_time: str | None = None,
        actor: str | None = None,
        subjects: str | Iterable[str] | None = None,
    ) -> int:
        """The position beyond which `get_events` finds the last `limit` events that satisfy the same filters."""
        until = self.frontier()
        if limit == 0 or storable([actor or ""]) != [actor or ""]:
            return until
        arguments = {
            **_filters(type, start_time, end_time, actor, subjects),
            "until": until,
            "limit": min(limit, NO_LIMIT),
        }
        with driver_errors(), self._connections().connection() as connection:
            row = connection.execute(query("before_last"), arguments).fetchone()
            assert row is not None
            return int(row[0])

    def frontier(self) -> int:
        """Up to where the log is gap-free now."""
        with driver_errors(), self._connections().connection() as connection:
            return read_frontier(connection).frontier

    def read(self, after_position: int = 0, until: int | None = None) -> Iterator[RecordedEvent]:
        """See `EventStore.read`."""
        return self._stream("read", {"after": after_position, "until": until}, gap_free=True)

    def read_stream(self, stream: str, after_version: int = 0) -> Iterator[RecordedEvent]:
        """See `EventStore.read_stream`."""
        arguments = {"stream": stream, "after": after_version, "until": NO_LIMIT, "limit": NO_LIMIT}
        return self._stream("read_stream", arguments, stop=True)

    def head(self) -> int:
        """See `EventStore.head`."""
        with driver_errors(), self._connections().connection() as connection:
            row = connection.execute(query("last_position")).fetchone()
            assert row is not None
            return int(row[0])

    def _stream(
        self, name: str, arguments: dict[str, Any], *, gap_free: bool = False, stop: bool = False
    ) -> Iterator[RecordedEvent]:
        """The events that a statement gives, one row in memory at a time.

        `gap_free` ends them at the frontier. Raises UnreadableEvents after all others, with `stop` at the first.
        """
        faults: dict[int, str] = {}
        texts = [value for value in arguments.values() if isinstance(value, str)]
        if storable(texts) != texts:
            return
        with driver_errors(), self._connections().connection() as connection:
            if gap_free:  # a statement before the one that reads: see `producers.log.frontier`
                frontier = read_frontier(connection).frontier
                until = arguments.get("until")
                arguments = {**arguments, "until": frontier if until is None else min(until, frontier)}
            with connection.cursor() as cursor:
                for stream, version, position, value in cursor.stream(query(name), arguments):
                    try:
                        event = wire.decode(value.encode())
                    except InvalidEvent as error:
                        faults[position] = f"stream {stream} version {version}: {error.__cause__}"
                        if stop:
                            break
                    else:
                        yield event
            if not gap_free:  # the frontier refuses it
                _check_nothing_hidden(connection)
        if faults:
            raise UnreadableEvents(faults)


def _check_idle(connection: psycopg.Connection[Any]) -> None:
    """Raise what a connection that lay in the pool has to say, when the server has ended it meanwhile.

    Only when something has come in, which nobody asked for: a question each time would cost as much as a read.
    """
    idle = poll()
    idle.register(connection.fileno(), POLLIN)
    if idle.poll(0):
        ConnectionPool.check_connection(connection)


def _check_nothing_hidden(connection: psycopg.Connection[Any]) -> None:
    """Raises NotPermitted where row-level security may have hidden events from what was read."""
    row = connection.execute(query("row_security")).fetchone()
    if row is not None and row[0]:
        raise NotPermitted(f"Not permitted: row-level security may hide events: {UNHIDE}")


def _append(pool: ConnectionPool, arguments: Mapping[str, Any]) -> list[Appended]:
    with driver_errors(), pool.connection() as connection:
        return append(connection, arguments)
