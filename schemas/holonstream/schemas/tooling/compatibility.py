"""``schemas diff``: would a new schema refuse something that the old one accepted?

Conservative: a change is compatible only when that follows from the two schemas; what cannot be decided is said to be
undecided, unless a payload that the old accepts and the new refuses is found by trying.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from holonstream.schemas.jsontext import encode_sorted
from holonstream.schemas.tooling.expansion import Schema, conjunction, expand
from holonstream.schemas.tooling.inclusion import Gap, included
from holonstream.schemas.tooling.jsonschemas import Checker
from holonstream.schemas.vocabulary import vocabulary

PROBES: Sequence[Any] = (None, False, True, 0, 1, -1.5, "", "x", "2024-03-01", [], [1], ["x"], {}, {"a": 1})

Verdict = Literal["incompatible", "undecided", "note"]


@dataclass(frozen=True, slots=True)
class Finding:
    """A difference, at a JSON pointer into the new schema (references followed)."""

    pointer: str
    verdict: Verdict
    reason: str

    def __str__(self) -> str:
        return f"{self.verdict} #{self.pointer}: {self.reason}"


def differences(
    old: Mapping[str, Any],
    new: Mapping[str, Any],
    *,
    old_shared: Mapping[str, Any] | None = None,
    new_shared: Mapping[str, Any] | None = None,
) -> list[Finding]:
    """What a change of an event's schema means; compatible when all are notes.

    `old_shared` and `new_shared` are the vocabularies that the schemas refer to, by default the one that ships.
    """
    shared = vocabulary()
    if encode_sorted([old, old_shared or shared]) == encode_sorted([new, new_shared or shared]):
        return []
    before = expand(old, old, old_shared or shared)
    after = expand(new, new, new_shared or shared)
    gaps = list(included(conjunction(before), conjunction(after), "", Checker()))
    if any(not gap.certain for gap in gaps):
        gaps += _witnesses(old, before, after)
    certain = [gap.pointer for gap in gaps if gap.certain]
    findings = [
        Finding(gap.pointer, "incompatible" if gap.certain else "undecided", gap.reason)
        for gap in gaps
        if gap.certain or not _settled(gap.pointer, certain)
    ]
    findings += _projection_changes(old.get("x-projection", {}), new.get("x-projection", {}))
    return list(dict.fromkeys(findings))


def compatible(findings: Sequence[Finding]) -> bool:
    """Whether nothing that was accepted would be refused."""
    return all(finding.verdict == "note" for finding in findings)


def removed(file: str) -> Finding:
    """The difference when a file is gone."""
    return Finding("", "incompatible", f"{file} is gone: every event of this version would be refused")


def _witnesses(old: Mapping[str, Any], before: Schema, after: Schema) -> Iterator[Gap]:
    """Payloads that the old schema accepts and the new one refuses, found by trying."""
    checker = Checker()
    examples = [example for example in old.get("examples", ()) if isinstance(example, dict)] or [{}]
    fields = sorted({field for schema in (before, after) for field in _fields(schema)})
    payloads = [*examples, *({**example, field: value} for example in examples for field in fields for value in PROBES)]
    found: set[str] = set()
    for payload in payloads:
        if checker.accepts(payload, before) and (fault := next(checker.faults(payload, after), None)):
            place = "".join(f"/properties/{field}" for field in fault[0].split("/")[1:2])
            if place not in found:
                found.add(place)
                yield Gap(place, True, f"refuses {payload!r}, which was accepted: {fault[1]}")


def _settled(undecided: str, certain: Sequence[str]) -> bool:
    """Whether a doubt about a field needs no mention, since the field has a certain finding."""
    field = undecided.rpartition("/")[0]
    return field != "" and any(pointer.startswith(field) for pointer in certain)


def _fields(schema: Schema) -> Iterator[str]:
    yield from schema.get("properties", ())
    for keyword in ("allOf", "anyOf", "oneOf"):
        for member in schema.get(keyword, ()):
            yield from _fields(member)
    for keyword in ("if", "then", "else"):
        if keyword in schema:
            yield from _fields(schema[keyword])


def _projection_changes(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Finding]:
    at = "/x-projection"
    if old.get("stream") != new.get("stream"):
        reason = f"was {old.get('stream')!r}: stored events would change another stream"
        yield Finding(f"{at}/stream", "incompatible", reason)
    if new.get("requiredSubjects", 0) > old.get("requiredSubjects", 0):
        reason = f"was {old.get('requiredSubjects', 0)}: events with fewer subjects would be refused"
        yield Finding(f"{at}/requiredSubjects", "incompatible", reason)
    if old.get("operations") != new.get("operations"):
        reason = "the effect changed: the graph agrees with it after a rebuild"
        yield Finding(f"{at}/operations", "note", reason)
