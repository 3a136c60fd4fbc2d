"""Two versions of a type: old events stay valid, and are lifted when they are read."""

from __future__ import annotations

import json
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from holonstream.schemas.catalogue import Catalogue
from holonstream.schemas.errors import InvalidCatalogue, InvalidEvent, UnknownEventType
from holonstream.schemas.event import Event, RecordedEvent
from holonstream.schemas.projection import apply, fold, recorded
from holonstream.schemas.state import Holon
from holonstream.schemas.tooling.check import check, refused
from holonstream.schemas.upcast import Default, Move, Remove, Rename, Set, lift

FIRST: dict[str, Any] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "$id": "urn:holonstream:event:PumpChecked:1",
    "title": "Pump checked",
    "description": "A pump was looked at.",
    "type": "object",
    "required": ["state"],
    "properties": {"state": {"description": "State of it.", "x-type": "string"}},
    "examples": [{"state": "ok", "bar": 3}],
    "x-projection": {
        "stream": "holon",
        "subjects": ["pump"],
        "requiredSubjects": 1,
        "operations": [{"op": "set_present", "keys": ["state"]}],
    },
}
SECOND: dict[str, Any] = {
    **FIRST,
    "$id": "urn:holonstream:event:PumpChecked:2",
    "required": ["status", "checkedBy"],
    "properties": {"status": {"description": "State of it.", "x-type": "string", "type": "string"}},
    "examples": [{"status": "ok", "checkedBy": "per-1"}],
    "x-upcast": [
        {"rename": "state", "to": "status"},
        {"default": "checkedBy", "value": "unknown"},
        {"set": "lifted", "value": True},
    ],
    "x-projection": {
        **FIRST["x-projection"],
        "operations": [{"op": "set_present", "keys": ["status", "checkedBy", "pressure"]}],
    },
}
THIRD: dict[str, Any] = {
    **SECOND,
    "$id": "urn:holonstream:event:PumpChecked:3",
    "x-upcast": [{"move": "bar", "under": "pressure"}],
    "examples": [{"status": "ok", "checkedBy": "per-1", "pressure": {"bar": 3}}],
}


def write(folder: Path, *documents: dict[str, Any]) -> Path:
    for document in documents:
        name, version = document["$id"].split(":")[-2:]
        (folder / f"{name}.v{version}.json").write_text(json.dumps(document))
    return folder


def pump(payload: dict[str, Any], **more: Any) -> Event:
    return Event(
        id="e-1",
        type="PumpChecked",
        occurred_at="2024-03-01T08:00:00.000Z",
        actor="tester",
        subjects=("pump-1",),
        source_system="tests",
        payload=payload,
        **more,
    )


def log(known: Catalogue, *events: Event) -> list[RecordedEvent]:
    created = Event(
        id="e-0",
        type="SystemDeployed",
        occurred_at="2024-02-01T08:00:00.000Z",
        actor="tester",
        subjects=("pump-1",),
        source_system="tests",
    )
    return list(recorded(known, [created, *events]))


def test_an_old_event_is_lifted_step_by_step_and_folded_by_the_newest_rule(tmp_path: Path) -> None:
    known = Catalogue.load(write(tmp_path, FIRST, SECOND, THIRD))
    assert check(tmp_path) == []
    assert [version.version for version in known.versions("PumpChecked")] == [1, 2, 3]
    old, middle, new = (
        log(known, pump({"state": "ok", "bar": 3}, schema_version=1))[1],
        log(known, pump({"status": "ok", "checkedBy": "x", "bar": 3}, schema_version=2))[1],
        log(known, pump({"status": "ok", "checkedBy": "x"}))[1],
    )
    assert (old.schema_version, middle.schema_version, new.schema_version) == (1, 2, 3)
    before = deepcopy(old)
    lifted = known.upcast(old)
    assert lifted.payload == {"status": "ok", "checkedBy": "unknown", "lifted": True, "pressure": {"bar": 3}}
    assert lifted.schema_version == 3
    assert old == before
    assert known.upcast(middle).payload == {"status": "ok", "checkedBy": "x", "pressure": {"bar": 3}}
    assert known.upcast(new) is new

    pump_state = fold(known, log(known, pump({"state": "ok", "bar": 3}, schema_version=1)))["holon/pump-1"]
    assert isinstance(pump_state, Holon)
    assert pump_state.properties == {"status": "ok", "checkedBy": "unknown", "pressure": {"bar": 3}}
    assert apply(known, None, old) is None


