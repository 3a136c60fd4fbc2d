"""Which payload fields a type has, and which of them its operations read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, assert_never

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


@dataclass(frozen=True, slots=True)
class DeclaredField:
    """A declared payload field."""

    name: str
    description: str
    type: str
    """what it holds, by convention: not validated"""
    required: bool
    """an event without it is refused"""
    compulsory: bool
    """always given, by convention"""
    schema: Mapping[str, Any]
    """as declared, a shape of the vocabulary that it refers to included"""


def fields_read(operations: Iterable[Operation]) -> frozenset[str]:
    """The payload fields that operations read by name."""
    return frozenset(name for operation in operations for name in _read(operation))


def declared_fields(schema: Mapping[str, Any], vocabulary: Mapping[str, Any]) -> list[DeclaredField]:
    """The fields that a schema declares, its own first and then those of the shape that it refers to."""
    required = schema.get("required", ())
    declared: dict[str, Mapping[str, Any]] = {}
    for source in (schema, _referred(schema, vocabulary)):
        for name, subschema in source.get("properties", {}).items():
            own = subschema if isinstance(subschema, Mapping) else {}  # true or false
            declared.setdefault(name, {**_referred(own, vocabulary), **own})
    return [
        DeclaredField(
            name=name,
            description=subschema.get("description", ""),
            type=subschema.get("x-type") or _type(subschema),
            required=name in required,
            compulsory=subschema.get("x-compulsory", False),
            schema=subschema,
        )
        for name, subschema in declared.items()
    ]


def _referred(schema: Mapping[str, Any], vocabulary: Mapping[str, Any]) -> Mapping[str, Any]:
    reference = schema.get("$ref", "")
    found: Mapping[str, Any] = vocabulary["$defs"].get(reference.rpartition("/")[2], {})
    return found


def _type(schema: Mapping[str, Any]) -> str:
    named = schema.get("type", "string" if "enum" in schema else "any")
    return named if isinstance(named, str) else " or ".join(named)


def _read(operation: Operation) -> Iterable[str]:
    match operation:
        case CreateHolon():
            return ("holonType", "type", "properties")
        case PatchHolon(sources):
            return sources
        case SetStatus():
            return ()
        case SetPresent(keys, otherwise):
            return (*keys, *(_read(otherwise) if otherwise else ()))
        case SetProperty(_, value, if_present):
            return (*_sources(value), *if_present)
        case PutInMap(_, key, value):
            return (key, *_sources(value))
        case AppendToList(_, value):
            return _sources(value)
        case CreateRelationship():
            return ("relationshipId", "relationshipType", "properties", "authorityLevel", "confidenceScore")
        case EndRelationship():
            return ("relationshipId", "endDate")
        case CorrectRelationship():
            return ("relationshipId", "corrections")
        case _:
            assert_never(operation)


def _sources(expression: Expression) -> tuple[str, ...]:
    match expression:
        case Const() | EnvelopeField():
            return ()
        case PayloadField(field):
            return (field,)
        case FirstPresent(fields, otherwise):
            return (*fields, *(_sources(otherwise) if otherwise else ()))
        case Object(members):
            return tuple(name for _, member in members for name in _sources(member))
        case _:
            assert_never(expression)
