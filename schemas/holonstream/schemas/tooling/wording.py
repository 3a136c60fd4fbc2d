"""What an operation does, in words for people (`schemas.tooling.catalogue_page`)."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import assert_never

from holonstream.schemas.operation import (
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
            text = f"Sets each of the properties {_names(keys)} that is present in the payload; the rest is dropped."
            return text if otherwise is None else f"{text} A missing holon is created: {_creation(otherwise)}."
        case SetProperty(name, value, if_present):
            text = f"Sets the property `{name}` to {_value(value)}."
            return text if not if_present else f"{text[:-1]}, when one of {_names(if_present)} is present."
        case PutInMap(name, key, value):
            text = f"In the map `{name}`, replaces the entry that `{key}` names by {_value(value)}"
            return f"{text}; without it only the map appears."
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
        f"type `{operation.type}` unless `holonType`, or a `type` that is a holon type, says otherwise; every other "
        "field becomes a property, and those of `properties` win"
    )


def _value(expression: Expression) -> str:
    match expression:
        case Const(value):
            return f"`{json.dumps(value, ensure_ascii=False)}`"
        case Envelope(field):
            return {"occurredAt": "occurredAt", "id": "the event's id", "type": "the event's type"}[field]
        case Payload(field):
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
