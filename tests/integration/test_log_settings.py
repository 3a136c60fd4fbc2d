"""An append neither trusts nor keeps what the caller's session and call bring along: settings, names, sizes."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest

from holonstream.ops.verify.seals import verify_log
from holonstream.producers.errors import EventTooLarge, WrongExpectedVersion
from holonstream.producers.log.batches import read_batches
from holonstream.producers.log.frontier import read_frontier
from holonstream.producers.log.inspection import log_facts
from holonstream.producers.log.postgres import LEADER_OPTIONS, connect, query
from holonstream.producers.log.reader import LogReader
from holonstream.producers.log.schema import apply_schema, repair_heads, repair_sequence, schema_status
from holonstream.producers.log.seals import make_seals
from holonstream.producers.log.store import PostgresEventStore
from holonstream.producers.relay.status import log_status
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

# In a schema behind pg_catalog, as "public" is: an exact match of the types goes before one for values of any type.
# Each of these ends the statement that uses it.
PUBLIC_SHADOWS = """
CREATE FUNCTION public.stolen() RETURNS text LANGUAGE plpgsql
    AS 'BEGIN RAISE EXCEPTION ''a function of others ran''; END';
CREATE FUNCTION public.overlaps(text[], text[]) RETURNS boolean LANGUAGE sql AS 'SELECT stolen()::boolean';
CREATE OPERATOR public.&& (LEFTARG = text[], RIGHTARG = text[], FUNCTION = public.overlaps);
CREATE FUNCTION public.joined(bigint, text) RETURNS text LANGUAGE sql AS 'SELECT stolen()';
CREATE OPERATOR public.|| (LEFTARG = bigint, RIGHTARG = text, FUNCTION = public.joined);
CREATE FUNCTION public.joined(regclass, text) RETURNS text LANGUAGE sql AS 'SELECT stolen()';
CREATE OPERATOR public.|| (LEFTARG = regclass, RIGHTARG = text, FUNCTION = public.joined);
CREATE FUNCTION public.joined(text, name) RETURNS text LANGUAGE sql AS 'SELECT stolen()';
CREATE OPERATOR public.|| (LEFTARG = text, RIGHTARG = name, FUNCTION = public.joined);
CREATE FUNCTION public.bits(smallint, integer) RETURNS integer LANGUAGE sql AS 'SELECT stolen()::integer';
CREATE OPERATOR public.& (LEFTARG = smallint, RIGHTARG = integer, FUNCTION = public.bits);
CREATE FUNCTION public.unnest(text[]) RETURNS SETOF text LANGUAGE sql AS 'SELECT stolen()';
CREATE FUNCTION public.unnest(bigint[]) RETURNS SETOF bigint LANGUAGE sql AS 'SELECT stolen()::bigint';
CREATE FUNCTION public.unnest(regclass[]) RETURNS SETOF regclass LANGUAGE sql AS 'SELECT stolen()::regclass';
CREATE FUNCTION public.format(text, integer, name, text) RETURNS text LANGUAGE sql AS 'SELECT stolen()';
CREATE FUNCTION public.format(text, name, regclass) RETURNS text LANGUAGE sql AS 'SELECT stolen()';
CREATE FUNCTION public.concat_ws(text, name, text) RETURNS text LANGUAGE sql AS 'SELECT stolen()';
CREATE FUNCTION public.convert_to(text, text) RETURNS bytea LANGUAGE sql AS 'SELECT stolen()::bytea';
CREATE FUNCTION public.obj_description(regnamespace, text) RETURNS text LANGUAGE sql AS 'SELECT stolen()';
CREATE FUNCTION public.obj_description(regclass, text) RETURNS text LANGUAGE sql AS 'SELECT stolen()';
CREATE FUNCTION public.to_json(text) RETURNS json LANGUAGE sql AS 'SELECT stolen()::json';
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


def test_functions_of_a_schema_behind_pg_catalog_are_not_used(dsn: str) -> None:
    """Anybody who may create in "public" would otherwise run code as the owner of the log."""
    events = [person(f"p-{n}") for n in range(3)]
    with psycopg.connect(dsn, autocommit=True) as other, PostgresEventStore(dsn, CATALOGUE) as store:
        assert len(store.append(events)) == 3
        other.execute(PUBLIC_SHADOWS)
        with pytest.raises(psycopg.Error, match="a function of others ran"):
            other.execute("SELECT ARRAY['a'] && ARRAY['a']::text[]")
        (found,) = store.get_events(subjects=["p-1"])
        assert found.position == 2
        assert store.before_last(1, subjects=["p-1"]) == 1
        assert store.get_event(found.id) == found
        assert [event.version for event in store.read_stream("holon/p-1")] == [1]
        assert store.append([person("p-3")], expected={"holon/p-3": 0})[0].position == 4
        assert log_facts(other, CATALOGUE) is not None
    with LogReader(dsn, "test") as log:
        assert log.unknown(["holon/p-1", "holon/x"]) == {"holon/x"}
        assert log.streams_at([2], 4) == ["holon/p-1"]
        assert log.places({"holon/p-1": 1}) == {"holon/p-1": (2, 1)}
        assert len(list(log.all_streams(4))) == 4
    assert [seal.events for seal in make_seals(dsn)] == [4]
    assert verify_log(dsn).findings == []
    assert log_status(dsn, "holonstream", 0).lag == 4
    with connect(dsn, "relay", options=LEADER_OPTIONS) as relay:
        relay.execute(query("log_identity"))
        relay.execute(query("other_events_at"), {"positions": [1], "ids": [found.id]})
        assert [
            len(batch.events) for batch in read_batches(relay, 0, 4, limit=9, batch_events=9, batch_bytes=9999)
        ] == [4]
    assert schema_status(dsn).pending == []
    with psycopg.connect(dsn, autocommit=True) as owner:
        owner.execute("COMMENT ON SCHEMA holonstream IS 'of another version'")
    assert apply_schema(dsn, CATALOGUE)
    assert repair_sequence(dsn) is None
    assert repair_heads(dsn, thorough=True) == 0


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
