"""Does every value that satisfies some schemas satisfy others too? The core of ``schemas diff``.

Schemas come expanded (`schemas.tooling.expansion`), each side as a conjunction. A constraint of the new side is fine
when one of the old side implies it; gaps say where none does, and whether that is certain.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from holonstream.schemas.tooling.expansion import Schema, conjunction
from holonstream.schemas.tooling.jsonschemas import Checker, pointer

Conjunction = list[Schema]

TYPES = frozenset({"null", "boolean", "object", "array", "number", "string", "integer"})
OPAQUE = frozenset({"not", "oneOf", "if", "contains", "pattern", "$ref", "dependentSchemas", "unevaluatedProperties"})
"""Keywords of the old side that may rule out what seems accepted."""
APPLIES = {
    "minimum": "number", "maximum": "number", "exclusiveMinimum": "number", "exclusiveMaximum": "number",
    "multipleOf": "number",
    "minLength": "string", "maxLength": "string", "pattern": "string",
    "items": "array", "prefixItems": "array", "minItems": "array", "maxItems": "array", "uniqueItems": "array",
    "contains": "array", "minContains": "array", "maxContains": "array", "unevaluatedItems": "array",
    "required": "object", "properties": "object", "additionalProperties": "object", "patternProperties": "object",
    "propertyNames": "object", "minProperties": "object", "maxProperties": "object", "dependentRequired": "object",
    "dependentSchemas": "object", "unevaluatedProperties": "object",
}  # fmt: skip
"""The type that a keyword says something about; all others pass it."""
AT_LEAST = frozenset({"minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties"})
AT_MOST = frozenset({"maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties"})
TOGETHER = (("if", "then", "else"), ("contains", "minContains", "maxContains"))
"""Keywords of one schema that mean something only together."""


@dataclass(frozen=True, slots=True)
class Gap:
    """A place of the new side that the old does not imply."""

    pointer: str
    certain: bool
    """something that was accepted is refused; otherwise it could not be decided"""
    reason: str


def included(old: Conjunction, new: Conjunction, at: str, checker: Checker) -> Iterator[Gap]:
    """Where the new side may refuse what the old accepts, at JSON pointers that start with `at`. Nothing: nowhere."""
    texts = {_text(conjunct) for conjunct in old}
    new = [conjunct for conjunct in new if _text(conjunct) not in texts or _looks_around(conjunct)]
    if not new or {"not": {}} in old:
        return
    finite = _values(old)
    if finite is not None:
        for value in finite:
            for conjunct in new:
                if checker.accepts(value, {"allOf": old}) and not checker.accepts(value, conjunct):
                    yield Gap(at, True, f"{value!r} is refused now")
        return
    for number, conjunct in enumerate(old):
        if "anyOf" in conjunct:
            rest = {keyword: value for keyword, value in conjunct.items() if keyword != "anyOf"}
            others = [*old[:number], *([rest] if rest else []), *old[number + 1 :]]
            for branch in conjunct["anyOf"]:
                yield from included(others + conjunction(branch), new, at, checker)
            return
    for conjunct in new:
        yield from _implied(old, conjunct, at, checker)


def _values(old: Conjunction) -> list[Any] | None:
    """All values that the old side may accept, when these are few."""
    for conjunct in old:
        if "const" in conjunct:
            return [conjunct["const"]]
        if "enum" in conjunct:
            return list(conjunct["enum"])
    if _types(old) <= {"null", "boolean"}:
        return [None, False, True]
    return None


def _types(conjuncts: Conjunction) -> frozenset[str]:
    types = TYPES
    for conjunct in conjuncts:
        named = conjunct.get("type")
        if named is not None:
            allowed = {named} if isinstance(named, str) else set(named)
            types &= allowed | ({"integer"} if "number" in allowed else set())
    return types


def _implied(old: Conjunction, new: Schema, at: str, checker: Checker) -> Iterator[Gap]:
    types = _types(old)
    certain = not any(keyword in conjunct for conjunct in old for keyword in OPAQUE)
    for keyword, value in new.items():
        if (
            keyword in APPLIES
            and APPLIES[keyword] not in types
            and not (APPLIES[keyword] == "number" and "integer" in types)
        ):
            continue
        here = f"{at}/{keyword}"
        given = [conjunct[keyword] for conjunct in old if keyword in conjunct]
        together = next((keywords for keywords in TOGETHER if keyword in keywords), None)
        if keyword == "type":
            if refused := types - _types([new]):
                yield Gap(here, certain, f"no longer accepts {', '.join(sorted(refused))}")
        elif keyword in ("enum", "const"):
            yield Gap(here, certain, f"accepts nothing but {value!r} now")
        elif keyword in AT_LEAST | AT_MOST:
            if not _bounded(old, keyword, value):
                yield Gap(here, certain, f"was {given[0] if given else 'absent'}, is {value}")
        elif keyword == "required":
            known = {name for names in given for name in names}
            yield from (Gap(here, certain, f"{name!r} became required") for name in value if name not in known)
        elif keyword == "properties":
            for name, schema in value.items():
                yield from included(_property(old, name), conjunction(schema), here + pointer([name]), checker)
        elif keyword == "additionalProperties":
            yield from _additional(old, new, here, checker)
        elif keyword == "items" and not _has([*old, new], "prefixItems"):
            yield from included([c for items in given for c in conjunction(items)], conjunction(value), here, checker)
        elif keyword == "propertyNames":
            names = [c for schema in given for c in conjunction(schema)]
            yield from included([{"type": "string"}, *names], conjunction(value), here, checker)
        elif keyword == "uniqueItems":
            if value and True not in given:
                yield Gap(here, certain, "refuses equal items now")
        elif keyword == "not" and value == {}:
            yield Gap(at, certain, "accepts nothing now")
        elif keyword == "anyOf":
            branches = [list(included(old, conjunction(branch), at, checker)) for branch in value]
            if all(branches):
                yield Gap(here, False, "it does not follow that one of the alternatives holds")
        elif together is not None:
            parts = _text([new.get(part) for part in together])
            if all(_text([conjunct.get(part) for part in together]) != parts for conjunct in old):
                yield Gap(here, False, f"{keyword} changed")
        elif keyword in ("items", "$ref") or _looks_around(new) or _text(value) not in map(_text, given):
            yield Gap(here, False, f"{keyword} was {given[0] if given else 'absent'!r}, is {value!r}")


def _text(value: Any) -> str:
    """Equal only for equal JSON; in Python 0 is False."""
    return json.dumps(value, sort_keys=True)


def _looks_around(schema: Schema) -> bool:
    """Whether the schema depends on those beside it, or on itself."""
    return "unevaluatedProperties" in schema or "unevaluatedItems" in schema or "$ref" in schema


def _bounded(old: Conjunction, keyword: str, value: Any) -> bool:
    """Whether the old side keeps to the bound."""
    if keyword in ("minLength", "minItems", "minProperties") and value <= 0:
        return True
    for conjunct in old:
        if keyword in conjunct:
            bound = conjunct[keyword]
            if bound >= value if keyword in AT_LEAST else bound <= value:
                return True
    inclusive, exclusive = ("minimum", "exclusiveMinimum") if keyword in AT_LEAST else ("maximum", "exclusiveMaximum")
    sign = 1 if keyword in AT_LEAST else -1
    if keyword == inclusive:
        return any(sign * conjunct[exclusive] >= sign * value for conjunct in old if exclusive in conjunct)
    if keyword == exclusive:
        return any(sign * conjunct[inclusive] > sign * value for conjunct in old if inclusive in conjunct)
    return False


def _has(conjuncts: Conjunction, keyword: str) -> bool:
    return any(keyword in conjunct for conjunct in conjuncts)


def _property(conjuncts: Conjunction, name: str) -> Conjunction:
    """What the conjuncts say about the field of that name; less than all when patterns are involved."""
    said: Conjunction = []
    for conjunct in conjuncts:
        if name in conjunct.get("properties", {}):
            said += conjunction(conjunct["properties"][name])
        elif "patternProperties" not in conjunct:
            said += conjunction(conjunct.get("additionalProperties", {}))
    return said


def _additional(old: Conjunction, new: Schema, at: str, checker: Checker) -> Iterator[Gap]:
    """Fields that the new side does not name."""
    wanted = conjunction(new["additionalProperties"])
    certain = not any(keyword in conjunct for conjunct in old for keyword in OPAQUE)
    named = new.get("properties", {})
    if _has(old, "patternProperties") or "patternProperties" in new:
        yield Gap(at, False, "patternProperties are involved")
        return
    for name in sorted({name for conjunct in old for name in conjunct.get("properties", {})} - set(named)):
        for finding in included(_property(old, name), wanted, at, checker):
            yield Gap(finding.pointer, finding.certain, f"{name!r}: {finding.reason}")
    if wanted == [{"not": {}}] and not any(conjunct.get("additionalProperties") == {"not": {}} for conjunct in old):
        yield Gap(at, certain, "fields that are not declared are refused now")
        return
    others = [c for conjunct in old for c in conjunction(conjunct.get("additionalProperties", {}))]
    yield from included(others, wanted, at, checker)
