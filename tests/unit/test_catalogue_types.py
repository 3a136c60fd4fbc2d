"""The catalogue as it ships, what it refuses, and a type of one's own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from referencing import Registry
from referencing.jsonschema import DRAFT202012

from holonstream.schemas.catalogue import Catalogue
from holonstream.schemas.errors import InvalidCatalogue, InvalidEvent, UnknownEventType
from holonstream.schemas.event import Event
from holonstream.schemas.projection import fold, recorded
from holonstream.schemas.state import Holon
from holonstream.schemas.tooling.catalogue_page import catalogue_page
from holonstream.schemas.tooling.check import check
from holonstream.schemas.vocabulary import vocabulary
from tests.unit.schema_support import catalogue, payloads

TYPES = sorted(catalogue().types)
SHARED: Registry[Any] = Registry().with_resource(vocabulary()["$id"], DRAFT202012.create_resource(vocabulary()))


def envelope(type_: str, payload: dict[str, Any], **more: Any) -> Event:
    given_ = {"id": "e-1", "subjects": ("h-1", "h-2"), **more}
    return Event(
        type=type_,
        occurred_at="2024-03-01T08:00:00.000Z",
        actor="tester",
        source_system="tests",
        payload=payload,
        **given_,
    )


def test_it_has_59_event_types_21_holon_types_and_41_relationship_types() -> None:
    assert len(catalogue().types) == 59
    assert len(catalogue().holon_types) == 21
    assert len(catalogue().relationship_types) == 41


def test_only_what_identifies_a_relationship_is_required() -> None:
    required = {name: type_.required for name, type_ in catalogue().types.items() if type_.required}
    assert required == {
        "AssignmentStarted": ("relationshipId", "relationshipType"),
        "AssignmentEnded": ("relationshipId",),
        "AssignmentCorrected": ("relationshipId",),
    }
    subjects = {type_.required_subjects for type_ in catalogue().types.values() if type_.stream_kind == "holon"}
    assert subjects == {1}


@pytest.mark.parametrize("type_", TYPES)
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_both_validators_agree(type_: str, data: st.DataObject) -> None:
    payload = data.draw(payloads(type_))
    known = catalogue().get(type_)
    slow = jsonschema.Draft202012Validator(known.schema, registry=SHARED)
    assert known.validator.is_valid(payload) == slow.is_valid(payload)


def test_both_validators_agree_on_every_example() -> None:
    for known in catalogue().types.values():
        for example in known.schema["examples"]:
            assert known.validator.is_valid(example)
            assert jsonschema.Draft202012Validator(known.schema, registry=SHARED).is_valid(example)


@pytest.mark.parametrize(
    ("event", "message"),
    [
        (
            envelope("PersonCreated", {"holonType": "Squad"}),
            r"Invalid payload: PersonCreated \(event e-1\): payload\['holonType'\]: \"Squad\" is not one of",
        ),
        (
            envelope("PersonModified", {"diff": [1]}),
            r"PersonModified \(event e-1\): payload\['diff'\]: \[1\] is not of type \"object\"",
        ),
        (envelope("AssignmentEnded", {}), r"payload: \"relationshipId\" is a required property"),
        (envelope("AssignmentEnded", {"relationshipId": ""}), r"payload\['relationshipId'\]: \"\" is shorter"),
        (
            envelope("PersonCreated", {}, subjects=()),
            r"Missing subject: PersonCreated \(event e-1\) needs 1 \(person\), has 0",
        ),
        (
            envelope("AssignmentStarted", {"relationshipId": "r", "relationshipType": "USES"}, subjects=("h-1",)),
            r"needs 2 \(source, target\), has 1",
        ),
        (envelope("PersonCreated", {}, subjects=("",)), "Missing identity: PersonCreated"),
    ],
)
def test_a_refusal_names_the_place_and_the_reason(event: Event, message: str) -> None:
    with pytest.raises(InvalidEvent, match=message):
        catalogue().validate(event)


@pytest.mark.parametrize(
    ("event", "message"),
    [
        (envelope("NeverHeardOf", {}), r"Unknown event type: 'NeverHeardOf' \(event e-1\)"),
        (envelope("PersonCreated", {}, schema_version=9), "'PersonCreated version 9'"),
    ],
)
def test_an_unknown_type_is_refused(event: Event, message: str) -> None:
    with pytest.raises(UnknownEventType, match=message):
        catalogue().validate(event)


def test_the_stream_is_the_entity_that_changes() -> None:
    assert catalogue().validate(envelope("PersonCreated", {})) == "holon/h-1"
    assert catalogue().validate(envelope("AssignmentEnded", {"relationshipId": "r-1"})) == "relationship/r-1"


OWN = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "$id": "urn:holonstream:event:HangarInspected:1",
    "title": "Hangar inspected",
    "description": "Somebody looked at a hangar.",
    "type": "object",
    "required": ["grade"],
    "properties": {"grade": {"description": "From 1 to 5.", "x-type": "number", "type": "integer", "minimum": 1}},
    "examples": [{"grade": 4}],
    "x-projection": {
        "stream": "holon",
        "subjects": ["hangar"],
        "requiredSubjects": 1,
        "operations": [
            {"op": "set_present", "keys": ["grade"], "else": {"op": "create_holon", "type": "Location"}},
            {
                "op": "append_to_list",
                "property": "inspections",
                "value": {"object": {"grade": {"payload": "grade"}, "at": {"envelope": "occurredAt"}}},
            },
        ],
    },
}


def test_a_type_of_your_own_is_one_file(tmp_path: Path) -> None:
    """Validated, projected, documented and checked, without a line of Python."""
    own = json.loads(json.dumps(OWN))
    own["properties"]["holonType"] = {"$ref": "urn:holonstream:schema:vocabulary#/$defs/creating/properties/holonType"}
    own["properties"]["properties"] = {
        "$ref": "urn:holonstream:schema:vocabulary#/$defs/creating/properties/properties"
    }
    (tmp_path / "HangarInspected.v1.json").write_text(json.dumps(own))
    assert check(tmp_path) == []
    known = Catalogue.load(tmp_path)
    assert len(known.types) == 60

    with pytest.raises(InvalidEvent, match=r"payload\['grade'\]: 0 is less than the minimum of 1"):
        known.validate(envelope("HangarInspected", {"grade": 0}))
    with pytest.raises(InvalidEvent, match="required"):
        known.validate(envelope("HangarInspected", {}))

    events = [envelope("HangarInspected", {"grade": grade, "by": "per-1"}) for grade in (4, 5)]
    hangar = fold(known, recorded(known, events))["holon/h-1"]
    assert isinstance(hangar, Holon)
    assert hangar.type == "Location"
    at = "2024-03-01T08:00:00.000Z"
    inspections = [{"grade": 4, "at": at}, {"grade": 5, "at": at}]
    assert hangar.properties == {"grade": 5, "by": "per-1", "inspections": inspections}

    page = catalogue_page(known)
    assert "## HangarInspected" in page
    assert "| `grade` | number | required | yes | From 1 to 5. |" in page


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"$id": "urn:other:HangarInspected:1"}, "Not an event schema"),
        ({"x-projection": {"stream": "holon"}}, "HangarInspected:1: x-projection or x-upcast"),
        ({"x-projection": {**OWN["x-projection"], "operations": [{"op": "explode"}]}}, "unknown operation 'explode'"),  # type: ignore[dict-item]
        ({"x-upcast": []}, "HangarInspected version 1 must not have x-upcast"),
        # names that the log's table of event types does not take, and versions that are no numbers
        ({"$id": "urn:holonstream:event:Hangar inspected:1"}, "Not an event schema"),
        ({"$id": "urn:holonstream:event:true:1"}, "neither true nor false"),
        ({"$id": "urn:holonstream:event:HangarInspected:\u00b2"}, "Not an event schema"),
        ({"$id": "urn:holonstream:event:HangarInspected:2"}, r"versions \[2\]: from 1 on, none may be missing"),
        ({"$id": "urn:holonstream:event:PersonCreated:1"}, "Two schemas of PersonCreated version 1"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    (tmp_path / "own.json").write_text(json.dumps({**OWN, **change}))
    with pytest.raises(InvalidCatalogue, match=message):
        Catalogue.load(tmp_path)


def test_null_in_a_required_field_is_refused_as_the_log_does(tmp_path: Path) -> None:
    own = json.loads(json.dumps(OWN))
    own["properties"]["by"] = {"description": "Who.", "type": ["string", "null"]}
    own["required"].append("by")
    (tmp_path / "HangarInspected.v1.json").write_text(json.dumps(own))
    known = Catalogue.load(tmp_path)
    known.validate(envelope("HangarInspected", {"grade": 3, "by": "per-1"}))
    with pytest.raises(InvalidEvent, match="Missing payload field: HangarInspected needs by, is null"):
        known.validate(envelope("HangarInspected", {"grade": 3, "by": None}))


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "broken.json").write_text("{")
    with pytest.raises(InvalidCatalogue, match=r"broken\.json: "):
        Catalogue.load(tmp_path)
    with pytest.raises(InvalidCatalogue, match="No such folder of event schemas"):
        Catalogue.load(tmp_path / "missing")
