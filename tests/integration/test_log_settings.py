"""An append neither trusts nor keeps what the caller's session and call bring along: settings, names, sizes."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest

from holonstream.producers.errors import EventTooLarge, WrongExpectedVersion
from holonstream.producers.log.frontier import read_frontier
from holonstream.producers.log.schema import apply_schema
from holonstream.producers.log.store import PostgresEventStore
from holonstream.schemas.catalogue import Catalogue
from tests.support.event_log import append, envelope, person
from tests.support.waiting import wait_until

CATALOGUE = Catalogue.load()

SHADOWS = """
CREATE SCHEMA shadow;
CREATE FUNCTION shadow.differs(text, text) RETURNS boolean LANGUAGE sql AS 'SELECT false';
CREATE OPERATOR shadow.= (LEFTARG = text, RIGHTARG = text, FUNCTION = shadow.differs);
CREATE FUNCTION shadow.convert_to(text, name) RETURNS bytea LANGUAGE sql AS $$ SELECT ''::bytea $$;
CREATE FUNCTION shadow.to_char(timestamp, text) RETURNS text LANGUAGE sql AS $$ SELECT 'shadow' $$;
CREATE FUNCTION shadow.concat(VARIADIC "any") RETURNS text LANGUAGE internal IMMUTABLE AS 'text_concat_ws';
CREATE FUNCTION shadow.nextval(regclass) RETURNS bigint LANGUAGE sql AS 'SELECT 1::bigint';
CREATE FUNCTION shadow.pg_is_in_recovery() RETURNS boolean LANGUAGE sql AS 'SELECT true';
CREATE DOMAIN shadow.jsonb AS pg_catalog.jsonb CHECK (VALUE = '[]');
CREATE TYPE shadow.text AS ENUM ('a');
"""
SETTINGS = """
SET search_path = shadow, pg_catalog;
SET DateStyle = 'German, DMY';
SET IntervalStyle = 'sql_standard';
SET TimeZone = 'Asia/Kathmandu';
SET extra_float_digits = -15;
SET standard_conforming_strings = off;
SET escape_string_warning = off;
SET bytea_output = 'escape';
SET array_nulls = off;
SET transform_null_equals = on;
SET quote_all_identifiers = on;
SET xmlbinary = 'hex';
"""

RENDER = "SELECT holonstream.cloud_event_v2(e), holonstream.cloud_event(e) FROM holonstream.events AS e"


@pytest.fixture
def dsn(postgres_dsn: str) -> str:
    apply_schema(postgres_dsn, CATALOGUE)
    return postgres_dsn


def rows(dsn: str) -> int:
    with psycopg.connect(dsn) as connection:
        found = connection.execute("SELECT count(*) FROM holonstream.streams").fetchone()
    assert found is not None
    return int(found[0])


def test_settings_and_names_of_the_caller_change_nothing(dsn: str) -> None:
    event = person(
        "p-1",
        occurred_at="2024-03-01T08:00:00.123456789Z",
        payload={"name": "Ada", "n": 0.1, "text": "a\\1b"},
        source_system="a b\\c/\u00e9",
    )
    with (
        PostgresEventStore(dsn, CATALOGUE) as store,
        psycopg.connect(dsn, autocommit=True) as service,
        psycopg.connect(dsn) as plain,
    ):
        service.execute(SHADOWS)
        service.execute(SETTINGS)
        (appended,) = store.append([event], expected={"holon/p-1": 0}, connection=service)
        assert (appended.stream, appended.version, appended.position) == ("holon/p-1", 1, 1)
        assert read_frontier(service).frontier == 1
        (expected,) = store.read()
        assert service.execute(RENDER).fetchone() == plain.execute(RENDER).fetchone()
        assert expected.occurred_at == "2024-03-01T08:00:00.123456Z"
        assert expected.payload == {"name": "Ada", "n": 0.1, "text": "a\\1b"}
        assert expected.source_system == "a b\\c/\u00e9"


def test_a_role_that_the_session_took_needs_the_right_and_nothing_else(dsn: str) -> None:
    with psycopg.connect(dsn) as service:
        service.execute("SET ROLE holonstream_writer")
        assert append(service, [envelope("a")])[0][2] == 1
        service.execute("SET ROLE holonstream_reader")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            append(service, [envelope("b")])


def test_expected_leaves_no_row_for_a_stream_that_is_not_appended_to(dsn: str) -> None:
    with psycopg.connect(dsn, autocommit=True) as service:
        append(service, [envelope("a")], {f"holon/x-{n}": 0 for n in range(5000)} | {"holon/a": 0})
        assert rows(dsn) == 1
        with pytest.raises(psycopg.Error, match="holon/x is at version 0, expected 3"):
            append(service, [envelope("b")], {"holon/x": 3})
        append(service, [envelope("x-1")], {"holon/x-1": 0, "holon/a": 1, "holon/y": 0})
        assert rows(dsn) == 2


def test_a_stream_that_is_only_expected_stays_locked_until_the_transaction_ends(dsn: str) -> None:
    """Of two appends that each expect the other's stream not to exist, one fails."""
    with (
        PostgresEventStore(dsn, CATALOGUE) as store,
        psycopg.connect(dsn) as one,
        psycopg.connect(dsn) as two,
        psycopg.connect(dsn, autocommit=True) as observer,
        ThreadPoolExecutor(1) as thread,
    ):
        store.append([person("a")], expected={"holon/b": 0}, connection=one)

        def crossed() -> Any:
            with pytest.raises(WrongExpectedVersion, match="holon/a is at version 1, expected 0"):
                store.append([person("b")], expected={"holon/a": 0}, connection=two)

        waiting = thread.submit(crossed)
        query = "SELECT count(*) FROM pg_locks WHERE pid = %s AND NOT granted"
        wait_until(lambda: observer.execute(query, [two.info.backend_pid]).fetchone() == (1,), "the second one waits")
        one.commit()
        waiting.result(60)


