"""What `holonstream doctor` asks of the log's server: one statement for each group of facts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import psycopg

from holonstream.producers.log.postgres import driver_errors, query
from holonstream.producers.log.schema import event_types, heads_differ, is_as_made, schema_digest
from holonstream.schemas import jsontext
from holonstream.schemas.catalogue import Catalogue


@dataclass(frozen=True, slots=True)
class ServerFacts:
    """The server, whether the log is in it or not."""

    version: str
    encoding: str
    user: str
    now: float
    """the server's clock, in seconds since 1970"""
    bytes: int
    """of the database"""
    sessions: int
    max_sessions: int
    folder: str | None
    """of its data; None when the role may not see it (pg_read_all_settings)"""
    unsafe: list[str]
    """settings that are off, so that a crash of the machine may lose or damage what was acknowledged"""


@dataclass(frozen=True, slots=True)
class LogFacts:
    """The log's schema in the server."""

    is_current: bool
    """whether the schema's files are those of this installation"""
    is_as_made: bool
    """whether functions, triggers and rights are as the last `init` has left them"""
    types_missing: list[str]
    """event types of the catalogue that the log does not know"""
    sequence_behind: bool
    sequence_altered: bool
    """whether it may draw positions that do not rise, or too few"""
    heads_differ: bool
    """whether streams have another head than the log"""
    altered: list[tuple[str, str]]
    """what somebody has done to the tables by which events may be lost or changed, and what helps"""
    may_append: bool
    may_read: bool
    sees_sessions: bool
    """whether the login sees who holds the frontier"""


@dataclass(frozen=True, slots=True)
class IdleTransaction:
    """A session that has a transaction open and does nothing."""

    pid: int
    user: str | None
    application_name: str | None
    age_seconds: float


def server_facts(connection: psycopg.Connection[Any]) -> ServerFacts:
    """Raises LogUnavailable."""
    with driver_errors():
        row = connection.execute(query("server_facts")).fetchone()
    assert row is not None
    return ServerFacts(*row)


def log_facts(connection: psycopg.Connection[Any], catalogue: Catalogue) -> LogFacts | None:
    """None when there is no log. Raises LogUnavailable, NotPermitted."""
    with driver_errors(), connection.transaction():
        connection.execute(query("pin_session"))
        applied = connection.execute(query("applied_schema")).fetchone()
        if applied is None or applied[0] is None:
            return None
        known = {(name, version) for name, version in connection.execute(query("loaded_event_types"))}
        behind = connection.execute(query("sequence_behind")).fetchone()
        altered = connection.execute(query("sequence_altered")).fetchone()
        rights = connection.execute(query("log_rights")).fetchone()
        tables = connection.execute(query("altered_tables")).fetchall()
        heads = heads_differ(connection)
    assert behind is not None
    assert altered is not None
    assert rights is not None
    wanted = {(kind["name"], kind["version"]) for kind in jsontext.decode(event_types(catalogue))}
    missing = sorted(f"{name} version {version}" for name, version in wanted - known)
    current, made = applied[0] == schema_digest(), is_as_made(connection)
    return LogFacts(current, made, missing, behind[0], altered[0], heads, tables, *rights)


def idle_transactions(connection: psycopg.Connection[Any], seconds: float) -> list[IdleTransaction]:
    """Those that are older than so many seconds, oldest first. Raises LogUnavailable."""
    with driver_errors():
        return [IdleTransaction(*row) for row in connection.execute(query("idle_transactions"), {"seconds": seconds})]