def test_an_event_is_validated_by_the_version_that_it_names(tmp_path: Path) -> None:
    known = Catalogue.load(write(tmp_path, FIRST, SECOND))
    assert known.validate(pump({"state": "ok"}, schema_version=1)) == "holon/pump-1"
    for event in (pump({"state": "ok"}), pump({"state": "ok"}, schema_version=2)):
        with pytest.raises(InvalidEvent, match='"status" is a required property'):
            known.validate(event)
    with pytest.raises(UnknownEventType, match="PumpChecked version 3"):
        known.validate(pump({}, schema_version=3))


@pytest.mark.parametrize(
    ("documents", "message"),
    [
        ([SECOND], r"versions \[2\]: from 1 on, none may be missing"),
        ([FIRST, THIRD], r"versions \[1, 3\]"),
        ([FIRST, {key: value for key, value in SECOND.items() if key != "x-upcast"}], "version 2 must have x-upcast"),
        ([FIRST, {**SECOND, "x-upcast": [{"explode": "a"}]}], "unknown upcast step"),
    ],
)
def test_versions_without_a_way_to_the_newest_are_refused(
    tmp_path: Path, documents: list[dict[str, Any]], message: str
) -> None:
    with pytest.raises(InvalidCatalogue, match=message):
        Catalogue.load(write(tmp_path, *documents))


def test_a_stream_cannot_change_between_versions(tmp_path: Path) -> None:
    rule = {**SECOND["x-projection"], "stream": "relationship", "operations": [], "requiredSubjects": 0}
    with pytest.raises(InvalidCatalogue, match="PumpChecked changes its stream between versions"):
        Catalogue.load(write(tmp_path, FIRST, {**SECOND, "x-projection": rule}))


@pytest.mark.parametrize(
    ("payload", "step", "lifted"),
    [
        ({"a": None}, Rename("a", "b"), {"b": None}),
        ({"a": 1, "b": 2}, Rename("a", "b"), {"b": 1}),
        ({"b": 2}, Rename("a", "b"), {"b": 2}),
        ({"a": 1}, Rename("a", "a"), {"a": 1}),
        ({"a": 1}, Move("a", "o"), {"o": {"a": 1}}),
        ({"a": 1, "o": None}, Move("a", "o"), {"o": {"a": 1}}),
        ({"a": 1, "o": {"a": 0, "b": 2}}, Move("a", "o"), {"o": {"a": 1, "b": 2}}),
        ({"a": 1, "o": "text"}, Move("a", "o"), {"a": 1, "o": "text"}),
        ({"a": 1, "o": []}, Move("a", "o"), {"a": 1, "o": []}),
        ({"o": {"b": 2}}, Move("a", "o"), {"o": {"b": 2}}),
        ({"a": {"x": 1}}, Move("a", "a"), {"a": {"x": 1}}),
        ({"a": 1, "b": 2}, Remove("a"), {"b": 2}),
        ({"b": 2}, Remove("a"), {"b": 2}),
        ({"a": 1}, Set("a", {"v": 1}), {"a": {"v": 1}}),
        ({}, Set("a", None), {"a": None}),
        ({"a": None}, Default("a", 5), {"a": None}),
        ({}, Default("a", 5), {"a": 5}),
    ],
)
def test_an_upcast_step(payload: dict[str, Any], step: Any, lifted: dict[str, Any]) -> None:
    before = deepcopy(payload)
    assert lift(payload, [step]) == lifted
    assert payload == before


def test_events_of_a_log_that_newer_schemas_would_refuse_are_named(tmp_path: Path) -> None:
    old_folder, new_folder = tmp_path / "old", tmp_path / "new"
    old_folder.mkdir()
    new_folder.mkdir()
    before = Catalogue.load(write(old_folder, FIRST))
    stored = log(
        before, pump({"state": "ok"}), pump({"state": 5}), pump({"state": "ok", "grade": "A"}), pump({"state": ""})
    )
    assert list(refused(before, stored)) == []

    stricter = {**FIRST, "required": ["state"], "properties": {"grade": {"description": "g", "type": "integer"}}}
    after = Catalogue.load(write(new_folder, stricter))
    assert [refusal.event.version for refusal in refused(after, stored)] == [4]

    second = Catalogue.load(write(new_folder, FIRST, SECOND))
    (lifted,) = refused(second, stored)  # 5 was taken as a state; lifted, it is no status
    assert lifted.event.version == 3
    assert "payload['status']: 5 is not of type" in lifted.reason

    gone = list(refused(Catalogue.load(), stored))
    assert [refusal.event.version for refusal in gone] == [2, 3, 4, 5]
    assert "Unknown event type: 'PumpChecked version 1'" in gone[0].reason
