"""Reading ``x-projection`` and ``x-upcast`` from JSON into the values of `schemas.operation` and `schemas.upcast`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from holonstream.schemas.errors import InvalidCatalogue
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
from holonstream.schemas.upcast import Default, Move, Remove, Rename, Set, Step


def operations_of(rules: Iterable[Mapping[str, Any]]) -> tuple[Operation, ...]:
    """The operations of an ``x-projection``. Raises InvalidCatalogue, or KeyError for a missing part."""
    return tuple(_operation(rule) for rule in rules)


def steps_of(rules: Iterable[Mapping[str, Any]]) -> tuple[Step, ...]:
    """The steps of an ``x-upcast``. Raises InvalidCatalogue, or KeyError for a missing part."""
    return tuple(_step(rule) for rule in rules)


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
            return SetProperty(rule["property"], _expression(rule["value"]), tuple(rule.get("ifPresent", ())))
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
        case {"envelope": "id" | "type" | "occurredAt" as field}:
            return EnvelopeField(field)
        case {"payload": field}:
            return PayloadField(field)
        case {"firstPresent": fields, **rest}:
            return FirstPresent(tuple(fields), _expression(rest["otherwise"]) if "otherwise" in rest else None)
        case {"object": members}:
            return Object(tuple((key, _expression(value)) for key, value in members.items()))
        case _:
            raise InvalidCatalogue(f"unknown expression {rule!r}")


def _step(rule: Mapping[str, Any]) -> Step:
    match rule:
        case {"rename": field, "to": name}:
            return Rename(field, name)
        case {"move": field, "under": name}:
            return Move(field, name)
        case {"remove": field}:
            return Remove(field)
        case {"set": field, "value": value}:
            return Set(field, value)
        case {"default": field, "value": value}:
            return Default(field, value)
        case _:
            raise InvalidCatalogue(f"unknown upcast step {rule!r}")
