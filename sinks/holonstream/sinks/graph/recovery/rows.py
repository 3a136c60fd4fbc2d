"""An entity as the graph should hold it and as it does, in one form that can be compared: pure.

A row is a JSON object. Of a holon: ``labels`` (sorted) and ``properties``; of a relationship: ``type``, ``source``,
``target`` and ``properties``. Properties have their stored names (`sinks.graph.mapping`). What is stored as JSON text
is shown as ``{"json": value}``, as two texts of one value are no difference; instants are canonical text. A value of a
kind that the sink never stores is shown as ``{"neo4j": kind, "value": text}``, and so differs from all that it does.
The digest is made of the stored texts, so it is left out, and only shown where it does not fit the rest of its row.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from holonstream.schemas.operation import ABSENT
from holonstream.schemas.state import Holon, State
from holonstream.sinks.graph.mapping import INSTANTS, canonical_instant, holon_row, is_whole, relationship_row

Row = dict[str, Any]

BOOKKEEPING = frozenset({"properties._version", "properties._position", "properties._lastModified"})
"""Fields that every event changes: they do not show where a difference began."""

DIGEST = "properties._digest"
_PLAIN = frozenset({str, int, float, bool})
_encode = msgspec.json.Encoder(order="sorted").encode


@dataclass(frozen=True, slots=True)
class FieldDifference:
    """A field in which log and graph differ; ABSENT on the side that does not have it."""

    field: str
    log: Any
    graph: Any


def canonical_text(row: Row | None) -> bytes:
    """The canonical text of a row: equal for equal rows and for no others (1, 1.0 and true are different).

    Rows are compared as soon as both are there, and none is kept, so a digest of the text would save nothing.
    """
    return _encode(row)


def of_state(state: State | None) -> Row | None:
    """What the graph should hold of an entity."""
    if state is None:
        return None
    if isinstance(state, Holon):
        row = holon_row(state)
        return {"labels": sorted(["Holon", row["t"]]), "properties": _canonical(row["p"], fits=True)}
    row = relationship_row(state)
    return {"type": row["t"], "source": row["s"], "target": row["e"], "properties": _canonical(row["p"], fits=True)}


def of_node(labels: Sequence[str], properties: dict[str, Any]) -> Row | None:
    """What the graph holds of a node, as verify_holons reads it; None for a bare end."""
    if list(labels) == ["Holon"] and {name for name, value in properties.items() if value is not None} == {"_id"}:
        return None
    return {"labels": sorted(labels), "properties": _canonical(properties, fits=is_whole(properties, labels))}


def of_edge(
    type: str, source_is_holon: bool, source: Any, target_is_holon: bool, target: Any, properties: dict[str, Any]
) -> Row:
    """What the graph holds of a relationship, as verify_relationships reads it."""
    return {
        "type": type,
        "source": _end(source, source_is_holon),
        "target": _end(target, target_is_holon),
        "properties": _canonical(properties, fits=is_whole(properties, (type,), str(source), str(target))),
    }


def version_of(row: Row | None) -> int:
    """The version that a row claims, 0 when it claims none."""
    version = None if row is None else row["properties"].get("_version")
    return version if type(version) is int else 0


def fields(row: Row | None) -> dict[str, Any]:
    """The fields of a row by name: ``labels``, ``properties.rank`` ..."""
    if row is None:
        return {}
    flat = {name: value for name, value in row.items() if name != "properties"}
    return flat | {f"properties.{name}": value for name, value in row["properties"].items()}


def differences(log: Row | None, graph: Row | None) -> list[FieldDifference]:
    """The fields in which two rows differ, by name; a digest only when nothing else does, else it cannot fit."""
    wanted, found = fields(log), fields(graph)
    differing = [
        FieldDifference(name, wanted.get(name, ABSENT), found.get(name, ABSENT))
        for name in sorted(wanted.keys() | found.keys())
        if not same(wanted.get(name, ABSENT), found.get(name, ABSENT))
    ]
    return [difference for difference in differing if difference.field != DIGEST] or differing


def same(one: Any, other: Any) -> bool:
    """Whether two values are the same, type and all."""
    if one is ABSENT or other is ABSENT:
        return one is other
    return _encode(one) == _encode(other)


def shown(value: Any) -> str:
    """A value for people, on one line."""
    return "absent" if value is ABSENT else msgspec.json.encode(value).decode()


def _canonical(properties: Mapping[str, Any], *, fits: bool) -> dict[str, Any]:
    p = {name: value for name, value in properties.items() if value is not None}
    p.pop("_digest", None)
    if not fits:
        p["_digest"] = "does not fit"
    for name in INSTANTS:
        if isinstance(p.get(name), str):
            p[name] = canonical_instant(p[name])
    for name, value in p.items():
        if type(value) not in _PLAIN:
            p[name] = _shown(value)
    encoded = p.get("_json")
    if isinstance(encoded, list) and all(isinstance(name, str) for name in encoded):
        p["_json"] = sorted(encoded)
        for name in set(encoded) & p.keys():
            p[name] = _decoded(p[name])
    if "_odd" in p:
        p["_odd"] = _decoded(p["_odd"])
    return p


def _shown(value: Any) -> Any:
    if isinstance(value, list):
        return [_shown(item) for item in value]
    if value is None or type(value) in _PLAIN:
        return value
    return {"neo4j": type(value).__name__, "value": str(value)}


def _decoded(stored: Any) -> Any:
    try:
        return {"json": msgspec.json.decode(stored)}
    except (msgspec.DecodeError, TypeError, RecursionError):
        return {"no json": stored}


def _end(identity: Any, is_holon: bool) -> Any:
    return _shown(identity) if is_holon else {"neo4j": "no :Holon", "value": str(identity)}
