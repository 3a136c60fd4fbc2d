"""One grammar: PostgreSQL and Python take the same envelopes, and readers can read what was taken.

HOLONSTREAM_TEST_ENVELOPES sets how many envelopes the generator makes (a million take eleven minutes).
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import psycopg
import pytest

from holonstream.producers.log.append import encode_events
from holonstream.producers.log.schema import apply_schema
from holonstream.producers.log.store import PostgresEventStore
from holonstream.schemas import instant, jsontext
from holonstream.schemas.catalogue import Catalogue
from holonstream.schemas.errors import BadData, CannotApply, InvalidEvent
from holonstream.schemas.event import Event, RecordedEvent, parse_events
from holonstream.schemas.projection import apply
from tests.support.event_log import append, envelope, person
from tests.support.hostile import EnvelopeGenerator

CATALOGUE = Catalogue.load()
ENVELOPES = int(os.environ.get("HOLONSTREAM_TEST_ENVELOPES", "4000"))
AT_ONCE = 500
VERDICT = """
CREATE FUNCTION pg_temp.verdict(envelope text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    PERFORM holonstream.append_events(('[' || envelope || ']')::jsonb);
    RETURN '';
EXCEPTION WHEN OTHERS THEN
    RETURN SQLSTATE || ' ' || SQLERRM;
END
$$
"""
# HS001, HS002; and what jsonb itself does not take: syntax, U+0000, half a surrogate pair, range, levels
NAMED = {"HS001", "HS002", "22P02", "22P05", "22003", "54001"}
Connection = psycopg.Connection[Any]


@pytest.fixture
def dsn(postgres_dsn: str) -> str:
    apply_schema(postgres_dsn, CATALOGUE)
    return postgres_dsn


@pytest.fixture
def connection(dsn: str) -> Iterator[Connection]:
    with psycopg.connect(dsn, autocommit=True) as opened:
        yield opened


def python_takes(text: str) -> Event | str:
    """The event, or why Python refuses it."""
    try:
        (event,) = parse_events(f"[{text}]")
        CATALOGUE.get(event.type, event.schema_version).stream(event)
        required = CATALOGUE.get(event.type, event.schema_version).required
        missing = [field for field in required if event.payload.get(field) is None]
        return event if not missing else f"no {missing}"
    except BadData as error:
        return str(error)


def check_read_back(event: Event, found: RecordedEvent) -> None:
    """The log kept what was given."""
    for field in ("type", "occurred_at", "actor", "subjects", "source_system", "source_document", "traceparent"):
        assert getattr(found, field) == getattr(event, field), field
    assert jsontext.encode_sorted(found.payload) == jsontext.encode_sorted(event.payload)
    assert jsontext.encode_sorted(found.causal_links) == jsontext.encode_sorted(event.causal_links)
    assert found.validity_window == event.validity_window
    with suppress(CannotApply):  # a payload that its schema does not allow stops its own stream
        apply(CATALOGUE, None, found, at=instant.now())


def test_python_and_sql_give_one_verdict_and_what_is_taken_can_be_read(dsn: str, connection: Connection) -> None:
    connection.execute(VERDICT)
    generator = EnvelopeGenerator(seed=12)
    taken: Counter[bool] = Counter()
    with PostgresEventStore(dsn, CATALOGUE) as store:
        for _ in range(0, ENVELOPES, AT_ONCE):
            before = store.head()
            texts = list({generator.text(): None for _ in range(AT_ONCE)})
            rows = connection.execute(
                "SELECT pg_temp.verdict(t) FROM unnest(%s::text[]) WITH ORDINALITY AS u (t, n) ORDER BY n", [texts]
            )
            given: list[Event] = []
            for text, (refusal,) in zip(texts, rows, strict=True):
                ours = python_takes(text)
                assert isinstance(ours, Event) == (refusal == ""), (text[:2000], refusal, ours)
                taken[refusal == ""] += 1
                if isinstance(ours, Event):
                    given.append(ours)
                else:
                    assert refusal.split()[0] in NAMED, (text[:2000], refusal)
            for event, found in zip(given, store.read(before), strict=True):
                check_read_back(event, found)
    assert min(taken.values()) > sum(taken.values()) / 5, "most are of one kind"


@pytest.mark.parametrize(
    "wrong",
    [
        {"validityWindow": {"end": "2024-12-31T24:00:00Z"}},
        {"validityWindow": {"end": "2024-12-31 08:00 Europe/Berlin"}},
        {"validityWindow": {"start": "2024-12-31T08:00:00z"}},
        {"validityWindow": {"start": "2024-12-31T08:00:00.1234567890Z"}},
        {"validityWindow": {"start": "2024-12-31T08:00:60Z"}},
        {"validityWindow": {"start": "2024-12-31 AD"}},
        {"validityWindow": {"start": "2024-12-31 allballs"}},
        {"validityWindow": {"end": "9999-12-31T23:59:59-05:00"}},
        {"occurredAt": "2024-12-31T24:00:00Z"},
        {"occurredAt": "2024-12-31T08:00:00 Europe/Berlin"},
        {"occurredAt": "9999-12-31T23:59:60Z"},
        {"id": "{a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11}"},
        {"actor": 5},
        {"subjects": "{a,b}"},
        {"subjects": ["a", 5]},
        {"schemaVersion": "1"},
        {"traceparent": 7},
    ],
    ids=str,
)
def test_what_a_cast_would_take_is_refused(connection: Connection, wrong: dict[str, Any]) -> None:
    with pytest.raises(psycopg.Error) as raised:
        append(connection, [envelope(), envelope(**wrong)])
    assert raised.value.sqlstate == "HS002"
    assert next(iter(wrong)) in str(raised.value)


@pytest.mark.parametrize("number", ["1e4000", "-1e5000", "9" * 4001 + ".5"])
def test_a_number_of_too_many_digits_is_refused(connection: Connection, number: str) -> None:
    text = jsontext.encode([envelope(payload={"name": "x", "n": [12345]})]).decode().replace("12345", number)
    with pytest.raises(psycopg.errors.Error) as raised:
        connection.execute("SELECT holonstream.append_events(%s::text::jsonb)", [text])
    assert raised.value.sqlstate == "HS002"
    assert "hold a number of more than 4000 digits" in str(raised.value)


def test_digits_beyond_the_microsecond_are_dropped_by_both(dsn: str, connection: Connection) -> None:
    text = "2024-12-31T23:59:59.9999999Z"
    append(connection, [envelope(occurredAt=text)])
    with PostgresEventStore(dsn, CATALOGUE) as store:
        (event,) = store.read()
    assert event.occurred_at == instant.canonical(text) == "2024-12-31T23:59:59.999999Z"


@pytest.mark.parametrize("number", [float("nan"), float("inf"), -float("inf")])
def test_a_float_that_json_does_not_have_is_refused_and_not_written_as_null(number: float) -> None:
    with pytest.raises(InvalidEvent, match=r"PersonCreated .* holds a number that JSON does not have"):
        encode_events([person(payload={"name": "x", "deep": [{"n": number}]})], CATALOGUE)


@pytest.mark.parametrize("key", [5, None, (1, 2)], ids=str)
def test_a_payload_key_that_is_no_text_is_refused_by_name(key: Any) -> None:
    with pytest.raises(InvalidEvent, match="Invalid payload: PersonCreated"):
        encode_events([person(payload={"name": "x", key: 1})], CATALOGUE)


def test_levels_beyond_the_servers_stack_are_an_invalid_event(dsn: str) -> None:
    deep: Any = 1
    for _ in range(200):
        deep = [deep]
    with PostgresEventStore(dsn, CATALOGUE) as store:
        with pytest.raises(InvalidEvent, match="nested more than 200 levels"):
            store.append([person(payload={"name": "x", "deep": deep})])
        with pytest.raises(InvalidEvent):
            store.append([person(payload={"name": "x"}, causal_links=_deep(20_000))])


@pytest.mark.parametrize("stream", ["holon/a\0", "holon/a\ud800"])
def test_an_expected_stream_that_no_log_holds_is_refused_by_name(dsn: str, stream: str) -> None:
    with PostgresEventStore(dsn, CATALOGUE) as store, pytest.raises(InvalidEvent):
        store.append([person()], expected={stream: 0})


def _deep(levels: int) -> dict[str, Any]:
    value: dict[str, Any] = {}
    for _ in range(levels):
        value = {"a": value}
    return value
