"""States as Neo4j rows and back: pure, and exact both ways.

A row is ``{"t": type, "p": properties}``, for a relationship also ``"s"`` and ``"e"``, the ids of its ends. In ``p``:

- system fields have one leading underscore (``_id``, ``_status``, ``_version`` ...); instants are text, which the
  statements turn into native datetimes, and read back as text;
- the entity's own properties have their plain names; one that starts with an underscore gets one more, so that no own
  name ever meets a system field;
- a value that Neo4j cannot hold (null, an object, a list that is nested or mixed or holds null, an integer beyond 64
  bits) is JSON text under its name, and ``_json`` lists these names;
- an own property whose name Neo4j cannot hold (empty, with a NUL, longer than MAX_NAME) goes into the JSON object
  ``_odd``;
- ``_digest`` is made of all the rest, type and ends too. While a transaction is being applied, Neo4j shows some old and
  some new properties: the digest does not fit such a row (`is_whole`).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from functools import wraps
from typing import Any, ParamSpec, TypeVar
from zlib import crc32

import msgspec

from holonstream.schemas.errors import CannotApply
from holonstream.schemas.state import Holon, Relationship, State

MAX_ID = 8000  # bytes of UTF-8: Neo4j's index takes 8,163 and no more
MAX_NAME = 10_000  # characters of a property's name
INSTANTS = ("_createdAt", "_lastModified", "_effectiveStart", "_effectiveEnd")

_INT_MIN, _INT_MAX = -(2**63), 2**63 - 1
_PLAIN = frozenset({str, int, float, bool})
_INSTANT_LENGTHS = (24, 27)  # characters: canonical text has milliseconds or microseconds
P = ParamSpec("P")
T = TypeVar("T")

_encode = msgspec.json.encode
_encode_sorted = msgspec.json.Encoder(order="sorted").encode
_decode = msgspec.json.decode  # not schemas.jsontext: a stored value must come back exactly, 1.0 as 1.0


class DamagedRow(Exception):
    """A row that is no state: another program has changed it, or it is being deleted."""


def holon_row(holon: Holon) -> dict[str, Any]:
    """A holon's row."""
    p: dict[str, Any] = {
        "_id": holon.id,
        "_status": holon.status,
        "_version": holon.version,
        "_position": holon.position,
        "_createdAt": holon.created_at,
        "_createdBy": holon.created_by,
        "_lastModified": holon.last_modified,
    }
    if holon.source_documents:
        p["_sourceDocuments"] = list(holon.source_documents)
    _put_own(p, holon.properties, [])
    p["_digest"] = _digest(p, holon.type)
    return {"t": holon.type, "p": p}


def relationship_row(relationship: Relationship) -> dict[str, Any]:
    """A relationship's row."""
    p: dict[str, Any] = {
        "_id": relationship.id,
        "_version": relationship.version,
        "_position": relationship.position,
        "_effectiveStart": relationship.effective_start,
        "_sourceSystem": relationship.source_system,
        "_createdBy": relationship.created_by,
        "_lastModified": relationship.last_modified,
    }
    if relationship.effective_end is not None:
        p["_effectiveEnd"] = relationship.effective_end
    encoded: list[str] = []
    _put(p, "_authorityLevel", relationship.authority_level, encoded)
    if relationship.confidence_score is not None:
        _put(p, "_confidenceScore", relationship.confidence_score, encoded)
    if relationship.source_documents:
        p["_sourceDocuments"] = list(relationship.source_documents)
    _put_own(p, relationship.properties, encoded)
    p["_digest"] = _digest(p, relationship.type, relationship.source, relationship.target)
    return {"t": relationship.type, "s": relationship.source, "e": relationship.target, "p": p}


