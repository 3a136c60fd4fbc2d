"""Records of the topic."""

from __future__ import annotations

import json
from typing import Any

import pytest

from holonstream.schemas.errors import InvalidEvent
from holonstream.schemas.event import RecordedEvent, ValidityWindow
from holonstream.schemas.wire import Place, dataschema, decode, decode_place, decode_traceparent

RECORD: dict[str, Any] = {
    "specversion": "1.0",
    "id": "01f077b0-8edc-4e54-ae86-9b927f3ec734",
    "type": "PersonCreated",
    "source": "hr",
    "subject": "holon/per-1",
    "time": "2024-03-01T08:00:00.000Z",
    "datacontenttype": "application/json",
    "dataschema": "urn:holonstream:event:PersonCreated:3",
    "sequence": "9007199254740993",
    "streamversion": 2,
    "recordedtime": "2024-03-01T08:00:00.500Z",
    "actor": "per-0",
    "subjects": ["per-1"],
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


def test_what_is_optional() -> None:
    more = {
        "sourcedocument": "doc-1",
        "validitywindow": {"end": "2024-03-01T09:00:00.000Z"},
        "causallinks": {"causedBy": ["x"]},
        "traceparent": "00-1-2-01",
    }
    event = decode(json.dumps({**RECORD, **more}).encode())
    assert event.source_document == "doc-1"
    assert event.validity_window == ValidityWindow(end="2024-03-01T09:00:00.000Z")
    assert (event.causal_links, event.traceparent) == ({"causedBy": ["x"]}, "00-1-2-01")


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
        {"streamversion": "1"},
        {"subjects": None},
        {"validitywindow": {"start": "2024-03-02", "end": "2024-03-01"}},
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
        decode_place(value)


def test_the_place_alone_does_not_look_at_the_rest() -> None:
    text = json.dumps({**RECORD, "data": "broken", "dataschema": 5}).encode()
    place = decode_place(text)
    assert place == Place(
        subject="holon/per-1", sequence="9007199254740993", streamversion=2, recordedtime="2024-03-01T08:00:00.500Z"
    )
    assert place.position == 9007199254740993
    with pytest.raises(InvalidEvent, match="Undecodable record"):
        decode_place(json.dumps({**RECORD, "sequence": "x"}).encode())


def test_the_trace_is_told_though_the_rest_is_broken() -> None:
    assert (
        decode_traceparent(json.dumps({**RECORD, "traceparent": "00-1-2-01", "data": "broken"}).encode()) == "00-1-2-01"
    )
    for value in (None, b"[]", b'{"traceparent": 5}', b"[" * 100_000):
        assert decode_traceparent(value) is None


def test_the_id_of_a_schema() -> None:
    assert dataschema("PersonCreated", 3) == "urn:holonstream:event:PersonCreated:3"
