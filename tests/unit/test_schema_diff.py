"""``schemas diff``: what the old schema accepts, the new one must accept."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from holonstream.schemas.tooling.compatibility import compatible, differences
from holonstream.schemas.tooling.jsonschemas import Checker
from tests.unit.schema_support import NESTED, SCALARS, catalogue

SHARED = "urn:holonstream:schema:vocabulary#/$defs/"


def diff(old: Any, new: Any) -> list[tuple[str, str]]:
    return [(found.verdict, found.pointer) for found in differences(old, new)]


@pytest.mark.parametrize("type_", sorted(catalogue().types))
def test_a_schema_is_compatible_with_itself(type_: str) -> None:
    schema = catalogue().get(type_).schema
    assert differences(schema, deepcopy(schema)) == []


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ({"required": ["a", "b"]}, {"required": ["a"]}),
        ({"type": "integer"}, {"type": "number"}),
        ({"type": "string"}, {"type": ["string", "null"]}),
        ({"enum": [1, 2]}, {"enum": [1, 2, 3]}),
        ({"const": "a"}, {"type": "string", "minLength": 1}),
        ({"minLength": 3}, {"minLength": 2}),
        ({"exclusiveMinimum": 3}, {"minimum": 3}),
        ({"minimum": 4}, {"exclusiveMinimum": 3}),
        ({"minItems": 1}, {"minItems": 0}),
        ({"type": "string", "minLength": 5}, {"minimum": 3}),
        ({"anyOf": [{"type": "string"}, {"type": "null"}]}, {"type": ["null", "string", "object"]}),
        ({"if": {"enum": [None]}, "else": {"type": "object"}}, {"type": ["null", "object"]}),
        ({"properties": {"a": {"type": "string"}}}, {"properties": {"a": {}}, "description": "new words"}),
        ({"properties": {"a": {"const": 1}}, "additionalProperties": False}, {"properties": {"b": {"type": "null"}}}),
        ({"$ref": f"{SHARED}holonType"}, {"type": "string"}),
        ({"properties": {"p": {"$ref": f"{SHARED}patch"}}}, {"properties": {"p": {"anyOf": [
            {"$ref": f"{SHARED}notPresent"}, {"type": "object"}]}}}),
        ({"allOf": [{"required": ["a"]}, {"minProperties": 2}]}, {"required": ["a"], "minProperties": 1}),
        ({"items": {"type": "integer"}}, {"items": {"type": "number"}}),
        ({"pattern": "^a", "minLength": 2}, {"pattern": "^a"}),
        (False, {"type": "string"}),
        ({"type": "integer", "multipleOf": 4}, {"multipleOf": 2}),
        ({"enum": ["é"]}, {"maxLength": 1}),
        ({"minimum": 2**70}, {"minimum": 2**70 - 1}),
        ({"if": {"type": "null"}, "else": {"minLength": 2}}, {"if": {"type": "null"}, "else": {"minLength": 1}}),
        ({"type": "null"}, {"not": {"type": "object", "properties": {"a": {"const": 1}}}}),
        ({"type": "string"}, True),
    ],
)  # fmt: skip
def test_compatible(old: Any, new: Any) -> None:
    assert diff({"properties": {"f": old}}, {"properties": {"f": new}}) == []


@pytest.mark.parametrize(
    ("old", "new", "pointer"),
    [
        ({}, {"required": ["a"]}, "/properties/f/required"),
        ({}, {"type": "string"}, "/properties/f/type"),
        ({"type": "number"}, {"type": "integer"}, "/properties/f"),
        ({"enum": [0, False]}, {"enum": [0]}, "/properties/f/enum"),
        ({"type": "string"}, {"enum": ["a"]}, "/properties/f/enum"),
        ({"type": "string"}, {"minLength": 1}, "/properties/f/minLength"),
        ({"maximum": 5}, {"maximum": 4}, "/properties/f/maximum"),
        ({"minimum": 3}, {"exclusiveMinimum": 3}, "/properties/f/exclusiveMinimum"),
        ({"type": "array"}, {"uniqueItems": True}, "/properties/f/uniqueItems"),
        ({}, {"items": {"type": "string"}}, "/properties/f/items/type"),
        ({}, {"additionalProperties": False}, "/properties/f/additionalProperties"),
        (
            {"properties": {"a": {}}},
            {"additionalProperties": {"type": "null"}},
            "/properties/f",
        ),
        ({}, {"properties": {"a/b": {"type": "null"}}}, "/properties/f/properties/a~1b/type"),
        ({"type": "null"}, False, "/properties/f"),
        ({"anyOf": [{"type": "string"}, {"type": "null"}]}, {"type": "string"}, "/properties/f/type"),
        ({}, {"pattern": "^a"}, "/properties/f/pattern"),
        ({}, {"$ref": f"{SHARED}patch"}, "/properties/f/if"),
        ({"contains": {"type": "null"}, "minContains": 0}, {"contains": {"type": "null"}}, "/properties/f/contains"),
        ({}, {"allOf": [{}, {"maxLength": 3}]}, "/properties/f/allOf/1/maxLength"),
        ({"required": ["a"]}, {"required": ["a", "b"]}, "/properties/f/required"),
    ],
)
def test_incompatible(old: Any, new: Any, pointer: str) -> None:
    assert ("incompatible", pointer) in diff({"properties": {"f": old}}, {"properties": {"f": new}})


@pytest.mark.parametrize(
    ("old", "new", "pointer"),
    [
        ({"type": "string", "pattern": "^ab"}, {"type": "string", "pattern": "^a"}, "/properties/f/pattern"),
        ({"pattern": "^[0-9]$"}, {"pattern": "^\\d$"}, "/properties/f/pattern"),
        ({}, {"patternProperties": {"^x": {"type": "null"}}}, "/properties/f/patternProperties/^x/type"),
        ({"$ref": "urn:unknown"}, {"$ref": "urn:unknown", "title": "t"}, "/properties/f/$ref"),
        ({"prefixItems": [{}, {}], "items": {"type": "null"}}, {"items": {"type": "null"}}, "/properties/f/items"),
    ],
)
def test_an_undecided_change_is_named(old: Any, new: Any, pointer: str) -> None:
    found = diff({"properties": {"f": old}}, {"properties": {"f": new}})
    assert found == [("undecided", pointer)] or found == [("incompatible", "/properties/f")]


def test_references_within_a_schema_are_followed() -> None:
    old = {"$defs": {"x": {"type": "null"}}, "properties": {"f": {"$ref": "#/$defs/x"}}}
    assert diff(old, {"properties": {"f": {"type": "null"}}}) == []
    found = diff({"properties": {"f": {"type": ["null", "string"]}}}, old)
    assert found == [("incompatible", "/properties/f/type")]


def test_a_schema_that_refers_to_itself_is_undecided() -> None:
    def tree(leaf: str) -> dict[str, Any]:
        branch = {"type": ["object", leaf], "properties": {"l": {"$ref": "#/$defs/t"}, "r": {"$ref": "#/$defs/t"}}}
        return {"$defs": {"t": branch}, "properties": {"f": {"$ref": "#/$defs/t"}}}

    assert differences(tree("null"), tree("null")) == []
    assert not compatible(differences(tree("null"), tree("string")))


def test_a_change_of_the_vocabulary_counts() -> None:
    schema = catalogue().get("AssignmentStarted").schema
    shapes: dict[str, Any] = {name: {} for name in ("relationshipId", "relating")}
    narrower = {
        "$id": "urn:holonstream:schema:vocabulary",
        "$defs": {**shapes, "relationshipType": {"enum": ["USES"]}},
    }
    found = differences(schema, schema, new_shared=narrower)
    assert [(f.verdict, f.pointer) for f in found] == [("incompatible", "/properties/relationshipType/enum")]
    assert found[0].reason.startswith("no longer accepts 'CONTAINS', 'HAS', ")
    assert differences(schema, schema, old_shared=narrower, new_shared=narrower) == []


def test_the_projection_counts_too() -> None:
    old = catalogue().get("PersonModified").schema
    new = deepcopy(old)
    new["x-projection"]["requiredSubjects"] = 2
    new["x-projection"]["operations"] = []
    found = differences(old, new)
    assert [(f.verdict, f.pointer) for f in found] == [
        ("incompatible", "/x-projection/requiredSubjects"),
        ("note", "/x-projection/operations"),
    ]
    assert not compatible(found)
    assert compatible(found[1:])


@st.composite
def schemas(draw: st.DrawFn, depth: int = 2) -> Any:
    """Small schemas with any keywords; the same few fields and values occur again and again."""
    if depth < 2 and draw(st.integers(0, 4)) == 0:
        return draw(st.booleans())
    return {
        keyword: draw(keyword_values(keyword, depth)) for keyword in draw(st.sets(st.sampled_from(NAMES), max_size=3))
    }


def keyword_values(keyword: str, depth: int) -> st.SearchStrategy[Any]:
    if keyword in FLAT:
        return FLAT[keyword]
    if depth == 0:
        return st.just([{}]) if keyword in SEVERAL else st.just({})
    inner = schemas(depth - 1)
    if keyword in FIELDS:
        return st.dictionaries(st.sampled_from("ab"), inner, min_size=1, max_size=2)
    return st.lists(inner, min_size=1, max_size=2) if keyword in SEVERAL else inner


TYPES = ["string", "number", "integer", "object", "array", "null", ["string", "null"], ["object", "integer"]]
FLAT: dict[str, st.SearchStrategy[Any]] = {
    "type": st.sampled_from(TYPES),
    "enum": st.lists(st.sampled_from(SCALARS[:8]), min_size=1, max_size=3),
    "minLength": st.integers(0, 2),
    "maximum": st.integers(-1, 2),
    "minimum": st.integers(-1, 1),
    "exclusiveMinimum": st.integers(-1, 1),
    "minItems": st.integers(0, 2),
    "uniqueItems": st.booleans(),
    "minContains": st.integers(0, 1),
    "required": st.lists(st.sampled_from("ab"), max_size=2, unique=True),
    "minProperties": st.integers(0, 2),
    "pattern": st.sampled_from(["^x", "0"]),
    "$ref": st.sampled_from([f"{SHARED}patch", f"{SHARED}notPresent"]),
}
FIELDS = ("properties", "patternProperties")
SEVERAL = ("anyOf", "oneOf", "allOf", "prefixItems")
ONE = (
    "additionalProperties",
    "items",
    "contains",
    "not",
    "if",
    "then",
    "else",
    "propertyNames",
    "unevaluatedProperties",
)
NAMES = sorted([*FLAT, *FIELDS, *FIELDS, *SEVERAL, *ONE])


VALUES = [
    *SCALARS,
    *NESTED,
    {"b": 1},
    {"a": "x", "b": None},
    {"a": 0, "b": 1, "c": 2},
    ["x"],
    ["x", "x"],
    [1, 2],
    [0, None],
]


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.filter_too_much])
@given(schemas(), schemas(), st.sets(st.sampled_from(NAMES), min_size=3))
def test_compatible_means_that_nothing_is_refused(old: Any, other: Any, changed: set[str]) -> None:
    """Sound for any two schemas, mostly related ones, since these are what a change makes."""
    new = {
        **{key: old[key] for key in old if key not in changed},
        **{key: other[key] for key in other if key in changed},
    }
    assume(new != old)
    assume(compatible(differences(old, new)))
    checker = Checker()
    for value in VALUES:
        assert not checker.accepts(value, old) or checker.accepts(value, new), value
