"""`append_in` says what it takes when it is given anything else."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from typing import Any

import asyncpg
import psycopg
import pytest
import sqlalchemy
from psycopg_pool import ConnectionPool
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import Session

from holonstream.client import UnknownEventType, append_in, append_in_async
from tests.support.event_log import person

NOWHERE = "postgresql+psycopg://postgres@127.0.0.1:9/none"


def test_what_is_no_blocking_connection_is_named() -> None:
    with closing(sqlite3.connect(":memory:")) as other:
        given: list[tuple[Any, str]] = [
            ("postgresql://host/db", "builtins.str"),
            (other, "sqlite3.Connection"),
            (sqlalchemy.create_engine(NOWHERE), "sqlalchemy.engine.base.Engine"),
            (AsyncSession(create_async_engine(NOWHERE)), "sqlalchemy.ext.asyncio.session.AsyncSession"),
            (psycopg.AsyncConnection.__new__(psycopg.AsyncConnection), "psycopg.AsyncConnection"),
            (ConnectionPool(open=False), "psycopg_pool.pool.ConnectionPool"),
        ]
        for connection, name in given:
            with pytest.raises(TypeError, match=f"append_in takes a psycopg .*, not {name}; append_in_async takes"):
                append_in(connection, [person()])


def test_what_is_no_asynchronous_connection_is_named() -> None:
    async def check() -> None:
        given: list[tuple[Any, str]] = [
            (Session(sqlalchemy.create_engine(NOWHERE)), "sqlalchemy.orm.session.Session"),
            (create_async_engine(NOWHERE), "sqlalchemy.ext.asyncio.engine.AsyncEngine"),
            (asyncpg.create_pool("postgresql://postgres@127.0.0.1:9/none"), "asyncpg.pool.Pool"),
        ]
        for connection, name in given:
            with pytest.raises(TypeError, match=f"append_in_async takes a psycopg .*, not {name}; append_in takes"):
                await append_in_async(connection, [person()])

    asyncio.run(check())


def test_events_are_checked_before_anything_is_sent() -> None:
    with pytest.raises(UnknownEventType, match="'Nothing'"):
        append_in("no connection", [person(type="Nothing")])
