"""The log's statements and connections, and the one place where PostgreSQL's errors become ours."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from time import monotonic
from typing import Any, LiteralString, TypeVar

import psycopg
from psycopg.abc import PQGen
from psycopg.conninfo import conninfo_to_dict

from holonstream.producers.errors import (
    AppendOnly,
    EventIdConflict,
    EventTooLarge,
    HeadsAltered,
    LogRefused,
    LogUnavailable,
    NotPermitted,
    NotPrimary,
    SequenceBehind,
    SequenceExhausted,
    SessionRequired,
    TransactionConflict,
    TransactionFailed,
    WrongExpectedVersion,
)
from holonstream.schemas import json_limits, jsontext
from holonstream.schemas.errors import BadData, HolonstreamError, InvalidEvent, NotInitialised, UnknownEventType
from holonstream.schemas.statements import parse_statements, read_text

T = TypeVar("T")

# What every session is opened with. One that has silently gone must be noticed within seconds: the leader lock is
# released with it.
SESSION: dict[str, Any] = {
    "keepalives_idle": 5,  # seconds
    "keepalives_interval": 2,  # seconds
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,  # milliseconds
    "connect_timeout": 5,  # seconds
    # A server in recovery shows neither the locks of those who append nor all that they committed. Of several hosts in
    # a connection string the primary is taken.
    "target_session_attrs": "primary",
    # Whatever PGCLIENTENCODING or ALTER DATABASE ... SET client_encoding say: the relay sends bytes on as they come.
    "client_encoding": "UTF8",
}
# Classes of SQLSTATE: no connection, an outdated plan or prepared statement, a refused login, no database, rolled back,
# no resources, not in the right state, an operator intervenes, I/O, internal.
UNAVAILABLE = frozenset({"08", "0A", "26", "28", "3D", "40", "53", "55", "57", "58", "XX"})
# Triggers, rules and constraints of others: a failed action, a constraint, data that a trigger has changed, WITH CHECK
# OPTION, RAISE EXCEPTION.
REFUSED = frozenset({"09", "23", "27", "44", "P0"})
# The caller's limits: statement_timeout and cancelled, lock_timeout. To try again at once would make them longer.
LIMITS = frozenset({"57014", "55P03"})
# By the names of their drivers' classes: errors without an SQLSTATE that say that the connection is gone.
DISCONNECTED = frozenset({"OperationalError", "InterfaceError", "ConnectionDoesNotExistError"})
NO_LIMIT = 2**63 - 1
ANSWER_TIMEOUT = 10.0  # seconds that relay and status wait for PostgreSQL to send something
# An index scan whatever the statistics say: a scan of the whole log, sorted, for every stretch would cost more the
# longer the log is. Row-level security is an error, instead of events that are not there. Limits that a role or a
# database sets for services are not for who reads all of the log, and a rewritten table looks empty to a transaction
# that does not read committed. Functions and operators are those of pg_catalog: one in another schema that takes
# exactly the types at hand would go before one of pg_catalog that takes any.
READER_OPTIONS = " ".join(
    f"-c {setting}"
    for setting in (
        "enable_seqscan=off",
        "enable_bitmapscan=off",
        "enable_sort=off",
        "max_parallel_workers_per_gather=0",
        "jit=off",
        "row_security=off",
        "search_path=pg_catalog,pg_temp",
        "statement_timeout=0",
        "lock_timeout=0",
        "idle_session_timeout=0",
        "idle_in_transaction_session_timeout=0",
        r"default_transaction_isolation=read\ committed",
        "default_transaction_deferrable=off",
    )
)
# The relay's session has the leader lock: the server must end it soon after the relay's host has gone, too.
LEADER_OPTIONS = (
    f"{READER_OPTIONS} -c tcp_keepalives_idle=5 -c tcp_keepalives_interval=2 -c tcp_keepalives_count=3 "
    "-c tcp_user_timeout=10000"
)
POOLER_CHECKS = 3
SESSION_REQUIRED = (
    "A session is required: between this process and PostgreSQL stands a pooler (pgbouncer) in transaction or statement"
    " mode, which would leave a lock on a connection of others. Set HOLONSTREAM_POSTGRES_DSN of relay and commands to "
    "PostgreSQL's own address; services may append and read through the pooler"
)
NO_DSN = "is no libpq connection string (in a URL, write special characters of a password as %40)"
UNHIDE = "ALTER TABLE holonstream.events DISABLE ROW LEVEL SECURITY, NO FORCE ROW LEVEL SECURITY"
# Rows that libpq hands over at once: 32 of the largest events are 29 MB. libpq before 17 knows one at a time only,
# at twice the cost.
ROWS_AT_ONCE = 32 if psycopg.capabilities.has_stream_chunked() else 1


_QUERIES = parse_statements(read_text("holonstream.producers.log", "sql/queries.sql"))


def query(name: str) -> LiteralString:
    """The statement of that name in ``queries.sql``."""
    return _QUERIES[name]


class BoundedConnection(psycopg.Connection[Any]):
    """A connection that is closed when the server sends nothing for ANSWER_TIMEOUT seconds.

    For statements whose first row comes at once or never: keepalive notices a host that has gone, not a process that
    hangs. An answer may take as long as the network needs for it.
    """

    def wait(self, gen: PQGen[T], interval: float = 0.1, timeout: float | None = None) -> T:
        try:
            return super().wait(_while_heard(gen), interval, timeout)
        except _Silence:
            self.close()
            raise psycopg.OperationalError(f"no answer for {ANSWER_TIMEOUT:g} s") from None


class _Silence(Exception):
    """The server has sent nothing for too long."""


def _while_heard(gen: PQGen[T]) -> PQGen[T]:
    """Go on with what waits for the server, until it is neither ready for more nor sends something for a while."""
    try:
        wanted, heard = next(gen), monotonic()
        while True:
            ready = yield wanted
            if ready:
                heard = monotonic()
            elif monotonic() - heard >= ANSWER_TIMEOUT:
                raise _Silence
            wanted = gen.send(ready)
    except StopIteration as end:
        answer: T = end.value
        return answer


def check_dsn(dsn: str) -> dict[str, Any]:
    """The parameters of a libpq connection string. Raises BadData, without the string, for what is none.

    Also for a URL whose password holds characters that end it: libpq would take the rest for a host, a port or a
    database, and quote it in its errors.
    """
    try:
        parameters = conninfo_to_dict(dsn)
        # A "/" in a password makes libpq take the password for a port.
        readable = all(port == "" or port.isdigit() for port in str(parameters.get("port") or "").split(","))
    except psycopg.ProgrammingError:  # whose text quotes the string
        parameters, readable = {}, False
    scheme, is_url, rest = dsn.partition("://")
    if is_url and scheme in ("postgresql", "postgres"):
        # The first "@" ends the password.
        readable = readable and "@" not in re.sub("^[^@/]*@", "", rest).partition("?")[0]
    if not readable:
        raise BadData(f"The address of the event log {NO_DSN}")
    return parameters


def connect(
    dsn: str, application_name: str, *, kind: type[psycopg.Connection[Any]] = psycopg.Connection, **options: Any
) -> psycopg.Connection[Any]:
    """A connection in autocommit mode. Raises LogUnavailable; BadData for what is no connection string.

    Nothing is prepared: a pooler may give each transaction another connection to the server.
    """
    session = {"prepare_threshold": None, **SESSION, **options}
    parameters = check_dsn(dsn)
    if "options" in options:  # beside those of the address, such as a role; of a setting that comes twice, ours
        theirs = parameters.get("options") or os.environ.get("PGOPTIONS") or ""  # one or the other, as libpq has it
        session["options"] = f"{theirs} {options['options']}".strip()
    with driver_errors():
        return kind.connect(dsn, autocommit=True, application_name=application_name, **session)


def connect_session(dsn: str, application_name: str, **options: Any) -> psycopg.Connection[Any]:
    """A connection that is one session of the server, as a lock that outlives a transaction needs it.

    Raises SessionRequired behind a pooler that gives each transaction, or each statement, another session.
    """
    connection = connect(dsn, application_name, **{"prepare_threshold": 5, **options})
    try:
        with driver_errors():
            # A pooler in between makes up the number of the backend that it says at the start.
            if connection.info.backend_pid != _backend(connection):
                _check_pooler(connection, dsn, application_name)
    except BaseException:
        connection.close()
        raise
    return connection


def _check_pooler(connection: psycopg.Connection[Any], dsn: str, application_name: str) -> None:
    """Check that a pooler keeps one session for a connection, whatever other connections do.

    Of one that does not, another connection gets the session that this one has just used, or this one gets another.
    """
    ours = _backend(connection)
    for _ in range(POOLER_CHECKS):
        with (
            connect(dsn, application_name, kind=type(connection)) as other,
            other.transaction(),
        ):  # which holds what it got
            if _backend(other) == ours or _backend(connection) != ours:
                raise SessionRequired(SESSION_REQUIRED)


def _backend(connection: psycopg.Connection[Any]) -> int:
    row = connection.execute(query("backend")).fetchone()
    assert row is not None
    return int(row[0])


def storable(texts: Iterable[str]) -> list[str]:
    """Those of some texts that a log can hold: a driver refuses to ask for the others."""
    return [text for text in texts if json_limits.fault(text) is None]


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


def translate(error: BaseException) -> HolonstreamError | None:
    """Our error for the error of a driver (psycopg, psycopg2, asyncpg), None for a bug.

    docs/appending.md explains every SQLSTATE.
    """
    diagnosis = getattr(error, "diag", None)  # None in asyncpg, whose errors have these as attributes of their own
    if diagnosis is None:
        said = [getattr(error, name, None) for name in ("message", "detail", "constraint_name")]
    else:
        said = [diagnosis.message_primary, diagnosis.message_detail, diagnosis.constraint_name]
    message, detail, constraint = said[0] or str(error), said[1] or "{}", said[2]
    sqlstate = sqlstate_of(error) or ""
    match sqlstate:
        case "HS001":
            values = jsontext.decode(detail)
            return UnknownEventType(values.get("type", "?"), values.get("id"))
        case "HS002":
            return InvalidEvent(message)
        case "HS003":
            values = jsontext.decode(detail)
            return WrongExpectedVersion(values["stream"], values["expected"], values["actual"])
        case "HS004":
            return EventIdConflict(message)
        case "23505" if constraint == "events_id_key":
            return EventIdConflict(f"Event id conflict: {detail} (appended to another stream just now)")
        case "HS005":
            return EventTooLarge(message)
        case "HS006":
            return AppendOnly(message)
        case "HS007":
            return BadData(message)
        case "HS008":
            return NotPrimary(f"PostgreSQL unavailable: {message}: connect to the primary")
        case "HS009":
            return SequenceBehind(f"{message}: run `holonstream init`, which repairs it")
        case "23505" if constraint == "events_pkey":
            return SequenceBehind(f"Position sequence behind the log: {detail} run `holonstream init`")
        case "HS010":
            return HeadsAltered(f"{message}: run `holonstream init --heads`, which repairs it")
        case "23505" if constraint == "events_stream_version_key":
            return HeadsAltered(f"Stream heads behind the log: {detail} run `holonstream init --heads`")
        case "2200H":
            return SequenceExhausted(f"No positions are left: {message}: run `holonstream init`")
        # what jsonb cannot hold: \u0000, lone surrogates, larger numbers; levels beyond the server's stack
        case "22P02" | "22P05" | "22021" | "22003" | "54000" | "54001":
            return InvalidEvent(f"Invalid event: PostgreSQL refuses its text: {message}")
        case "3F000" | "42P01" | "42883":
            return NotInitialised(f"The event log is not there: {message}: run `holonstream init`")
        case "42703" | "42704" | "42804" | "42809":
            return NotInitialised(
                f"The event log is not as this release made it: {message}: it is of another release, or somebody has "
                "altered its tables: `holonstream migrate status`, `holonstream init`"
            )
        case "27000":
            return LogRefused(f"PostgreSQL refuses: {message}")
        case "25P02":
            return TransactionFailed(f"The transaction has failed before: {message}: roll it back")
        case "25P03" | "25P04":
            return LogUnavailable(f"PostgreSQL ended the transaction: {message}")
        case "55000":
            return LogUnavailable(f"PostgreSQL unavailable: {message}")
        case "25006":
            return LogUnavailable(
                f"PostgreSQL takes no writes: {message}: default_transaction_read_only is on, or it is a standby"
            )
        case "42501" if "row-level security" in message:
            return NotPermitted(f"Not permitted: {message}: {UNHIDE}")
        case "42501":
            return NotPermitted(
                f"Not permitted: {message}: GRANT holonstream_writer (append) or holonstream_reader (read)"
            )
        case "40001" | "40P01":
            return TransactionConflict(f"PostgreSQL asks to repeat the transaction: {message}")
        # what pgbouncer says of `options`, and of a transaction in statement mode
        case _ if "unsupported startup parameter" in message or "statement pooling" in message:
            return SessionRequired(SESSION_REQUIRED)
        case _ if sqlstate[:2] in REFUSED:
            return LogRefused(
                f"PostgreSQL refuses: {message} ({sqlstate}): a trigger, a rule or a constraint that is not the log's"
            )
        case _ if sqlstate[:2] in UNAVAILABLE or isinstance(error, OSError) or _disconnected(error):
            return LogUnavailable(f"PostgreSQL unavailable: {str(error).strip()}")
    return None


def _disconnected(error: BaseException) -> bool:
    if isinstance(error, psycopg.OperationalError):
        return True
    return sqlstate_of(error) is None and any(kind.__name__ in DISCONNECTED for kind in type(error).__mro__)


def sqlstate_of(error: BaseException | None) -> str | None:
    """The SQLSTATE that an error of any driver carries."""
    state = getattr(error, "sqlstate", None) or getattr(error, "pgcode", None)
    return state if isinstance(state, str) else None
