"""Databases for one test each, on a PostgreSQL server that is there."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import uuid4

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from holonstream.producers.log.postgres import check_dsn

CREATE = sql.SQL("CREATE DATABASE {} TEMPLATE {}")
DROP = sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)")


@contextmanager
def temporary_database(server: str, *, copy_of: str | None = None) -> Iterator[str]:
    """The connection string of a new database: empty, or a copy of another one, which must have no connections.

    It is dropped afterwards, even with connections open. Raises BadData when `server` is no connection string.
    """
    check_dsn(server)
    name = f"holonstream_test_{uuid4().hex}"
    template = "template1" if copy_of is None else str(conninfo_to_dict(copy_of)["dbname"])
    with psycopg.connect(server, autocommit=True) as admin:
        admin.execute(CREATE.format(sql.Identifier(name), sql.Identifier(template)))
    try:
        yield with_database(server, name)
    finally:
        with psycopg.connect(server, autocommit=True) as admin:
            admin.execute(DROP.format(sql.Identifier(name)))


def with_database(dsn: str, name: str) -> str:
    """The connection string for another database of the server. A URL stays a URL: SQLAlchemy takes nothing else."""
    # login, hosts; database; options, as libpq reads them: a password may hold "?" and "#"
    url = re.fullmatch(r"(\w+://(?:[^@/]*@)?[^/?]*)(?:/[^?]*)?(\?.*)?", dsn)
    return make_conninfo(dsn, dbname=name) if url is None else f"{url[1]}/{name}{url[2] or ''}"
