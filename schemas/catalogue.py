"""The catalogue of event types: one JSON Schema file each, which validates, projects and documents.

A file ``events/<Type>.v<version>.json`` is a JSON Schema (2020-12) of the payload with two fields of ours: ``x-projection``
(what the event does, `schemas.operation`) and the ``$id`` that records carry as ``dataschema``. Nothing else in
holonstream knows an event type by name.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib import resources
from importlib.resources.abc import Traversable
from typing import Any, Self

import jsonschema_rs

from schemas.errors import HolonstreamError, InvalidEvent, UnknownEventType
from schemas.event import Event
from schemas.operation import (
    AppendToList,
    Const,
    CorrectRelationship,
    CreateHolon,
    CreateRelationship,
    EndRelationship,
    Envelope,
    Expression,
    FirstPresent,
    Object,
    Operation,
    PatchHolon,
    Payload,
    PutInMap,
    SetPresent,
    SetProperty,
    SetStatus,
)
from schemas.state import HOLON, stream_of
from schemas.wire import DATASCHEMA_PREFIX


class InvalidCatalogue(HolonstreamError):
    """A schema file cannot be read or does not say what it must."""


@dataclass(frozen=True)
class EventType:
    """One version of one event type."""

    name: str
    version: int
    schema: Mapping[str, Any]
    stream_kind: str
    """``holon`` or ``relationship``"""
    subjects: tuple[str, ...]
    required_subjects: int
    operations: tuple[Operation, ...]
    registry: Any

    @property
    def required(self) -> tuple[str, ...]:
        """The payload fields that an event must have."""
        return tuple(self.schema.get("required", ()))

    @cached_property
    def validator(self) -> Any:
        """The compiled payload schema."""
        return jsonschema_rs.Draft202012Validator(self.schema, registry=self.registry)

    def stream(self, event: Event) -> str:
        """The stream of an event of this type. Raises InvalidEvent when subject or relationshipId is missing."""
        if len(event.subjects) < self.required_subjects:
            wanted = ", ".join(self.subjects[: self.required_subjects])
            raise InvalidEvent(
                f"Missing subject: {self.name} (event {event.id}) needs {self.required_subjects} ({wanted}), "
                f"has {len(event.subjects)}"
            )
        entity = event.subjects[0] if self.stream_kind == HOLON else event.payload.get("relationshipId")
        if not isinstance(entity, str) or not entity:
            raise InvalidEvent(f"Missing identity: {self.name} (event {event.id}) names no {self.stream_kind}: {entity!r}")
        return stream_of(self.stream_kind, entity)


class Catalogue:
    """Every event type, by name and version."""

    def __init__(self, documents: Iterable[Mapping[str, Any]]) -> None:
        vocabulary = _read(resources.files("schemas") / "vocabulary.schema.json")
        self.holon_types = frozenset[str](vocabulary["$defs"]["holonType"]["enum"])
        self.relationship_types = frozenset[str](vocabulary["$defs"]["relationshipType"]["enum"])
        registry = jsonschema_rs.Registry([(vocabulary["$id"], vocabulary)])
        self._versions: dict[str, dict[int, EventType]] = {}
        for document in documents:
            event_type = _event_type(document, registry)
            self._versions.setdefault(event_type.name, {})[event_type.version] = event_type
        self.types: Mapping[str, EventType] = {
            name: versions[max(versions)] for name, versions in sorted(self._versions.items())
        }

    @classmethod
    def load(cls, *folders: Traversable) -> Self:
        """The catalogue that ships, with the files of more folders added.

        Raises InvalidCatalogue, naming the file.
        """
        documents = []
        for folder in (resources.files("schemas") / "events", *folders):
            if not folder.is_dir():
                raise InvalidCatalogue(f"No such folder of event schemas: {folder}")
            documents += [_read(file) for file in sorted(folder.iterdir(), key=lambda f: f.name) if file.name.endswith(".json")]
        return cls(documents)

    def get(self, name: str, version: int | None = None) -> EventType:
        """The event type, by default in its newest version. Raises UnknownEventType."""
        if version is None:
            found = self.types.get(name)
        else:
            found = self._versions.get(name, {}).get(version)
        if found is None:
            raise UnknownEventType(name if version is None else f"{name} version {version}")
        return found

    def validate(self, event: Event) -> str:
        """Check an event against its type's schema and return its stream.

        Raises UnknownEventType, or InvalidEvent with the JSON path of the first fault.
        """
        try:
            event_type = self.get(event.type, event.schema_version)
        except UnknownEventType as error:
            raise UnknownEventType(error.name, event.id) from None
        try:
            event_type.validator.validate(event.payload)
        except jsonschema_rs.ValidationError as error:
            path = "".join(f"[{step!r}]" for step in error.instance_path)
            raise InvalidEvent(f"Invalid payload: {event.type} (event {event.id}): payload{path}: {error.message}") from None
        return event_type.stream(event)


def _read(file: Traversable) -> dict[str, Any]:
    try:
        document = json.loads(file.read_text())
    except (OSError, ValueError) as error:
        raise InvalidCatalogue(f"{file}: {error}") from error
    if not isinstance(document, dict):
        raise InvalidCatalogue(f"{file}: not a JSON object")
    return document


def _event_type(document: Mapping[str, Any], registry: Any) -> EventType:
    identity = str(document.get("$id", ""))
    name, _, version = identity.removeprefix(DATASCHEMA_PREFIX).rpartition(":")
    rule = document.get("x-projection")
    if not identity.startswith(DATASCHEMA_PREFIX) or not name or not version.isdigit() or not isinstance(rule, dict):
        raise InvalidCatalogue(f"Not an event schema: $id {identity!r} (expected {DATASCHEMA_PREFIX}<Type>:<version>, and x-projection)")
    try:
        return EventType(
            name=name,
            version=int(version),
            schema=document,
            stream_kind=rule["stream"],
            subjects=tuple(rule["subjects"]),
            required_subjects=rule["requiredSubjects"],
            operations=tuple(_operation(o) for o in rule["operations"]),
            registry=registry,
        )
    except (KeyError, TypeError, InvalidCatalogue) as error:
        raise InvalidCatalogue(f"{identity}: x-projection: {error!r}") from error


def _operation(rule: Mapping[str, Any]) -> Operation:
    match rule["op"]:
        case "create_holon":
            return CreateHolon(rule["type"])
        case "patch_holon":
            return PatchHolon(tuple(rule["from"]))
        case "deactivate_holon":
            return SetStatus(rule.get("status", "inactive"))
        case "set_present":
            otherwise = rule.get("else")
            return SetPresent(tuple(rule["keys"]), otherwise and CreateHolon(otherwise["type"]))
        case "set_property":
            return SetProperty(rule["property"], _expression(rule["value"]))
        case "put_in_map":
            return PutInMap(rule["property"], rule["key"], _expression(rule["value"]))
        case "append_to_list":
            return AppendToList(rule["property"], _expression(rule["value"]))
        case "create_relationship":
            return CreateRelationship()
        case "end_relationship":
            return EndRelationship()
        case "correct_relationship":
            return CorrectRelationship()
        case unknown:
            raise InvalidCatalogue(f"unknown operation {unknown!r}")


def _expression(rule: Mapping[str, Any]) -> Expression:
    match rule:
        case {"const": value}:
            return Const(value)
        case {"envelope": field}:
            return Envelope(field)
        case {"payload": field}:
            return Payload(field)
        case {"firstPresent": fields, **rest}:
            return FirstPresent(tuple(fields), _expression(rest["otherwise"]) if "otherwise" in rest else None)
        case {"object": members}:
            return Object(tuple((key, _expression(value)) for key, value in members.items()))
        case _:
            raise InvalidCatalogue(f"unknown expression {rule!r}")


