"""One interface to the libraries through which services use PostgreSQL, for the tests of `append_in`."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Coroutine, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager, contextmanager
from typing import Any, TypeVar
from urllib.parse import urlsplit

import asyncpg
import django
import psycopg
import sqlalchemy
from django.conf import settings as django_settings
from django.db import connections as django_connections
from django.db import transaction as django_transaction
from psycopg.rows import dict_row
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, AsyncSession, create_async_engine
from sqlalchemy.orm import Session
from sqlalchemy.pool import NullPool

from holonstream.client import Appended, Event, append_in, append_in_async

T = TypeVar("T")


class Service(ABC):
    """A service with one connection: transactions, savepoints, statements and appends in them."""

    @abstractmethod
    def close(self) -> None:
        """Close what was opened."""

    @abstractmethod
    def transaction(self) -> AbstractContextManager[None]:
        """A transaction; it commits at the end of the block, and rolls back when the block raises."""

    @abstractmethod
    def savepoint(self) -> AbstractContextManager[None]:
        """A savepoint in it, in the same way."""

    @abstractmethod
    def execute(self, statement: str) -> None:
        """Run a statement of the service's own."""

    @abstractmethod
    def append(self, events: Sequence[Event], expected: Mapping[str, int] | None = None) -> list[Appended]:
        """Append events."""


class PsycopgService(Service):
    """psycopg, with rows as dictionaries, as many services have them."""

    def __init__(self, dsn: str) -> None:
        self.connection = psycopg.connect(dsn, autocommit=True, row_factory=dict_row)

    def close(self) -> None:
        self.connection.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        with self.connection.transaction():
            yield

    savepoint = transaction

    def execute(self, statement: str) -> None:
        self.connection.execute(statement.encode())

    def append(self, events: Sequence[Event], expected: Mapping[str, int] | None = None) -> list[Appended]:
        return append_in(self.connection, events, expected=expected)


class PsycopgCursorService(PsycopgService):
    """psycopg, with a cursor in the service's hand whose placeholders are of another kind."""

    def append(self, events: Sequence[Event], expected: Mapping[str, int] | None = None) -> list[Appended]:
        with psycopg.RawCursor(self.connection) as cursor:
            return append_in(cursor, events, expected=expected)


class DjangoService(Service):
    """Django's default connection."""

    def __init__(self, dsn: str) -> None:
        parts = urlsplit(dsn)
        database = {
            "ENGINE": "django.db.backends.postgresql",
            "HOST": parts.hostname,
            "PORT": str(parts.port),
            "USER": parts.username,
            "NAME": parts.path[1:],
        }
        if not django_settings.configured:
            django_settings.configure(DATABASES={"default": database})
            django.setup()
        self.connection = django_connections["default"]
        self.connection.settings_dict.update(database)

    def close(self) -> None:
        self.connection.close()

    def transaction(self) -> AbstractContextManager[None]:
        return django_transaction.atomic()  # type: ignore[no-any-return]

    savepoint = transaction

    def execute(self, statement: str) -> None:
        with self.connection.cursor() as cursor:
            cursor.execute(statement)

    def append(self, events: Sequence[Event], expected: Mapping[str, int] | None = None) -> list[Appended]:
        return append_in(self.connection, events, expected=expected)


def _url(dsn: str, driver: str) -> str:
    return dsn.replace("postgresql://", f"postgresql+{driver}://")


class SqlalchemyConnectionService(Service):
    """SQLAlchemy Core."""

    connection: sqlalchemy.Connection | Session

    def __init__(self, dsn: str) -> None:
        self.connection = sqlalchemy.create_engine(_url(dsn, "psycopg"), poolclass=NullPool).connect()

    def close(self) -> None:
        self.connection.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        with self.connection.begin():
            yield

    @contextmanager
    def savepoint(self) -> Iterator[None]:
        with self.connection.begin_nested():
            yield

    def execute(self, statement: str) -> None:
        self.connection.execute(sqlalchemy.text(statement))

    def append(self, events: Sequence[Event], expected: Mapping[str, int] | None = None) -> list[Appended]:
        return append_in(self.connection, events, expected=expected)


class SqlalchemySessionService(SqlalchemyConnectionService):
    """SQLAlchemy's ORM."""

    def __init__(self, dsn: str) -> None:
        self.connection = Session(sqlalchemy.create_engine(_url(dsn, "psycopg"), poolclass=NullPool))


