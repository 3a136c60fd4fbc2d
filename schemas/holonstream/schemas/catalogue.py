"""The catalogue of event types: one JSON Schema file each, which validates, projects and documents.

A file ``events/<Type>.v<version>.json`` is a JSON Schema (2020-12) of the payload with fields of this project:
``x-projection`` says what the event does (`schemas.operation`), from version 2 on ``x-upcast`` says how a payload of
the version before becomes one of this (`schemas.upcast`), and ``$id`` is what records carry as ``dataschema``. No code
names an event type, except ``client.events``, which is generated.

Old versions stay: an event is validated by the version that it names, and lifted to the newest before it is folded.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib.resources.abc import Traversable
from typing import Any, Self

import jsonschema_rs
import msgspec

from holonstream.schemas.errors import InvalidCatalogue, InvalidEvent, UnknownEventType
from holonstream.schemas.event import MAX_ID_BYTES, Event, RecordedEvent
from holonstream.schemas.operation import CreateHolon, Operation, SetPresent
from holonstream.schemas.rules import operations_of, steps_of
from holonstream.schemas.state import HOLON, stream_of
from holonstream.schemas.upcast import Step, lift
from holonstream.schemas.vocabulary import event_files, read_document, vocabulary
from holonstream.schemas.wire import DATASCHEMA_PREFIX


@dataclass(frozen=True)
class EventType:
    """One version of one event type."""

    name: str
    version: int
    schema: dict[str, Any]
    stream_kind: str
    """``holon`` or ``relationship``"""
    subjects: tuple[str, ...]
    required_subjects: int
    operations: tuple[Operation, ...]
    upcast: tuple[Step, ...]
    """Steps that lift a payload of the version before to this one."""
    registry: Any

    @property
    def required(self) -> tuple[str, ...]:
        """The payload fields that an event must have."""
        return tuple(self.schema.get("required", ()))

    @cached_property
    def validator(self) -> Any:
        """The compiled payload schema."""
        return jsonschema_rs.Draft202012Validator(self.schema, registry=self.registry)

    def check(self, payload: Mapping[str, Any], event_id: str | None) -> None:
        """Check a payload against the schema. Raises InvalidEvent with the path of the first fault."""
        try:
            self.validator.validate(payload)
        except jsonschema_rs.ValidationError as error:
            path = "".join(f"[{step!r}]" for step in error.instance_path)
            raise InvalidEvent(
                f"Invalid payload: {self.name} (event {event_id}): payload{path}: {error.message[:300]}"
            ) from None
        except ValueError as error:  # no JSON value: a key that is no text
            raise InvalidEvent(f"Invalid payload: {self.name} (event {event_id}): {error}") from None
        for field in self.required:  # for the log null is as good as absent, whatever the schema says
            if payload[field] is None:
                raise InvalidEvent(f"Missing payload field: {self.name} needs {field}, is null (event {event_id})")

    def stream(self, event: Event | RecordedEvent) -> str:
        """The stream of an event of this type. Raises InvalidEvent when subject or relationshipId is missing."""
        if len(event.subjects) < self.required_subjects:
            wanted = ", ".join(self.subjects[: self.required_subjects])
            raise InvalidEvent(
                f"Missing subject: {self.name} (event {event.id}) needs {self.required_subjects} ({wanted}), "
                f"has {len(event.subjects)}"
            )
        entity = event.subjects[0] if self.stream_kind == HOLON else event.payload.get("relationshipId")
        if not isinstance(entity, str) or not entity:
            raise InvalidEvent(
                f"Missing identity: {self.name} (event {event.id}) names no {self.stream_kind}: {entity!r}"
            )
        if self.stream_kind != HOLON and len(entity.encode(errors="replace")) > MAX_ID_BYTES:
            raise InvalidEvent(
                f"Invalid event: relationshipId must be a string of 1 to {MAX_ID_BYTES} bytes, is {entity[:80]} "
                f"(event {event.id})"
            )
        return stream_of(self.stream_kind, entity)


class Catalogue:
    """Every event type, by name and version."""

    def __init__(self, documents: Iterable[dict[str, Any]], shared: dict[str, Any] | None = None) -> None:
        """`shared` is the vocabulary that the documents refer to, by default the one that ships."""
        self.vocabulary = shared or vocabulary()
        names = self.vocabulary["$defs"]
        self.holon_types = frozenset[str](names["holonType"]["enum"])
        self.relationship_types = frozenset[str](names["relationshipType"]["enum"])
        registry = jsonschema_rs.Registry([(self.vocabulary["$id"], self.vocabulary)])
        self._versions: dict[str, dict[int, EventType]] = {}
        for document in documents:
            event_type = _event_type(document, registry)
            _check_types(event_type, self.holon_types)
            versions = self._versions.setdefault(event_type.name, {})
            if event_type.version in versions:
                raise InvalidCatalogue(f"Two schemas of {event_type.name} version {event_type.version}")
            versions[event_type.version] = event_type
        for versions in self._versions.values():
            _check_versions(versions)
        self.types: Mapping[str, EventType] = {
            name: versions[max(versions)] for name, versions in sorted(self._versions.items())
        }
        """Every type in its newest version, by name."""

    @classmethod
    def load(cls, *folders: Traversable) -> Self:
        """The catalogue that ships with the files of more folders added, or a domain of its own (`vocabulary`).

        Raises InvalidCatalogue, naming the file or the type.
        """
        return cls(map(read_document, event_files(*folders)), vocabulary(*folders))

    def get(self, name: str, version: int | None = None) -> EventType:
        """The event type, by default in its newest version. Raises UnknownEventType."""
        found = self.types.get(name) if version is None else self._versions.get(name, {}).get(version)
        if found is None:
            raise UnknownEventType(name if version is None else f"{name} version {version}")
        return found

    def versions(self, name: str) -> tuple[EventType, ...]:
        """The versions of an event type, oldest first. Raises UnknownEventType."""
        newest = self.get(name)
        return tuple(self._versions[name][version] for version in range(1, newest.version + 1))

    def validate(self, event: Event) -> str:
        """Check an event against its type's schema, in the version that it names, and return its stream.

        Raises UnknownEventType, or InvalidEvent with the JSON path of the first fault.
        """
        try:
            event_type = self.get(event.type, event.schema_version)
        except UnknownEventType as error:
            raise UnknownEventType(error.name, event.id) from None
        event_type.check(event.payload, event.id)
        return event_type.stream(event)

    def upcast(self, event: RecordedEvent) -> RecordedEvent:
        """The event in the newest version of its type; the same object when it has that version.

        Raises UnknownEventType when the catalogue lacks the type, or the version that the event names.
        """
        newest = self.get(event.type)
        if event.schema_version == newest.version:
            return event
        self.get(event.type, event.schema_version)
        payload = event.payload
        for event_type in self.versions(event.type)[event.schema_version :]:
            payload = lift(payload, event_type.upcast)
        return msgspec.structs.replace(event, payload=payload, schema_version=newest.version)


def _event_type(document: dict[str, Any], registry: Any) -> EventType:
    identity = str(document.get("$id", ""))
    name, _, version = identity.removeprefix(DATASCHEMA_PREFIX).rpartition(":")
    rule = document.get("x-projection")
    # As the log's table of event types has it: the name is written into records without escapes.
    named = re.fullmatch("[A-Za-z][A-Za-z0-9._-]*", name) and name not in ("true", "false")
    if not identity.startswith(DATASCHEMA_PREFIX) or not named or not re.fullmatch("[1-9][0-9]{0,8}", version):
        raise InvalidCatalogue(
            f"Not an event schema: $id {identity!r} (expected {DATASCHEMA_PREFIX}<Type>:<version>; a type has letters, "
            "digits, '.', '_' and '-', and is neither true nor false)"
        )
    if not isinstance(rule, dict):
        raise InvalidCatalogue(f"Not an event schema: $id {identity!r} has no x-projection")
    try:
        return EventType(
            name=name,
            version=int(version),
            schema=document,
            stream_kind=rule["stream"],
            subjects=tuple(rule["subjects"]),
            required_subjects=rule["requiredSubjects"],
            operations=operations_of(rule["operations"]),
            upcast=steps_of(document.get("x-upcast", ())),
            registry=registry,
        )
    except (AttributeError, KeyError, TypeError, InvalidCatalogue) as error:
        raise InvalidCatalogue(f"{identity}: x-projection or x-upcast: {error!r}") from error


def _check_types(event_type: EventType, holon_types: Collection[str]) -> None:
    """The graph has labels and indexes for the catalogue's types only. Raises InvalidCatalogue."""
    for operation in event_type.operations:
        created = operation.otherwise if isinstance(operation, SetPresent) else operation
        if isinstance(created, CreateHolon) and created.type not in holon_types:
            raise InvalidCatalogue(f"{event_type.name} creates a {created.type}, which is no type of holon")


def _check_versions(versions: Mapping[int, EventType]) -> None:
    """Every old event must have a way to the newest version and stay in its stream. Raises InvalidCatalogue."""
    newest = versions[max(versions)]
    if sorted(versions) != list(range(1, newest.version + 1)):
        raise InvalidCatalogue(f"{newest.name} has versions {sorted(versions)}: from 1 on, none may be missing")
    for event_type in versions.values():
        if ("x-upcast" in event_type.schema) != (event_type.version > 1):
            must = "must" if event_type.version > 1 else "must not"
            raise InvalidCatalogue(f"{newest.name} version {event_type.version} {must} have x-upcast")
        if event_type.stream_kind != newest.stream_kind:
            raise InvalidCatalogue(f"{newest.name} changes its stream between versions")
