"""``docs/catalogue.md``: every event type for people, made from the schemas."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import assert_never

from holonstream.schemas.catalogue import Catalogue, EventType
from holonstream.schemas.operation import (
    AppendToList,
    Const,
    CorrectRelationship,
    CreateHolon,
    CreateRelationship,
    EndRelationship,
    EnvelopeField,
    Expression,
    FirstPresent,
    Object,
    Operation,
    PatchHolon,
    PayloadField,
    PutInMap,
    SetPresent,
    SetProperty,
    SetStatus,
)
from holonstream.schemas.state import HOLON, RELATIONSHIP
from holonstream.schemas.tooling.fields import declared_fields, fields_read
from holonstream.schemas.tooling.layout import pretty

HEAD = """\
<!-- Made by `holonstream schemas docs` from schemas/events; change it there. -->

# Event catalogue

{count} event types. Payloads are open: only fields marked *required* must be there, and other fields are allowed. The
type of a field, and that producers *always* give it, is documented, and validated only where the effect needs it.
*Present* means: not absent, not null, not false, not 0, not the empty string. An event changes its first subject or,
for relationships, the one that `relationshipId` names. If that does not exist, the event has no effect, unless it
creates it. The rules: docs/domain.md of holonstream.

| Event | Changes | What happened | If the entity does not exist |
|---|---|---|---|
"""


def catalogue_page(catalogue: Catalogue) -> str:
    """The page, in Markdown."""
    types = sorted(catalogue.types.values(), key=lambda event_type: (_group(event_type), event_type.name))
    lines = [HEAD.format(count=len(types)).rstrip("\n")]
    for event_type in types:
        link = f"[{event_type.name}](#{event_type.name.lower()})"
        what = "-" if not event_type.operations else missing(event_type.operations)
        lines.append(f"| {link} | {_group(event_type)} | {event_type.schema['description']} | {what} |")
    for event_type in types:
        lines += ["", *_section(catalogue, event_type)]
    lines += ["", "## Types of holons and relationships", ""]
    lines.append("Holons: " + ", ".join(catalogue.vocabulary["$defs"]["holonType"]["enum"]) + ".")
    lines.append("")
    lines.append("Relationships: " + ", ".join(catalogue.vocabulary["$defs"]["relationshipType"]["enum"]) + ".")
    return "\n".join(lines) + "\n"


def _group(event_type: EventType) -> str:
    """What events of the type change."""
    return event_type.subjects[0] if event_type.stream_kind == HOLON else RELATIONSHIP


def _section(catalogue: Catalogue, event_type: EventType) -> Iterator[str]:
    schema = event_type.schema
    yield f"## {event_type.name}"
    yield ""
    yield schema["description"]
    yield ""
    needed = event_type.required_subjects
    names = [name if number < needed else f"({name})" for number, name in enumerate(event_type.subjects)]
    yield f"- Subjects: {', '.join(names)}"
    if not event_type.operations:
        yield "- Effect: none; the event is kept in the log."
    for operation in event_type.operations:
        yield f"- Effect: {effect(operation)}"
    identity = f"`{schema['$id']}`"
    old = [f"`{other.schema['$id']}`" for other in catalogue.versions(event_type.name)[:-1]]
    yield f"- Schema: {identity}" + (f"; lifted to it: {', '.join(old)}" if old else "")
    if fields := declared_fields(schema, catalogue.vocabulary):
        yield ""
        yield "| Field | Type | Given | Has an effect | Meaning |"
        yield "|---|---|---|---|---|"
        read = fields_read(event_type.operations)
        for field in fields:
            given = "required" if field.required else "always" if field.compulsory else ""
            description = field.description.replace("|", "\\|")
            yield f"| `{field.name}` | {field.type} | {given} | {'yes' if field.name in read else ''} | {description} |"
    yield ""
    yield "```json"
    yield pretty(schema["examples"][0], width=100)
    yield "```"


def effect(operation: Operation) -> str:
    """A sentence or two of Markdown."""
    match operation:
        case CreateHolon():
            return f"Creates the holon, or replaces it whole: {_creation(operation)}."
        case PatchHolon(sources):
            patch = f"the first present of {_names(sources)}" if len(sources) > 1 else _names(sources)
            return f"Lays {patch} over the properties: each key replaced whole, null stored, nothing removed."
        case SetStatus(status):
            return f"Sets the holon's status to `{status}`; properties and relationships stay."
        case SetPresent(keys, otherwise):
            text = (
                f"Copies those of {_names(keys)} that are present in the payload to the properties, and nothing else."
            )
            return (
                text if otherwise is None else f"{text} A holon that does not exist is created: {_creation(otherwise)}."
            )
        case SetProperty(name, value, if_present):
            text = f"Sets the property `{name}` to {_value(value)}."
            return text if not if_present else f"{text[:-1]}, when one of {_names(if_present)} is present."
        case PutInMap(name, key, value):
            text = f"In the map `{name}`, replaces the entry that `{key}` names by {_value(value)}"
            return f"{text}; without a key only the map is made."
        case AppendToList(name, value):
            return f"Appends {_value(value)} to the list `{name}`."
        case CreateRelationship():
            return (
                "Creates the relationship `relationshipId`, or replaces it whole and open again, from the first "
                "subject to the second, effective from occurredAt on; its properties are those of `properties` alone."
            )
        case EndRelationship():
            return (
                "Sets the end of the relationship `relationshipId` to `endDate`, or to occurredAt; overwrites an end."
            )
        case CorrectRelationship():
            return (
                "Lays `corrections` over the properties of the relationship `relationshipId`: each key replaced whole, "
                "null stored."
            )
        case _:
            assert_never(operation)


def missing(operations: Iterable[Operation]) -> str:
    """What happens when the entity is not there."""
    for operation in operations:
        match operation:
            case CreateHolon() | CreateRelationship() | SetPresent(otherwise=CreateHolon()):
                return "created"
    return "no effect"


def _creation(operation: CreateHolon) -> str:
    return (
        f"its type is `{operation.type}`, unless `holonType`, or a `type` that is a holon type, names another; every "
        "other field becomes a property, and those of `properties` take precedence"
    )


def _value(expression: Expression) -> str:
    match expression:
        case Const(value):
            return f"`{json.dumps(value, ensure_ascii=False)}`"
        case EnvelopeField(field):
            return {"occurredAt": "occurredAt", "id": "the event's id", "type": "the event's type"}[field]
        case PayloadField(field):
            return f"`{field}`"
        case FirstPresent(fields, otherwise):
            last = f", else {_value(otherwise)}" if otherwise is not None else ""
            return (_names(fields) if len(fields) == 1 else f"the first present of {_names(fields)}") + last
        case Object(members):
            return "{" + ", ".join(f"{key}: {_value(member)}" for key, member in members) + "}"
        case _:
            assert_never(expression)


def _names(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)