def is_whole(p: dict[str, Any], labels: Sequence[str], *ends: str) -> bool:
    """Whether properties, as they were read, are those of one row; `labels` are a node's, or the type of an edge.

    Not so while the row is being written, or when another program has changed it.
    """
    names = [label for label in labels if label != "Holon"]
    if len(names) != 1:
        return False
    read = {name: value for name, value in p.items() if value is not None}
    digest = read.pop("_digest", None)
    for name in INSTANTS:
        if isinstance(stored := read.get(name), str):
            read[name] = canonical_instant(stored)
    try:
        return bool(digest == _digest(read, names[0], *ends))
    except TypeError:  # a value of a kind that is never stored
        return False


def own_labels(labels: Sequence[str], properties: Mapping[str, Any], types: Collection[str]) -> Sequence[str]:
    """A node's labels without those that other programs have put on it; `types` are the catalogue's."""
    if len(labels) == 2 and "_version" in properties:
        return labels  # the holon's type, which may be one of a newer catalogue
    return [label for label in labels if label == "Holon" or label in types]


def is_bare(labels: Sequence[str], properties: Mapping[str, Any]) -> bool:
    """Whether a node with these labels of our own is an end of relationships, and no holon."""
    return list(labels) == ["Holon"] and "_version" not in properties


