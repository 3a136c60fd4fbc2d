"""``schemas check``: faults in files of event schemas, and events of the log that the schemas would refuse."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources.abc import Traversable
from typing import Any

import jsonschema_rs

from holonstream.schemas import jsontext
from holonstream.schemas.catalogue import Catalogue, EventType
from holonstream.schemas.errors import BadData, HolonstreamError, InvalidEvent
from holonstream.schemas.event import RecordedEvent
from holonstream.schemas.projection import apply
from holonstream.schemas.state import HOLON, Holon, Relationship, State
from holonstream.schemas.tooling.fields import fields_read
from holonstream.schemas.tooling.jsonschemas import Checker, meta_schema, official_meta_schema, pointer
from holonstream.schemas.upcast import lift
from holonstream.schemas.vocabulary import event_files, vocabulary
from holonstream.schemas.wire import DATASCHEMA_PREFIX

INSTANT = "2024-03-01T08:00:00.000Z"
PROBES: Sequence[Any] = ([1], {"a": 1}, "x", 5, 0.5, True, None)
"""Values that each field is tried with: what the schema accepts must fold."""


@dataclass(frozen=True, slots=True)
class SchemaFault:
    """What is wrong with a file, at a JSON pointer. The empty pointer is the whole file."""

    file: str
    pointer: str
    message: str

    def __str__(self) -> str:
        return f"{self.file}#{self.pointer}: {self.message}"


@dataclass(frozen=True, slots=True)
class Refusal:
    """An event of the log that these schemas would refuse."""

    event: RecordedEvent
    reason: str


def check(*folders: Traversable) -> list[SchemaFault]:
    """The faults of all event schemas that `Catalogue.load` would read. Empty when all is well.

    Raises InvalidCatalogue when a folder or a domain's catalogue.json cannot be used.
    """
    files = [(str(file), file.read_text(encoding="utf-8")) for file in event_files(*folders)]
    return check_texts(files, vocabulary(*folders))


def check_texts(files: Iterable[tuple[str, str]], shared: dict[str, Any] | None = None) -> list[SchemaFault]:
    """As `check`, for files given as path and text; `shared` is their vocabulary, by default the one that ships."""
    checker = Checker(shared)
    faults: list[SchemaFault] = []
    documents: dict[str, dict[str, Any]] = {}
    for file, text in files:
        try:
            document = json.loads(text, parse_float=jsontext.number, parse_constant=_refuse_constant)
        except ValueError as error:
            faults.append(SchemaFault(file, "", f"not JSON: {error}"))
            continue
        if not isinstance(document, dict):
            faults.append(SchemaFault(file, "", f"not a JSON object but {type(document).__name__}"))
            continue
        found = [SchemaFault(file, *fault) for fault in dict.fromkeys(_document_faults(checker, file, document))]
        faults += found
        if not found:
            documents[file] = document
    faults += _version_faults(documents)
    if not faults:
        faults += _fold_faults(documents, shared)
    return faults


def refused(catalogue: Catalogue, events: Iterable[RecordedEvent]) -> Iterator[Refusal]:
    """The events that the catalogue would refuse, in the version that they name or lifted to the newest, in order."""
    for event in events:
        try:
            event_type = catalogue.get(event.type, event.schema_version)
            event_type.check(event.payload, event.id)
            if (stream := event_type.stream(event)) != event.stream:
                raise InvalidEvent(f"{event.type} (event {event.id}) now changes {stream}")
            lifted = catalogue.upcast(event)
            if lifted is not event:
                catalogue.get(event.type).check(lifted.payload, event.id)
        except InvalidEvent as error:
            yield Refusal(event, str(error))


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON number")


def _document_faults(checker: Checker, file: str, document: dict[str, Any]) -> Iterator[tuple[str, str]]:
    broken = list(checker.faults(document, official_meta_schema())) or list(
        checker.faults(document, meta_schema("event-type"))
    )
    yield from broken
    if broken:
        return
    name, _, version = document["$id"].removeprefix(DATASCHEMA_PREFIX).rpartition(":")
    expected = f"{name}.v{version}.json"
    if file.replace("\\", "/").rpartition("/")[2] != expected:
        yield "/$id", f"{document['$id']!r} belongs in a file called {expected}"
    for number, example in enumerate(document["examples"]):
        for place, message in checker.faults(example, document):
            yield f"/examples/{number}{place}", message
    rule = document["x-projection"]
    if rule["requiredSubjects"] > len(rule["subjects"]):
        yield "/x-projection/subjects", f"names {len(rule['subjects'])} of {rule['requiredSubjects']} required subjects"
    if rule["stream"] != HOLON:
        for number, step in enumerate(document.get("x-upcast", ())):
            if "relationshipId" in [step.get(key) for key in ("rename", "to", "move", "under", "remove", "set")]:
                yield f"/x-upcast/{number}", "relationshipId names the stream of the event and must stay as it is"


def _version_faults(documents: Mapping[str, Mapping[str, Any]]) -> Iterator[SchemaFault]:
    """Faults between files: versions that are missing, that exist twice, or that nothing lifts."""
    by_name: dict[str, dict[int, str]] = {}
    for file, document in documents.items():
        name, _, digits = str(document["$id"]).removeprefix(DATASCHEMA_PREFIX).rpartition(":")
        versions = by_name.setdefault(name, {})
        if other := versions.get(int(digits)):
            yield SchemaFault(file, "/$id", f"{document['$id']!r} is also the $id of {other}")
        versions[int(digits)] = file
    for versions in by_name.values():
        for version, file in sorted(versions.items()):
            document = documents[file]
            if version == 1:
                if "x-upcast" in document:
                    yield SchemaFault(file, "/x-upcast", "a first version has nothing to lift")
                continue
            if "x-upcast" not in document:
                yield SchemaFault(file, "", f"'x-upcast' is missing: how is a payload of version {version - 1} lifted?")
            if version - 1 not in versions:
                yield SchemaFault(file, "/$id", f"version {version - 1} is missing: old versions stay")
            elif documents[versions[version - 1]]["x-projection"]["stream"] != document["x-projection"]["stream"]:
                yield SchemaFault(file, "/x-projection/stream", f"is not that of version {version - 1}")


def _fold_faults(documents: Mapping[str, dict[str, Any]], shared: dict[str, Any] | None) -> Iterator[SchemaFault]:
    """Faults that show when example events are validated and folded."""
    try:
        catalogue = Catalogue(documents.values(), shared)
        for file, document in documents.items():
            name, _, version = document["$id"].removeprefix(DATASCHEMA_PREFIX).rpartition(":")
            event_type = catalogue.get(name, int(version))
            yield from (SchemaFault(file, *fault) for fault in _example_faults(catalogue, event_type))
            if event_type.version > 1:
                before = catalogue.get(name, event_type.version - 1)
                yield from (SchemaFault(file, *fault) for fault in _lift_faults(before, event_type))
            if event_type is catalogue.get(name):
                yield from (SchemaFault(file, *fault) for fault in _probe_faults(catalogue, event_type))
    except (HolonstreamError, jsonschema_rs.ValidationError) as error:
        yield SchemaFault("catalogue", "", str(error))


def _example_faults(catalogue: Catalogue, event_type: EventType) -> Iterator[tuple[str, str]]:
    for number, example in enumerate(event_type.schema["examples"]):
        if reason := _why_not(catalogue, event_type, example):
            yield pointer(["examples", number]), reason


def _lift_faults(before: EventType, event_type: EventType) -> Iterator[tuple[str, str]]:
    for number, example in enumerate(before.schema["examples"]):
        lifted = lift(example, event_type.upcast)
        try:
            event_type.check(lifted, None)
        except InvalidEvent as error:
            yield "/x-upcast", f"example {number} of version {before.version} becomes {lifted}: {error}"


def _probe_faults(catalogue: Catalogue, event_type: EventType) -> Iterator[tuple[str, str]]:
    """Fields whose schema accepts what the fold cannot apply: such an event would park its stream."""
    example = event_type.schema["examples"][0]
    for field in sorted(fields_read(event_type.operations)):
        for value in PROBES:
            if value is None and field in event_type.required:
                continue  # refused, whatever the schema says
            payload = {**example, field: value}
            if event_type.validator.is_valid(payload) and (reason := _why_not(catalogue, event_type, payload)):
                yield pointer(["properties", field]), f"accepts {value!r}, which cannot be folded: {reason}"
                break


def _why_not(catalogue: Catalogue, event_type: EventType, payload: dict[str, Any]) -> str | None:
    """Why an event with this payload cannot be folded, onto nothing or onto a plain entity; None when it can."""
    subjects = tuple(f"{subject.replace(' ', '-')}-1" for subject in event_type.subjects)
    try:
        event_type.check(payload, None)
        event = RecordedEvent(
            id="00000000-0000-0000-0000-000000000000",
            type=event_type.name,
            schema_version=event_type.version,
            occurred_at=INSTANT,
            recorded_at=INSTANT,
            actor="check",
            subjects=subjects,
            source_system="check",
            payload=payload,
            stream="",
            version=2,
            position=2,
        )
        apply(catalogue, None, event)
        apply(catalogue, _plain(catalogue, event_type), event)
        event_type.stream(event)
    except BadData as error:
        return str(error)
    return None


def _plain(catalogue: Catalogue, event_type: EventType) -> State:
    shared: dict[str, Any] = {
        "id": "plain",
        "properties": {},
        "created_by": "0",
        "source_documents": (),
        "last_modified": INSTANT,
        "version": 1,
        "position": 1,
    }
    if event_type.stream_kind == HOLON:
        return Holon(type=min(catalogue.holon_types), status="active", created_at=INSTANT, **shared)
    return Relationship(
        type=min(catalogue.relationship_types),
        source="a",
        target="b",
        effective_start=INSTANT,
        effective_end=None,
        authority_level="authoritative",
        confidence_score=None,
        source_system="check",
        **shared,
    )
