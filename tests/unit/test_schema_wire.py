"""Records of the topic."""

from __future__ import annotations

import json
import tracemalloc
from typing import Any

import pytest

from holonstream.schemas.errors import InvalidEvent
from holonstream.schemas.event import RecordedEvent, ValidityWindow
from holonstream.schemas.wire import EventPosition, dataschema, decode, decode_position, decode_traceparent

RECORD: dict[str, Any] = {
    "specversion": "1.0",
    "id": "01f077b0-8edc-4e54-ae86-9b927f3ec734",
    "type": "PersonCreated",
    "source": "hr",
    "subject": "holon/per-1",
    "time": "2024-03-01T08:00:00.000Z",
    "datacontenttype": "application/json",
    "dataschema": "urn:holonstream:event:PersonCreated:3",
    "sequence": "0009007199254740993",
    "streamversion": "2",
    "recordedtime": "2024-03-01T08:00:00.500Z",
    "actor": "per-0",
    "subjects": '["per-1"]',
    "data": {"n": 1, "big": 2**80, "none": None},
}


def test_a_record_is_an_event() -> None:
    assert decode(json.dumps(RECORD).encode()) == RecordedEvent(
        id="01f077b0-8edc-4e54-ae86-9b927f3ec734",
        type="PersonCreated",
        schema_version=3,
        occurred_at="2024-03-01T08:00:00.000Z",
        recorded_at="2024-03-01T08:00:00.500Z",
        actor="per-0",
        subjects=("per-1",),
        source_system="hr",
        payload={"n": 1, "big": 2**80, "none": None},
        stream="holon/per-1",
        version=2,
        position=9007199254740993,
    )


MORE = {
    "sourcedocument": "doc-1",
    "validitywindow": '{"end": "2024-03-01T09:00:00.000Z"}',
    "causallinks": '{"causedBy": ["x"], "n": 1.0e0}',
    "traceparent": "00-1-2-01",
}


def test_what_is_optional() -> None:
    event = decode(json.dumps({**RECORD, **MORE}).encode())
    assert event.source_document == "doc-1"
    assert event.validity_window == ValidityWindow(end="2024-03-01T09:00:00.000Z")
    assert (event.causal_links, event.traceparent) == ({"causedBy": ["x"], "n": 1}, "00-1-2-01")
    assert type(event.causal_links["n"]) is int


def test_the_old_form_says_the_same() -> None:
    """Lists and objects as they are, a number for the version, no leading zeros."""
    parsed = {name: json.loads(MORE[name]) for name in ("validitywindow", "causallinks")}
    old = {"sequence": "9007199254740993", "streamversion": 2, "subjects": ["per-1"]}
    assert decode(json.dumps({**RECORD, **MORE, **parsed, **old}).encode()) == decode(
        json.dumps({**RECORD, **MORE}).encode()
    )
    assert decode_position(json.dumps({**RECORD, **old}).encode()) == decode_position(json.dumps(RECORD).encode())


def test_a_source_is_decoded_in_the_new_form_only() -> None:
    """In the old form a "%" stands for itself."""
    source = {"source": "50%25%20of%2Fme"}
    assert decode(json.dumps({**RECORD, **source}).encode()).source_system == "50% of/me"
    assert decode(json.dumps({**RECORD, **source, "subjects": ["x"]}).encode()).source_system == "50%25%20of%2Fme"


def test_long_sources_are_not_kept() -> None:
    """A worker's memory is bounded, whatever a producer writes into each event."""
    long = "x" * 100_000
    tracemalloc.start()
    try:
        for number in range(50):
            source = f"{number}%20{long}"
            assert decode(json.dumps({**RECORD, "source": source}).encode()).source_system == f"{number} {long}"
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept < 2_000_000


def test_numbers_of_the_payload_have_one_form() -> None:
    text = json.dumps(RECORD).replace('"n": 1', '"n": 1.0e0')
    payload = decode(text.encode()).payload
    assert payload == RECORD["data"]
    assert type(payload["n"]) is int


@pytest.mark.parametrize(
    "change",
    [
        {"sequence": "x"},
        {"sequence": 5},
        {"dataschema": "urn:holonstream:event:PersonCreated:x"},
        {"data": []},
        {"sequence": str(2**63)},
        {"sequence": "0"},
        {"streamversion": "x"},
        {"streamversion": "9" * 5000},
        {"streamversion": 1.5},
        {"streamversion": -1},
        {"subjects": None},
        {"subjects": "per-1"},
        {"subjects": "[5]"},
        {"validitywindow": {"start": "2024-03-02", "end": "2024-03-01"}},
        {"validitywindow": '{"start": "2024-03-02", "end": "2024-03-01"}'},
        {"validitywindow": "x"},
        {"causallinks": "[]"},
        {"causallinks": '{"x": 1e999999}'},
        {"source": "%ff"},
    ],
)
def test_a_faulty_record_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(InvalidEvent, match="Undecodable record"):
        decode(json.dumps({**RECORD, **change}).encode())


@pytest.mark.parametrize("field", sorted(set(RECORD) - {"specversion", "datacontenttype"}))
def test_a_record_without_a_field_is_refused(field: str) -> None:
    text = json.dumps({key: value for key, value in RECORD.items() if key != field}).encode()
    with pytest.raises(InvalidEvent, match="Undecodable record"):
        decode(text)


@pytest.mark.parametrize("value", [None, b"", b"null", b"[]", b"\xff", b'{"data": 1e999999}', b"[" * 100_000])
def test_what_is_no_record_is_refused(value: bytes | None) -> None:
    with pytest.raises(InvalidEvent, match="Undecodable record"):
        decode(value)
    with pytest.raises(InvalidEvent, match="Undecodable record"):
        decode_position(value)


def test_the_position_alone_does_not_need_the_rest() -> None:
    text = json.dumps({**RECORD, "data": "broken", "dataschema": 5}).encode()
    assert decode_position(text) == EventPosition(
        "holon/per-1", 2, 9007199254740993, "2024-03-01T08:00:00.500Z", RECORD["id"]
    )
    for change in ({"sequence": "x"}, {"sequence": str(2**63)}, {"streamversion": "0"}):
        with pytest.raises(InvalidEvent, match="Undecodable record"):
            decode_position(json.dumps({**RECORD, **change}).encode())


def test_the_trace_context_is_read_though_the_rest_is_broken() -> None:
    assert (
        decode_traceparent(json.dumps({**RECORD, "traceparent": "00-1-2-01", "data": "broken"}).encode()) == "00-1-2-01"
    )
    for value in (None, b"[]", b'{"traceparent": 5}', b"[" * 100_000):
        assert decode_traceparent(value) is None


def test_the_id_of_a_schema() -> None:
    assert dataschema("PersonCreated", 3) == "urn:holonstream:event:PersonCreated:3"
