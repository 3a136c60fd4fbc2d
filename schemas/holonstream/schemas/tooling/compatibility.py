"""``schemas diff``: would a new schema refuse an event that the old one accepted?

`jsonschema_rs` decides whether the new schema covers the old one. When it does not, or cannot tell, each part of the
new schema is compared with the old one by itself, to say where. What stays undecided counts as a refusal, unless trying
finds a payload that proves it one.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import jsonschema_rs
from jsonschema_rs.canonical import CanonicalizationError, CanonicalKind, Containment

from holonstream.schemas.jsontext import encode_sorted
from holonstream.schemas.tooling.fields import declared_fields
from holonstream.schemas.tooling.jsonschemas import Checker, pointer
from holonstream.schemas.vocabulary import vocabulary

Schema = Mapping[str, Any]
Verdict = Literal["incompatible", "undecided", "note"]

PROBES: Sequence[Any] = (None, False, True, 0, 1, -1.5, "", "x", "2024-03-01", [], [1], ["x"], {}, {"a": 1})
TOGETHER = (("if", "then", "else"), ("contains", "minContains", "maxContains"), ("prefixItems", "items"))
"""Keywords of one schema that mean something only together."""
WIDTH = 120  # characters of a value in a message


@dataclass(frozen=True, slots=True)
class Difference:
    """What changed, at a JSON pointer into the new schema."""

    pointer: str
    verdict: Verdict
    """incompatible: an event that was accepted would be refused. undecided: it may be. note: none would be."""
    reason: str

    def __str__(self) -> str:
        return f"{self.verdict} #{self.pointer}: {self.reason}"


def differences(
    old: Schema, new: Schema, *, old_shared: Schema | None = None, new_shared: Schema | None = None
) -> list[Difference]:
    """What a change of an event's schema means; compatible when all are notes.

    `old_shared` and `new_shared` are the vocabularies that the schemas refer to, by default the one that ships.
    """
    old_shared, new_shared = old_shared or vocabulary(), new_shared or vocabulary()
    if encode_sorted([old, old_shared]) == encode_sorted([new, new_shared]):
        return []
    found = list(_refusals(old, new, old_shared, new_shared))
    found += _projection_changes(old.get("x-projection", {}), new.get("x-projection", {}))
    return list(dict.fromkeys(found))


def compatible(found: Sequence[Difference]) -> bool:
    """Whether nothing that was accepted would be refused."""
    return all(difference.verdict == "note" for difference in found)


def removed(file: str) -> Difference:
    """The difference when a file is gone."""
    return Difference("", "incompatible", f"{file} is gone: every event of this version would be refused")


def _refusals(old: Schema, new: Schema, old_shared: Schema, new_shared: Schema) -> Iterator[Difference]:
    was = {place: value for place, _, value in _Parts(old, old_shared).of(old)}
    parts = list(_Parts(new, new_shared).of(new))
    witnesses = _witnesses(old, new, old_shared, new_shared)
    if encode_sorted(old_shared) != encode_sorted(new_shared):  # two vocabularies need two names
        name = str(new_shared["$id"])
        old, old_shared = json.loads(encode_sorted([old, old_shared]).replace(name.encode(), f"{name}:old".encode()))
    before = _canonical(old, old_shared)
    whole = _covered(before, new, new_shared)
    if whole is Containment.YES:
        return
    undecided = []
    refused: set[str] = set()
    for place, part, value in parts:
        verdict = _covered(before, {"$defs": new.get("$defs", {}), **part}, new_shared)
        if verdict is Containment.NO:
            refused.add(_field(place))
            yield Difference(place, "incompatible", _reason(place, was.get(place), value))
        elif verdict is Containment.UNKNOWN:
            undecided.append(Difference(place, "undecided", _reason(place, was.get(place), value)))
    if undecided or not refused:
        for difference in witnesses:
            if difference.pointer not in refused:
                refused.add(difference.pointer)
                yield difference
    yield from (difference for difference in undecided if _field(difference.pointer) not in refused)
    if not refused and whole is Containment.NO:
        yield Difference("", "incompatible", "the parts of the schema together refuse what was accepted")
    elif not refused and not undecided:
        yield Difference("", "undecided", "the parts of the schema together may refuse what was accepted")


def _canonical(schema: Any, shared: Schema) -> jsonschema_rs.CanonicalSchema | None:
    """None when the schema uses what the canonical form does not have."""
    registry = jsonschema_rs.Registry([(str(shared["$id"]), dict(shared))])
    try:
        return jsonschema_rs.canonicalize(schema, draft=jsonschema_rs.Draft202012, registry=registry)
    except CanonicalizationError:
        return None


def _covered(before: jsonschema_rs.CanonicalSchema | None, schema: Any, shared: Schema) -> Containment:
    """Whether a schema accepts everything that the old one does."""
    after = _canonical(schema, shared)
    if after is not None and after.kind is CanonicalKind.TRUE:
        return Containment.YES
    try:
        return Containment.UNKNOWN if before is None or after is None else after.covers(before)
    except CanonicalizationError:
        return Containment.UNKNOWN


class _Parts:
    """Takes a schema to parts, all of which a value must satisfy. References to shapes by name are followed."""

    def __init__(self, root: Schema, shared: Schema) -> None:
        name = str(shared["$id"])
        shapes = json.loads(encode_sorted(shared.get("$defs", {})).replace(b'"#/', f'"{name}#/'.encode()))
        self._shapes = {f"{name}#/$defs/{key}": shape for key, shape in shapes.items()}
        self._shapes |= {f"#/$defs/{key}": shape for key, shape in root.get("$defs", {}).items()}

    def of(self, schema: Any, at: str = "", inside: tuple[str, ...] = ()) -> Iterator[tuple[str, Schema, Any]]:
        """JSON pointer, the part as a schema of the whole payload, and what stands at the pointer."""
        if not isinstance(schema, Mapping):
            if schema is False:
                yield at, {"not": {}}, False
            return
        for keyword, value in schema.items():
            here = at + pointer([keyword])
            if keyword in ("properties", "patternProperties"):
                for name, member in value.items():
                    for place, part, found in self.of(member, here + pointer([name]), inside):
                        yield place, {keyword: {name: part}}, found
            elif keyword == "additionalProperties":
                named = {key: dict.fromkeys(schema.get(key, ()), True) for key in ("properties", "patternProperties")}
                for place, part, found in self.of(value, here, inside):
                    yield place, {**named, keyword: part}, found
            elif keyword == "items" and "prefixItems" not in schema:
                for place, part, found in self.of(value, here, inside):
                    yield place, {keyword: part}, found
            elif keyword == "allOf":
                for number, member in enumerate(value):
                    yield from self.of(member, here + pointer([number]), inside)
            elif keyword == "required":
                yield from ((here, {keyword: [name]}, name) for name in value)
            elif keyword == "$ref" and value in self._shapes and value not in inside:
                yield from self.of(self._shapes[value], at, (*inside, value))
            elif keyword in ("unevaluatedProperties", "unevaluatedItems"):
                yield here, schema, value
            elif together := next((keywords for keywords in TOGETHER if keyword in keywords), ()):
                group = {key: schema[key] for key in together if key in schema}
                if keyword == next(iter(group)):
                    yield here, group, group
            elif keyword in ("$ref", "$dynamicRef") or not keyword.startswith(("x-", "$")):
                yield here, {keyword: value}, value


def _reason(place: str, was: Any, is_: Any) -> str:
    keyword = place.rpartition("/")[2]
    if is_ is False:
        return "refuses everything now"
    if keyword == "required":
        return f"{is_!r} became required"
    if keyword == "enum" and isinstance(was, list):
        return f"no longer accepts {', '.join(repr(value) for value in was if value not in is_)}"
    if was == is_:
        return "accepts less than before"
    return f"was {'absent' if was is None else _short(was)}, is {_short(is_)}"


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= WIDTH else text[:WIDTH] + "..."


def _field(place: str) -> str:
    """The pointer of the payload field that a pointer leads into; empty when it leads to none."""
    steps = place.split("/")
    return "/".join(steps[:3]) if steps[1:2] == ["properties"] else ""


def _witnesses(old: Schema, new: Schema, old_shared: Schema, new_shared: Schema) -> Iterator[Difference]:
    """Payloads that the old schema accepts and the new one refuses, found by trying."""
    before, after = Checker(old_shared), Checker(new_shared)
    examples = [example for example in old.get("examples", ()) if isinstance(example, dict)] or [{}]
    fields = sorted({f.name for f in (*declared_fields(old, old_shared), *declared_fields(new, new_shared))})
    payloads = [*examples, *({**example, field: value} for example in examples for field in fields for value in PROBES)]
    found: set[str] = set()
    for payload in payloads:
        if before.accepts(payload, old) and (fault := next(after.faults(payload, new), None)):
            place = "".join(f"/properties/{field}" for field in fault[0].split("/")[1:2])
            if place not in found:
                found.add(place)
                yield Difference(place, "incompatible", f"refuses {payload!r}, which was accepted: {fault[1]}")


def _projection_changes(old: Schema, new: Schema) -> Iterator[Difference]:
    at = "/x-projection"
    if old.get("stream") != new.get("stream"):
        reason = f"was {old.get('stream')!r}: stored events would change another stream"
        yield Difference(f"{at}/stream", "incompatible", reason)
    if new.get("requiredSubjects", 0) > old.get("requiredSubjects", 0):
        reason = f"was {old.get('requiredSubjects', 0)}: events with fewer subjects would be refused"
        yield Difference(f"{at}/requiredSubjects", "incompatible", reason)
    if old.get("operations") != new.get("operations"):
        reason = "the effect changed: the graph agrees with it after a rebuild"
        yield Difference(f"{at}/operations", "note", reason)