class AsyncService(Service):
    """The base for libraries of asyncio: each call runs on a loop of the service's own."""

    connection: Any

    def __init__(self) -> None:
        self._runner = asyncio.Runner()

    def run(self, call: Coroutine[Any, Any, T]) -> T:
        """Await a call."""
        return self._runner.run(call)

    async def aclose(self) -> None:
        """Close what was opened."""
        await self.connection.close()

    def close(self) -> None:
        self.run(self.aclose())
        self._runner.close()

    @abstractmethod
    def begin(self) -> AbstractAsyncContextManager[Any]:
        """A transaction."""

    def begin_nested(self) -> AbstractAsyncContextManager[Any]:
        """A savepoint."""
        return self.begin()

    @contextmanager
    def _block(self, opening: AbstractAsyncContextManager[Any]) -> Iterator[None]:
        self.run(_enter(opening))
        try:
            yield
        except BaseException as error:
            self.run(_leave(opening, error))
            raise
        self.run(_leave(opening, None))

    def transaction(self) -> AbstractContextManager[None]:
        return self._block(self.begin())

    def savepoint(self) -> AbstractContextManager[None]:
        return self._block(self.begin_nested())

    def execute(self, statement: str) -> None:
        self.run(self.connection.execute(statement))

    def append(self, events: Sequence[Event], expected: Mapping[str, int] | None = None) -> list[Appended]:
        return self.run(append_in_async(self.connection, events, expected=expected))


async def _enter(opening: AbstractAsyncContextManager[Any]) -> None:
    await opening.__aenter__()


async def _leave(opening: AbstractAsyncContextManager[Any], error: BaseException | None) -> None:
    await opening.__aexit__(
        None if error is None else type(error), error, None if error is None else error.__traceback__
    )


class PsycopgAsyncService(AsyncService):
    """psycopg for asyncio."""

    def __init__(self, dsn: str) -> None:
        super().__init__()
        self.connection = self.run(psycopg.AsyncConnection.connect(dsn, autocommit=True, row_factory=dict_row))

    def begin(self) -> AbstractAsyncContextManager[Any]:
        return self.connection.transaction()  # type: ignore[no-any-return]


class PsycopgAsyncCursorService(PsycopgAsyncService):
    """psycopg for asyncio, with a cursor in the service's hand."""

    def append(self, events: Sequence[Event], expected: Mapping[str, int] | None = None) -> list[Appended]:
        return self.run(append_in_async(self.connection.cursor(), events, expected=expected))


class AsyncpgService(AsyncService):
    """asyncpg, with a codec of the service's own for jsonb."""

    def __init__(self, dsn: str) -> None:
        super().__init__()
        self.connection = self.run(self._connect(dsn))

    async def _connect(self, dsn: str) -> Any:
        connection = await asyncpg.connect(dsn)
        await connection.set_type_codec("jsonb", encoder=repr, decoder=repr, schema="pg_catalog")
        return connection

    def begin(self) -> AbstractAsyncContextManager[Any]:
        return self.connection.transaction()  # type: ignore[no-any-return]


class AsyncpgPoolService(AsyncpgService):
    """asyncpg, with a connection that its pool lent."""

    async def _connect(self, dsn: str) -> Any:
        self._pool = await asyncpg.create_pool(dsn, min_size=1, max_size=1)
        return await self._pool.acquire()

    async def aclose(self) -> None:
        await self._pool.release(self.connection)
        await self._pool.close()


class SqlalchemyAsyncConnectionService(AsyncService):
    """SQLAlchemy Core for asyncio, over psycopg."""

    connection: AsyncConnection | AsyncSession
    driver = "psycopg"

    def __init__(self, dsn: str) -> None:
        super().__init__()
        engine = create_async_engine(_url(dsn, self.driver), poolclass=NullPool)
        self.connection = self.run(self._connect(engine))

    async def _connect(self, engine: AsyncEngine) -> AsyncConnection | AsyncSession:
        return await engine.connect()

    def begin(self) -> AbstractAsyncContextManager[Any]:
        return self.connection.begin()

    def begin_nested(self) -> AbstractAsyncContextManager[Any]:
        return self.connection.begin_nested()

    def execute(self, statement: str) -> None:
        self.run(self.connection.execute(sqlalchemy.text(statement)))


class SqlalchemyAsyncpgService(SqlalchemyAsyncConnectionService):
    """SQLAlchemy Core for asyncio, over asyncpg."""

    driver = "asyncpg"


class SqlalchemyAsyncSessionService(SqlalchemyAsyncConnectionService):
    """SQLAlchemy's ORM for asyncio, over asyncpg."""

    driver = "asyncpg"

    async def _connect(self, engine: AsyncEngine) -> AsyncSession:
        return AsyncSession(engine)


SERVICES: list[type[Any]] = [
    PsycopgService,
    PsycopgCursorService,
    PsycopgAsyncService,
    PsycopgAsyncCursorService,
    SqlalchemyConnectionService,
    SqlalchemySessionService,
    SqlalchemyAsyncConnectionService,
    SqlalchemyAsyncpgService,
    SqlalchemyAsyncSessionService,
    AsyncpgService,
    AsyncpgPoolService,
    DjangoService,
]
