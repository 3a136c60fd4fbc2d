"""``schemas new``: the file to start from for a new event type, or for a new version of one."""

from __future__ import annotations

import re
from typing import Any

from holonstream.schemas.catalogue import Catalogue
from holonstream.schemas.errors import BadData
from holonstream.schemas.state import HOLON, RELATIONSHIP
from holonstream.schemas.tooling.layout import pretty
from holonstream.schemas.wire import dataschema

NAME = re.compile(r"(?!(true|false)\Z)[A-Za-z][A-Za-z0-9_-]*")
SHARED = "urn:holonstream:schema:vocabulary#/$defs/"


def file_name(name: str, version: int) -> str:
    """What the file of an event schema must be called."""
    return f"{name}.v{version}.json"


def check_name(name: str) -> None:
    """Raise BadData when no event type may have the name."""
    if not NAME.fullmatch(name):
        raise BadData(
            f"Not a name of an event type: {name!r} (letters, digits, - and _, a letter first; neither true nor false)"
        )


def skeleton(name: str, stream: str = HOLON, creates: str | None = None) -> str:
    """A valid file for version 1 of a new event type.

    Its events change a holon or a relationship (`stream`), or create one of type `creates`. Raises BadData.
    """
    check_name(name)
    if stream not in (HOLON, RELATIONSHIP):
        raise BadData(f"Not a kind of stream: {stream!r} (holon or relationship)")
    words = " ".join(re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z0-9]+|[A-Z]", name)).capitalize()
    schema: dict[str, Any] = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": dataschema(name, 1),
        "title": words,
        "description": f"{words}: say in a sentence what happened.",
        "type": "object",
    }
    note = "Customary field: describe what it holds."
    operations: list[dict[str, Any]]
    if stream == HOLON and creates:
        schema["$ref"] = f"{SHARED}creating"
        schema["properties"] = {"name": {"description": note, "x-type": "string", "x-compulsory": True}}
        schema["examples"] = [{"name": "the first"}]
        subjects, required, operations = ["holon"], 1, [{"op": "create_holon", "type": creates}]
    elif stream == HOLON:
        schema["properties"] = {"status": {"description": note, "x-type": "string", "x-compulsory": True}}
        schema["examples"] = [{"status": "ready"}]
        subjects, required, operations = ["holon"], 1, [{"op": "set_present", "keys": ["status"]}]
    elif creates:
        schema["$ref"] = f"{SHARED}relating"
        schema["required"] = ["relationshipId", "relationshipType"]
        schema["properties"] = {
            "relationshipId": {"$ref": f"{SHARED}relationshipId"},
            "relationshipType": {"description": "The type of the relationship.", "const": creates},
        }
        schema["examples"] = [{"relationshipId": "rel-1", "relationshipType": creates, "properties": {"role": "first"}}]
        subjects, required, operations = ["source", "target"], 2, [{"op": "create_relationship"}]
    else:
        schema["required"] = ["relationshipId"]
        schema["properties"] = {
            "relationshipId": {"$ref": f"{SHARED}relationshipId"},
            "corrections": {"description": "Laid over the properties.", "x-type": "object", "$ref": f"{SHARED}patch"},
        }
        schema["examples"] = [{"relationshipId": "rel-1", "corrections": {"role": "acting"}}]
        subjects, required, operations = ["source", "target"], 0, [{"op": "correct_relationship"}]
    schema["x-projection"] = {
        "stream": stream,
        "subjects": subjects,
        "requiredSubjects": required,
        "operations": operations,
    }
    return pretty(schema) + "\n"


def next_version(catalogue: Catalogue, name: str) -> tuple[int, str]:
    """Number and text of a new version of a type, the same as the newest. Raises UnknownEventType."""
    newest = catalogue.get(name)
    schema = {**newest.schema, "$id": dataschema(name, newest.version + 1), "x-upcast": []}
    return newest.version + 1, pretty(schema) + "\n"
