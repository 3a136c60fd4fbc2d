"""A schema as a set of constraints alone: references followed, annotations dropped."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Schema = dict[str, Any]

ANNOTATIONS = frozenset({
    "$schema", "$id", "$comment", "$defs", "$anchor", "title", "description", "examples", "default", "deprecated",
    "readOnly", "writeOnly", "format", "contentEncoding", "contentMediaType",
})  # fmt: skip
"""Keywords that refuse nothing; those that start with ``x-`` do not either."""
MAPS = frozenset({"properties", "patternProperties", "dependentSchemas"})
LISTS = frozenset({"allOf", "anyOf", "oneOf", "prefixItems"})
NESTED = frozenset({
    "additionalProperties", "unevaluatedProperties", "propertyNames", "items", "unevaluatedItems", "contains", "not",
    "if", "then", "else",
})  # fmt: skip


def expand(
    schema: Any, root: Mapping[str, Any], shared: Mapping[str, Any], inside: frozenset[str] = frozenset()
) -> Schema:
    """The constraints of a schema. References to `root` itself and to the `shared` vocabulary become ``allOf``.

    Anything else, and a reference `inside` itself, stays a ``$ref``. ``if`` without ``then`` becomes ``anyOf``.
    """
    if schema is True:
        return {}
    if schema is False:
        return {"not": {}}
    expanded: Schema = {}
    conjuncts: list[Schema] = []
    for keyword, value in schema.items():
        if keyword == "$ref" and value not in inside and (found := _resolve(value, root, shared)) is not None:
            target, home = found
            conjuncts.append(expand(target, home, shared, inside | {value}))
        elif keyword in MAPS:
            expanded[keyword] = {name: expand(member, root, shared, inside) for name, member in value.items()}
        elif keyword in LISTS:
            expanded[keyword] = [expand(member, root, shared, inside) for member in value]
        elif keyword in NESTED:
            expanded[keyword] = expand(value, root, shared, inside)
        elif keyword not in ANNOTATIONS and not keyword.startswith("x-"):
            expanded[keyword] = value
    if "if" in expanded and "then" not in expanded:
        condition, otherwise = expanded.pop("if"), expanded.pop("else", {})
        conjuncts.append({"anyOf": [condition, otherwise]})
    if conjuncts:
        expanded["allOf"] = [*expanded.get("allOf", ()), *conjuncts]
    return expanded


def conjunction(schema: Schema) -> list[Schema]:
    """The schemas, free of ``allOf``, that a value must all satisfy."""
    own = {keyword: value for keyword, value in schema.items() if keyword != "allOf"}
    conjuncts = [own] if own else []
    for member in schema.get("allOf", ()):
        conjuncts += conjunction(member)
    return conjuncts


def _resolve(
    reference: str, root: Mapping[str, Any], shared: Mapping[str, Any]
) -> tuple[Any, Mapping[str, Any]] | None:
    base, _, path = reference.partition("#")
    if base not in ("", root.get("$id"), shared["$id"]):
        return None
    home = shared if base == shared["$id"] else root
    found: Any = home
    for step in path.split("/")[1:]:
        key = step.replace("~1", "/").replace("~0", "~")
        if not isinstance(found, Mapping) or key not in found:
            return None
        found = found[key]
    return found, home
