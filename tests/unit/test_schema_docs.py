"""The pages made from the schemas, and the file to start from."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from holonstream.schemas.catalogue import Catalogue
from holonstream.schemas.errors import BadData
from holonstream.schemas.tooling.asyncapi import asyncapi, asyncapi_page
from holonstream.schemas.tooling.catalogue_page import catalogue_page, effect
from holonstream.schemas.tooling.check import check
from holonstream.schemas.tooling.jsonschemas import Checker, meta_schema
from holonstream.schemas.tooling.layout import pretty
from holonstream.schemas.tooling.layout import yaml as to_yaml
from holonstream.schemas.tooling.skeleton import file_name, next_version, skeleton
from tests.unit.schema_support import catalogue

DOCS = Path(__file__).parents[2] / "docs"


@pytest.mark.parametrize(("name", "page"), [("catalogue.md", catalogue_page), ("asyncapi.yaml", asyncapi_page)])
def test_the_pages_are_current(name: str, page: Any) -> None:
    assert (DOCS / name).read_text() == page(catalogue()), "run `holonstream schemas docs`"


def test_the_catalogue_page_has_every_type_field_and_effect() -> None:
    page = catalogue_page(catalogue())
    for name, known in catalogue().types.items():
        section = page.split(f"\n## {name}\n")[1].split("\n## ")[0]
        assert known.schema["description"] in section
        assert all(f"`{field}`" in section for field in known.schema.get("properties", {}))
        assert all(effect(operation) in section for operation in known.operations)
        assert f"[{name}](#{name.lower()})" in page


def test_the_asyncapi_page_is_yaml_of_the_document() -> None:
    document = asyncapi(catalogue())
    assert yaml.safe_load(asyncapi_page(catalogue())) == document
    assert document["asyncapi"] == "3.0.0"
    assert len(document["components"]["messages"]) == 59


def test_every_reference_of_the_asyncapi_document_resolves_and_stands_alone() -> None:
    document = asyncapi(catalogue())
    references = list(_references(document))
    assert len(references) > 200
    for reference, beside in references:
        assert not beside, reference
        found: Any = document
        for step in reference.removeprefix("#/").split("/"):
            found = found[step]


def _references(value: Any) -> Iterator[tuple[str, set[str]]]:
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"], set(value) - {"$ref"}
        for member in value.values():
            yield from _references(member)
    elif isinstance(value, list):
        for member in value:
            yield from _references(member)


def test_the_schemas_of_the_asyncapi_document_say_the_same_as_ours() -> None:
    document = asyncapi(catalogue())
    checker = Checker()
    for name, known in catalogue().types.items():
        theirs = {"$ref": f"#/components/schemas/{name}", "components": document["components"]}
        for payload in (*known.schema["examples"], {}, {"holonType": "Squad"}, {"diff": "x"}, {"relationshipId": 5}):
            assert checker.accepts(payload, theirs) == checker.accepts(payload, known.schema), (name, payload)


def test_an_event_on_the_topic_fits_its_schema() -> None:
    record = {
        "specversion": "1.0",
        "id": "6f0f3c0e-6f0a-4f5c-9d54-2f6a3c1f0a11",
        "type": "PersonCreated",
        "source": "hr",
        "subject": "holon/per-1",
        "time": "2024-03-01T08:00:00.000Z",
        "datacontenttype": "application/json",
        "dataschema": "urn:holonstream:event:PersonCreated:1",
        "sequence": "0000000000000000017",
        "streamversion": "1",
        "recordedtime": "2024-03-01T08:00:00.500Z",
        "actor": "per-0",
        "subjects": '["per-1"]',
        "validitywindow": '{"start": "2024-03-01T08:00:00.000Z"}',
        "data": {"name": "Ada King"},
    }
    checker, schema = Checker(), meta_schema("cloudevent")
    assert checker.accepts(record, schema)
    for field in schema["required"]:
        assert not checker.accepts({name: value for name, value in record.items() if name != field}, schema)
    for name, value in {"sequence": "17", "streamversion": 1, "subjects": ["per-1"], "source": ""}.items():
        assert not checker.accepts({**record, name: value}, schema), name


@pytest.mark.parametrize("stream", ["holon", "relationship"])
@pytest.mark.parametrize(
    ("name", "title"), [("HangarOpened", "Hangar opened"), ("LOEMoved2", "Loe moved2"), ("x", "X")]
)
def test_a_skeleton_is_valid(tmp_path: Path, name: str, title: str, stream: str) -> None:
    text = skeleton(name, stream)
    (tmp_path / file_name(name, 1)).write_text(text)
    assert check(tmp_path) == []
    assert json.loads(text)["title"] == title
    assert Catalogue.load(tmp_path).get(name).stream_kind == stream


def test_the_next_version_of_a_type_is_valid(tmp_path: Path) -> None:
    version, text = next_version(catalogue(), "PersonCreated")
    assert version == 2
    (tmp_path / file_name("PersonCreated", version)).write_text(text)
    known = Catalogue.load(tmp_path)
    assert known.get("PersonCreated").version == 2
    assert "lifted to it: `urn:holonstream:event:PersonCreated:1`" in catalogue_page(known)


@pytest.mark.parametrize("name", ["", "9Lives", "a b", "a/b", "Grüße", "../x"])
def test_a_name_that_no_file_can_have_is_refused(name: str) -> None:
    with pytest.raises(BadData, match="Not a name of an event type"):
        skeleton(name)


def test_layout_keeps_short_things_on_a_line() -> None:
    assert pretty({"a": [1, 2], "b": {}}) == '{"a": [1, 2], "b": {}}'
    value = {"a": ["x" * 60, "y" * 60], "b": {"c": [1, {"d": None}]}}
    assert pretty(value).splitlines()[-2:] == ['  "b": {"c": [1, {"d": null}]}', "}"]
    assert json.loads(pretty(value)) == value


@pytest.mark.parametrize(
    "value",
    [
        {"on": True, "no": "no", "a b": 1, "": None, "x: y": "- z", "$ref": "#/a", "1": 1, "-": "#"},
        {"l": [[1, [2, {}]], [], {"a": {"b": []}}, "text: é\n\u2028 \x85", '"'], "e": {}},
        [{"a": 1, "b": [{"c": 2}]}, [[{"d": None}]]],
        "plain",
        [],
    ],
)
def test_yaml_reads_back(value: Any) -> None:
    assert yaml.safe_load(to_yaml(value)) == value
