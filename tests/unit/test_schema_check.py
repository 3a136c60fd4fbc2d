"""``schemas check``: each fault is named with file and JSON pointer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from holonstream.schemas.tooling.check import check, check_texts
from holonstream.schemas.vocabulary import shipped_events
from tests.unit.test_schema_versions import FIRST, SECOND

RULE: dict[str, Any] = FIRST["x-projection"]


def faults(document: dict[str, Any], name: str = "PumpChecked.v1.json") -> list[tuple[str, str]]:
    found = check_texts([(f"events/{name}", json.dumps(document))])
    assert all(fault.file == f"events/{name}" for fault in found)
    return [(fault.pointer, fault.message) for fault in found]


def with_rule(**changes: Any) -> dict[str, Any]:
    return {**FIRST, "x-projection": {**RULE, **changes}}


def with_operation(operation: dict[str, Any]) -> dict[str, Any]:
    return with_rule(operations=[operation])


def test_what_ships_has_no_faults() -> None:
    assert check(shipped_events()) == []


def test_a_good_file_has_no_faults() -> None:
    assert faults(FIRST) == []


@pytest.mark.parametrize(
    ("document", "pointer", "message"),
    [
        ({**FIRST, "required": "state"}, "/required", "'state' is not of type 'array'"),
        ({**FIRST, "properties": {"state": {"type": "text"}}}, "/properties/state/type", "'text' is not valid"),
        ({**FIRST, "type": "array"}, "/type", "'object' was expected"),
        ({**FIRST, "$schema": "http://json-schema.org/draft-07/schema#"}, "/$schema", "was expected"),
        ({**FIRST, "title": ""}, "/title", "should be non-empty"),
        ({k: v for k, v in FIRST.items() if k != "description"}, "", "'description' is a required property"),
        ({k: v for k, v in FIRST.items() if k != "examples"}, "", "'examples' is a required property"),
        ({**FIRST, "examples": []}, "/examples", "should be non-empty"),
        ({**FIRST, "examples": [{}]}, "/examples/0", "'state' is a required property"),
        ({**FIRST, "additionalProperties": False}, "/additionalProperties", "should not be valid"),
        ({**FIRST, "$id": "urn:holonstream:event:Other:1"}, "/$id", "belongs in a file called Other.v1.json"),
        ({**FIRST, "$id": "PumpChecked"}, "/$id", "does not match"),
        ({**FIRST, "$id": "urn:holonstream:event:true:1"}, "/$id", "does not match"),
        ({**FIRST, "properties": {"a/b": {}}}, "/properties/a~1b", "is not valid under any of the given schemas"),
        ({**FIRST, "properties": {"a": {"$ref": "#/$defs/gone"}, "state": {"description": "s"}},
          "examples": [{"state": 1, "a": 1}]}, "/examples/0", "cannot resolve the reference"),
        ({**FIRST, "properties": {"a": {"description": "d", "x-type": "text"}}}, "/properties/a/x-type", "not one of"),
        ({**FIRST, "x-upcast": []}, "/x-upcast", "a first version has nothing to lift"),
        (with_rule(stream="edge"), "/x-projection/stream", "'edge' is not one of"),
        (with_rule(subjects=[]), "/x-projection/subjects", "should be non-empty"),
        (with_rule(requiredSubjects=0), "/x-projection/requiredSubjects", "less than the minimum of 1"),
        (with_rule(requiredSubjects=2), "/x-projection/subjects", "names 1 of 2 required subjects"),
        (with_operation({"op": "explode"}), "/x-projection/operations/0/op", "'explode' is not one of"),
        (with_operation({"op": "create_holon", "type": "Squad"}), "/x-projection/operations/0/type", "is not one of"),
        (with_operation({"op": "create_holon"}), "/x-projection/operations/0", "'type' is a required property"),
        (with_operation({"op": "deactivate_holon", "status": "gone"}), "/x-projection/operations/0/status", "one of"),
        (with_operation({"op": "set_present", "keys": []}), "/x-projection/operations/0/keys", "should be non-empty"),
        (with_operation({"op": "set_present", "keys": ["a"], "x": 1}), "/x-projection/operations/0", "unexpected"),
        (with_operation({"op": "set_property", "property": "a", "value": {"now": 1}}),
         "/x-projection/operations/0/value", "'now' was unexpected"),
        (with_operation({"op": "set_property", "property": "a", "value": {"envelope": "actor"}}),
         "/x-projection/operations/0/value/envelope", "is not one of"),
        (with_operation({"op": "end_relationship"}), "/x-projection/operations/0/op", "should not be valid"),
    ],
)  # fmt: skip
def test_a_fault_is_named_with_its_pointer(document: dict[str, Any], pointer: str, message: str) -> None:
    found = faults(document)
    assert [place for place, _ in found if place == pointer], found
    assert any(message in text for place, text in found if place == pointer), found


def test_invalid_json_is_a_fault_with_its_place() -> None:
    (fault,) = check_texts([("events/Bad.v1.json", '{"a": 1,}')])
    assert str(fault).startswith("events/Bad.v1.json#: not JSON: ")
    assert "line 1 column" in fault.message
    (fault,) = check_texts([("events/Bad.v1.json", '{"a": NaN}')])
    assert "NaN is no JSON number" in fault.message
    (fault,) = check_texts([("events/Bad.v1.json", "[]")])
    assert "not a JSON object but list" in fault.message


@pytest.mark.parametrize(
    ("field", "operation"),
    [
        ("patch", {"op": "patch_holon", "from": ["patch"]}),
        ("holonType", {"op": "create_holon", "type": "Asset"}),
        ("key", {"op": "put_in_map", "property": "m", "key": "key", "value": {"const": 1}}),
    ],
)
def test_a_field_that_accepts_what_cannot_be_folded(field: str, operation: dict[str, Any]) -> None:
    found = faults(with_operation(operation))
    assert f"/properties/{field}" in [place for place, _ in found]
    assert all("which cannot be folded" in message for _, message in found)


def test_a_relationship_type_must_require_its_id() -> None:
    rule = {
        "stream": "relationship",
        "subjects": ["a"],
        "requiredSubjects": 0,
        "operations": [{"op": "end_relationship"}],
    }
    found = faults({**FIRST, "x-projection": rule})
    assert [place for place, _ in found] == ["/required", "/properties"]


def test_faults_between_versions() -> None:
    def both(first: dict[str, Any], second: dict[str, Any]) -> list[str]:
        files = [("PumpChecked.v1.json", json.dumps(first)), ("PumpChecked.v2.json", json.dumps(second))]
        return [str(fault) for fault in check_texts(files)]

    assert both(FIRST, SECOND) == []
    (fault,) = both(FIRST, {k: v for k, v in SECOND.items() if k != "x-upcast"})
    assert fault.startswith("PumpChecked.v2.json#: 'x-upcast' is missing")
    (fault,) = both(FIRST, {**SECOND, "x-upcast": []})
    assert fault.startswith("PumpChecked.v2.json#/x-upcast: example 0 of version 1 becomes")
    faulty = both(FIRST, {**SECOND, "x-upcast": [{"rename": "a"}]})
    assert faulty[0].startswith("PumpChecked.v2.json#/x-upcast/0: 'to' is a dependency of 'rename'")
    (fault,) = [str(fault) for fault in check_texts([("PumpChecked.v2.json", json.dumps(SECOND))])]
    assert fault == "PumpChecked.v2.json#/$id: version 1 is missing: old versions stay"


def test_one_schema_id_in_two_folders_is_a_fault() -> None:
    (fault,) = check_texts([("a/PumpChecked.v1.json", json.dumps(FIRST)), ("b/PumpChecked.v1.json", json.dumps(FIRST))])
    assert str(fault).startswith("b/PumpChecked.v1.json#/$id: ")
    assert "also the $id of a/PumpChecked.v1.json" in fault.message


def test_an_upcast_must_leave_the_relationship_id_alone() -> None:
    ended = json.loads((Path(str(shipped_events())) / "AssignmentEnded.v1.json").read_text())
    second = {**ended, "$id": "urn:holonstream:event:AssignmentEnded:2", "x-upcast": [{"remove": "relationshipId"}]}
    files = [("AssignmentEnded.v1.json", json.dumps(ended)), ("AssignmentEnded.v2.json", json.dumps(second))]
    (fault, *_) = check_texts(files)
    assert str(fault).startswith("AssignmentEnded.v2.json#/x-upcast/0: relationshipId names the stream")