def _damage_is_named(made: Callable[P, T]) -> Callable[P, T]:
    """Whatever goes wrong while a row becomes a state is damage of the row."""

    @wraps(made)
    def make(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return made(*args, **kwargs)
        except KeyError as error:
            raise DamagedRow(f"no property {error}") from error
        except (IndexError, TypeError, ValueError, AttributeError, RecursionError, msgspec.MsgspecError) as error:
            raise DamagedRow(f"{type(error).__name__}: {error}") from error

    return make


@_damage_is_named
def holon_of(labels: Sequence[str], p: dict[str, Any]) -> Holon:
    """The holon of a node's labels and properties, its instants as text. `p` is used up. Raises DamagedRow."""
    names = [label for label in labels if label != "Holon"]
    if len(names) != 1:
        raise DamagedRow(f"labels {sorted(labels)}")
    system, own = _split(p)
    holon = Holon(
        id=system["_id"],
        type=names[0],
        properties=own,
        status=system["_status"],
        created_at=canonical_instant(system["_createdAt"]),
        created_by=system["_createdBy"],
        source_documents=tuple(system.get("_sourceDocuments", ())),
        last_modified=canonical_instant(system["_lastModified"]),
        version=system["_version"],
        position=system["_position"],
    )
    _check_system(holon, system, holon.status)
    _check_instants(holon.created_at, holon.last_modified)
    return holon


@_damage_is_named
def relationship_of(source: str, type: str, target: str, p: dict[str, Any]) -> Relationship:
    """The relationship of an edge's ends, type and properties, its instants as text. `p` is used up.

    Raises DamagedRow.
    """
    system, own = _split(p)
    end = system.get("_effectiveEnd")
    relationship = Relationship(
        id=system["_id"],
        type=type,
        source=source,
        target=target,
        properties=own,
        effective_start=canonical_instant(system["_effectiveStart"]),
        effective_end=None if end is None else canonical_instant(end),
        authority_level=system["_authorityLevel"],
        confidence_score=system.get("_confidenceScore"),
        source_system=system["_sourceSystem"],
        source_documents=tuple(system.get("_sourceDocuments", ())),
        created_by=system["_createdBy"],
        last_modified=canonical_instant(system["_lastModified"]),
        version=system["_version"],
        position=system["_position"],
    )
    _check_system(relationship, system, source, target, relationship.source_system)
    _check_instants(relationship.effective_start, relationship.last_modified)
    if end is not None:
        _check_instants(relationship.effective_end)
    return relationship


def _check_system(state: State, system: dict[str, Any], *texts: Any) -> None:
    version, position = state.version, state.position
    if type(version) is not int or type(position) is not int or version < 1 or position < 1:
        raise DamagedRow(f"_version {version!r}, _position {position!r}")
    documents = system.get("_sourceDocuments", [])
    for text in (state.id, state.created_by, *texts, *documents):
        if type(text) is not str:
            raise DamagedRow(f"{text!r} where a text must be")
    if type(documents) is not list:
        raise DamagedRow(f"_sourceDocuments {documents!r}")


def _check_instants(*texts: str | None) -> None:
    for text in texts:
        if type(text) is not str or len(text) not in _INSTANT_LENGTHS or text[-1] != "Z":
            raise DamagedRow(f"{text!r} where an instant must be")


def check_ids(state: State) -> None:
    """Raises CannotApply when the state has no id, or one that is longer than Neo4j can index."""
    if not state.id:
        raise CannotApply(f"Empty id of a {type(state).__name__.lower()}")
    ids = (state.id,) if isinstance(state, Holon) else (state.id, state.source, state.target)
    for entity_id in ids:
        if len(entity_id) > MAX_ID // 4 and len(entity_id.encode()) > MAX_ID:
            raise CannotApply(
                f"Id too long: {entity_id[:40]!r}... has more than {MAX_ID} bytes, which Neo4j cannot index"
            )


def stored_name(name: str) -> str | None:
    """The Neo4j property that holds an own property of this name; None when it is kept in ``_odd``."""
    if not name or len(name) > MAX_NAME or "\0" in name:
        return None
    return "_" + name if name[0] == "_" else name


def is_native(value: Any) -> bool:
    """Whether Neo4j holds a JSON value as it is."""
    kind = type(value)
    if kind is int:
        return bool(_INT_MIN <= value <= _INT_MAX)
    if kind is list:
        kinds = set(map(type, value))
        if len(kinds) != 1:
            return not kinds
        (kind,) = kinds
        if kind is int:
            return all(_INT_MIN <= item <= _INT_MAX for item in value)
    return kind in (str, bool, float)


def _put(p: dict[str, Any], name: str, value: Any, encoded: list[str]) -> None:
    if is_native(value):
        p[name] = value
    else:
        p[name] = _encode(value).decode()
        encoded.append(name)


def _put_own(p: dict[str, Any], properties: dict[str, Any], encoded: list[str]) -> None:
    odd = {}
    for name, value in properties.items():
        if name and name[0] != "_" and len(name) < 256 and "\0" not in name:
            kind = type(value)  # the common case, kept short
            if kind is str or kind is bool or (kind is int and _INT_MIN <= value <= _INT_MAX):
                p[name] = value
            else:
                _put(p, name, value, encoded)
        elif (stored := stored_name(name)) is None:
            odd[name] = value
        else:
            _put(p, stored, value, encoded)
    if encoded:
        p["_json"] = encoded
    if odd:
        p["_odd"] = _encode(odd).decode()


def _split(p: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """System fields and own properties, decoded. Raises DamagedRow, and what decoding raises."""
    decoded = {name: _decode(p.pop(name)) for name in p.pop("_json", ())}
    for name, value in p.items():
        kind = type(value)
        if kind not in _PLAIN and value is not None and not (kind is list and set(map(type, value)) <= _PLAIN):
            raise DamagedRow(f"property {name!r} is a {kind.__name__}")
    system: dict[str, Any] = {}
    own: dict[str, Any] = {}
    for name, value in (p | decoded if decoded else p).items():
        if name[0] != "_":
            own[name] = value
        elif name[1:2] == "_":
            own[name[1:]] = value
        else:
            system[name] = value
    if odd := system.get("_odd"):
        own |= _decode(odd)
    return system, own


def _digest(p: dict[str, Any], *rest: str) -> int:
    # Not for security: it only distinguishes a mixture of two rows from either.
    return crc32(_encode_sorted((rest, p)))


def canonical_instant(text: str) -> str:
    """Canonical text of an instant (`schemas.instant`) from Neo4j's, which leaves out trailing zeros.

    A text that is not an instant, in a damaged row, stays as it is.
    """
    if len(text) == 24 or not text.endswith("Z"):
        return text
    whole, _, fraction = text[:-1].partition(".")
    return f"{whole}.{fraction.ljust(3 if len(fraction) <= 3 else 6, '0')}Z"
