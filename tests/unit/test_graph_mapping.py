"""States to Neo4j rows and back, exactly; what a row holds is what Neo4j can hold."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holonstream.schemas import instant
from holonstream.schemas.errors import CannotApply
from holonstream.schemas.state import Holon, Relationship
from holonstream.sinks.graph.mapping import (
    check_ids,
    holon_of,
    holon_row,
    is_native,
    relationship_of,
    relationship_row,
    stored_name,
)

_text = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
_keys = st.one_of(
    _text,
    st.sampled_from(
        ["", "_", "__", "_id", "__id", "_json", "_odd", "_version", "a.b", "`", "$p", "a\0b", "n" * 10_001]
    ),
)
_scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.sampled_from([0, 1, 2**63, 2**63 - 1, -(2**63), -(2**63) - 1, 10**300]),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from([0.0, 1.0, 1e300, 5e-324]),
    _text,
    st.sampled_from(["null", "[]", '{"a":1}', "2024-03-01T08:00:00.000Z"]),
)
_values = st.recursive(_scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_keys, inner, max_size=3))
_properties = st.dictionaries(_keys, _values, max_size=6)
_instants = st.datetimes().map(lambda moment: instant.canonical(moment.isoformat()))
_ids = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)
_places = st.integers(1, 2**62)

holons = st.builds(
    Holon,
    id=_ids,
    type=st.sampled_from(["Person", "Organization"]),
    properties=_properties,
    status=st.sampled_from(["active", "inactive", "archived"]),
    created_at=_instants,
    created_by=_ids,
    source_documents=st.lists(_text, max_size=2).map(tuple),
    last_modified=_instants,
    version=_places,
    position=_places,
)
relationships = st.builds(
    Relationship,
    id=_ids,
    type=st.sampled_from(["OCCUPIES", "HAS"]),
    source=_ids,
    target=_ids,
    properties=_properties,
    effective_start=_instants,
    effective_end=st.none() | _instants,
    authority_level=st.sampled_from(["authoritative", "derived"]) | _scalars.filter(lambda v: v is not None),
    confidence_score=_scalars,
    source_system=_text,
    source_documents=st.lists(_text, max_size=2).map(tuple),
    created_by=_ids,
    last_modified=_instants,
    version=_places,
    position=_places,
)


def stored(p: dict[str, Any], instants: set[str]) -> dict[str, Any]:
    """What Neo4j gives back: instants without trailing zeros, and no nulls but those that a query names."""
    for name, value in p.items():
        assert name
        assert "\0" not in name
        assert name in instants or is_native(value), name
    shown = {name: _shown(value) if name in instants and value else value for name, value in p.items()}
    return {name: value for name, value in shown.items() if value is not None or name == "_effectiveEnd"}


def _shown(text: str) -> str:
    """As Neo4j's toString(datetime(...)) does."""
    whole, _, fraction = text[:-1].partition(".")
    return f"{whole}.{fraction.rstrip('0')}Z" if fraction.rstrip("0") else f"{whole}Z"


def exactly(value: Any) -> Any:
    """The value with its types, so that 1, 1.0 and True differ."""
    if isinstance(value, dict):
        return {key: exactly(item) for key, item in value.items()}
    if isinstance(value, list):
        return [exactly(item) for item in value]
    return (type(value), value)


@given(holons)
def test_a_holon_comes_back_as_it_was(holon: Holon) -> None:
    row = holon_row(holon)
    back = holon_of(["Holon", row["t"]], stored(row["p"], {"_createdAt", "_lastModified"}))
    assert back == holon
    assert exactly(back.properties) == exactly(holon.properties)
    assert holon_of([row["t"], "Holon"], stored(holon_row(holon)["p"], {"_createdAt", "_lastModified"})) == holon


@given(relationships)
def test_a_relationship_comes_back_as_it_was(relationship: Relationship) -> None:
    row = relationship_row(relationship)
    p = stored(row["p"], {"_effectiveStart", "_effectiveEnd", "_lastModified"})
    back = relationship_of(row["s"], row["t"], row["e"], p)
    assert back == relationship
    assert exactly(back.properties) == exactly(relationship.properties)


@given(_keys, _keys)
def test_names_never_meet(a: str, b: str) -> None:
    if stored_name(a) is not None and stored_name(a) == stored_name(b):
        assert a == b
    assert stored_name(a) not in {"_id", "_json", "_odd", "_status", "_version"}


@pytest.mark.parametrize(
    ("value", "native"),
    [
        (None, False),
        ({}, False),
        ([], True),
        ([1, 2], True),
        ([1, 2.0], False),
        ([1, True], False),
        ([True, False], True),
        ([None], False),
        ([[]], False),
        (["a", "b"], True),
        (["a", 1], False),
        (2**63, False),
        ([2**63], False),
        (-(2**63), True),
        (1.5, True),
        ("", True),
    ],
)
def test_what_neo4j_holds_as_it_is(value: Any, native: bool) -> None:
    assert is_native(value) is native


@given(holons)
def test_ids_that_cannot_be_indexed_are_refused(holon: Holon) -> None:
    check_ids(holon)
    for wrong in ("", "x" * 8001, "é" * 4001, "𝄞" * 2001):
        row = holon_row(holon)
        row["p"]["_id"] = wrong
        with pytest.raises(CannotApply, match=r"Empty id|Id too long"):
            check_ids(holon_of(["Holon", "Person"], row["p"]))