def test_an_error_about_text_that_the_connection_lacks_is_the_error(dsn: str) -> None:
    name = "n\u00e4m\u00e9 \u540d \U0001f600"
    with PostgresEventStore(dsn, CATALOGUE) as store, psycopg.connect(dsn, client_encoding="LATIN1") as service:
        with pytest.raises(WrongExpectedVersion) as refused:
            store.append([person(name)], expected={f"holon/{name}": 3}, connection=service)
        assert (refused.value.stream, refused.value.expected, refused.value.actual) == (f"holon/{name}", 3, 0)
        service.rollback()
        with pytest.raises(psycopg.Error, match=r"Unknown event type: .*u540d") as unknown:
            service.execute(
                "SELECT holonstream.append_events(%s::text::jsonb)", [json.dumps([envelope("a", type=name)])]
            )
        assert unknown.value.sqlstate == "HS001"


def test_streams_are_never_removed(dsn: str) -> None:
    with psycopg.connect(dsn, autocommit=True) as owner:
        append(owner, [envelope("a")])
        for statement in ("DELETE FROM holonstream.streams", "TRUNCATE holonstream.streams"):
            with pytest.raises(psycopg.Error, match="Append-only"):
                owner.execute(statement)


def test_an_event_of_many_megabytes_is_refused_before_it_is_copied(dsn: str) -> None:
    """It took twelve times its size before it was refused."""
    text = '[{"payload": {"name": "%s"}}]' % ("x" * 30_000_000)
    with psycopg.connect(dsn, autocommit=True) as service:
        pid = service.info.backend_pid
        call = "SELECT holonstream.append_events(%s::jsonb)"
        before = _peak(pid)
        with pytest.raises(psycopg.Error, match=r"number 1 of the call has 3[0-9]{7} bytes") as refused:
            service.execute(call, [text])
        assert refused.value.sqlstate == "HS005"
        assert _peak(pid) - before < 9 * len(text)
    with PostgresEventStore(dsn, CATALOGUE) as store, pytest.raises(EventTooLarge):
        store.append([person("a"), person("b", payload={"name": "x" * 8_000_000})])


def _peak(pid: int) -> int:
    """The most memory that a process has had, in bytes."""
    with open(f"/proc/{pid}/status") as status:
        (line,) = (line for line in status if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024
