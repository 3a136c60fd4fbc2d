"""Making and upgrading the event log's schema."""

from __future__ import annotations

import hashlib

from psycopg import sql

from holonstream.producers.log.postgres import connect, driver_errors, query
from holonstream.schemas import jsontext
from holonstream.schemas.catalogue import Catalogue
from holonstream.schemas.errors import BadData
from holonstream.schemas.statements import read_text

FILES = ("schema.sql", "append.sql", "read.sql", "event_types.sql", "roles.sql")
SCHEMA_LOCK = 18517 << 48


def apply_schema(dsn: str, catalogue: Catalogue) -> bool:
    """Make or upgrade the event log and load the catalogue's types; returns whether the schema's files were run.

    May be repeated and run by several processes at once. Files already applied are not run again, since their locks
    would wait for every open transaction. Raises LogUnavailable, NotPermitted, BadData (a type changed its stream, or
    the database has another encoding than UTF8).
    """
    texts, digest = _texts(), schema_digest()
    with connect(dsn, "holonstream-init") as connection, driver_errors(), connection.transaction():
        encoding = connection.execute(query("server_encoding")).fetchone()
        if encoding is None or encoding[0] != "UTF8":
            raise BadData(
                f"The database's server_encoding is {encoding and encoding[0]}, the log needs UTF8: "
                "CREATE DATABASE ... TEMPLATE template0 ENCODING 'UTF8'"
            )
        connection.execute(query("lock_schema"), {"key": SCHEMA_LOCK})
        row = connection.execute(query("applied_schema")).fetchone()
        outdated = row is None or row[0] != digest
        if outdated:
            connection.execute(query("pin_session"))
            for text in texts:
                connection.execute(text)
            connection.execute(sql.SQL(query("note_schema")).format(digest=sql.Literal(digest)))
        connection.execute(query("load_event_types"), {"types": event_types(catalogue)})
    return outdated


def schema_digest() -> str:
    """What a log is marked with whose schema was made by this installation's files."""
    return "event log " + hashlib.sha256("".join(_texts()).encode()).hexdigest()[:16]


def _texts() -> list[str]:
    return [read_text("holonstream.producers.log", f"sql/{name}") for name in FILES]


def repair_sequence(dsn: str) -> int | None:
    """Raise a position sequence that is behind its log; the position that it goes on from, None when it was not behind.

    Logical replication and partial dumps bring a log's rows without its sequence. Waits for open appends.
    Raises LogUnavailable, NotInitialised, NotPermitted.
    """
    with connect(dsn, "holonstream-init") as connection, driver_errors(), connection.transaction():
        behind = connection.execute(query("sequence_behind")).fetchone()
        if behind is None or not behind[0]:
            return None
        connection.execute(query("lock_events"))
        raised = connection.execute(query("raise_sequence")).fetchone()
        return None if raised is None else int(raised[0])


def event_types(catalogue: Catalogue) -> str:
    """The catalogue's types in all their versions, as load_event_types takes them."""
    return jsontext.encode(
        [
            {
                "name": kind.name,
                "version": kind.version,
                "current": kind is newest,
                "streamKind": kind.stream_kind,
                "requiredSubjects": kind.required_subjects,
                "required": kind.required,
            }
            for newest in catalogue.types.values()
            for kind in catalogue.versions(newest.name)
        ]
    ).decode()
