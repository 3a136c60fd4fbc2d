"""Envelopes as producers give them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from holonstream.schemas.errors import BadData, InvalidEvent
from holonstream.schemas.event import Event, ValidityWindow, parse_event, parse_events

ENVELOPE: dict[str, Any] = {
    "id": "01F077B0-8EDC-4E54-AE86-9B927F3EC734",
    "type": "PersonCreated",
    "occurredAt": "2024-03-01T10:00:00+02:00",
    "actor": "per-0",
    "subjects": ["per-1", "org-1"],
    "payload": {"name": "Ada King"},
    "sourceSystem": "hr",
    "sourceDocument": "doc-1",
    "validityWindow": {"start": "2024-03-01"},
    "causalLinks": {"causedBy": []},
    "recordedAt": "2024-03-01T08:00:01.000Z",
}


def test_an_envelope_is_made_canonical() -> None:
    assert parse_event(ENVELOPE) == Event(
        id="01f077b0-8edc-4e54-ae86-9b927f3ec734",
        type="PersonCreated",
        occurred_at="2024-03-01T08:00:00.000Z",
        actor="per-0",
        subjects=("per-1", "org-1"),
        payload={"name": "Ada King"},
        source_system="hr",
        source_document="doc-1",
        validity_window=ValidityWindow(start="2024-03-01"),
        causal_links={"causedBy": []},
    )


def test_optional_fields_of_an_envelope_have_defaults() -> None:
    needed = {key: ENVELOPE[key] for key in ("type", "occurredAt", "actor", "subjects", "sourceSystem")}
    event = parse_event(needed)
    assert (event.id, event.payload, event.causal_links, event.schema_version) == (None, {}, {}, None)
    assert parse_event({**needed, **dict.fromkeys(ENVELOPE.keys() - needed.keys())}) == event


def nested(levels: int) -> Any:
    """A list in a list, and so on."""
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


def test_limits_may_be_reached() -> None:
    payload = {"a": nested(199), "n": 10**4000 - 1, "": "\U0010ffff"}
    event = parse_event({**ENVELOPE, "payload": payload, "subjects": ["é" * 500], "actor": "x" * 1000})
    assert event.payload == payload


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"type": 5}, "Expected `str`, got `int` - at `$.type`"),
        ({"subjects": "per-1"}, "at `$.subjects`"),
        ({"subjects": ["per-1", 5]}, r"at `$.subjects[1]`"),
        ({"payload": []}, "at `$.payload`"),
        ({"occurredAt": "yesterday"}, "Not an instant: 'yesterday'"),
        ({"id": "e-1"}, "Invalid event 'e-1': id is not a UUID"),
        ({"validityWindow": {"start": "2024-03-02", "end": "2024-03-01"}}, "is after end '2024-03-01'"),
        ({"validityWindow": {"start": "soon"}}, "Not an instant: 'soon'"),
        ({"validityWindow": {"end": ""}}, "Not an instant: ''"),
        ({"schemaVersion": "1"}, "at `$.schemaVersion`"),
        ({"id": "{01f077b0-8edc-4e54-ae86-9b927f3ec734}"}, "id is not a UUID"),
        ({"type": ""}, "type must be a non-empty string"),
        ({"actor": ""}, "actor must be a non-empty string"),
        ({"actor": "é" * 501}, "actor has 1002 bytes"),
        ({"sourceSystem": ""}, "sourceSystem must be a non-empty string"),
        ({"subjects": ["a", ""]}, "subjects must be non-empty strings of at most 1000 bytes"),
        ({"subjects": ["x" * 1001]}, "subjects must be non-empty strings of at most 1000 bytes"),
        ({"sourceDocument": "a\0"}, "holds the character U+0000"),
        ({"payload": {"\0": 1}}, "holds the character U+0000"),
        ({"payload": {"a": "\ud800"}}, "holds half of a surrogate pair"),
        ({"payload": {"a": float("nan")}}, "holds a number that JSON does not have: nan"),
        ({"causalLinks": {"a": [10**4000]}}, "hold a number of more than 4000 digits"),
        ({"payload": {"a": nested(200)}}, "nested more than 200 levels deep"),
    ],
)
def test_a_faulty_envelope_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidEvent) as caught:
        parse_event({**ENVELOPE, **change})
    assert message in str(caught.value)
    assert "Invalid event " in str(caught.value)


@pytest.mark.parametrize("field", ["type", "occurredAt", "actor", "subjects", "sourceSystem"])
def test_an_envelope_without_a_required_field_is_refused(field: str) -> None:
    with pytest.raises(InvalidEvent, match=f"missing required field `{field}`"):
        parse_event({key: value for key, value in ENVELOPE.items() if key != field})


@pytest.mark.parametrize("value", [None, [], "text", 5])
def test_an_envelope_that_is_no_object_is_refused(value: Any) -> None:
    with pytest.raises(InvalidEvent, match="Invalid event None: Expected `object`"):
        parse_event(value)


def test_envelopes_come_as_a_list_or_as_an_object_with_a_list() -> None:
    text = json.dumps([ENVELOPE, ENVELOPE])
    assert len(parse_events(text)) == 2
    assert parse_events(json.dumps({"log": [ENVELOPE]}).encode(), "log") == parse_events(json.dumps([ENVELOPE]))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "Invalid JSON"),
        ("5", "expected a JSON list of envelopes, found int"),
        ('{"a": []}', r"the object has no key 'events', only \['a'\]"),
        ('{"events": {}}', "expected a JSON list of envelopes, found dict"),
    ],
)
def test_a_text_without_a_list_of_envelopes_is_refused(text: str, message: str) -> None:
    with pytest.raises(BadData, match=message):
        parse_events(text)


def test_the_faulty_envelope_of_a_list_is_named() -> None:
    with pytest.raises(InvalidEvent, match=r"Not an instant: 'x'.*\(number 2 of the list\)"):
        parse_events(json.dumps([ENVELOPE, {**ENVELOPE, "occurredAt": "x"}]))
