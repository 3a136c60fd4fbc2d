"""Entries of the cache as bytes."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holonstream.schemas.state import Holon
from holonstream.sinks.cache.entry import (
    HEADER,
    SLOTS,
    decode_value,
    encode_holon,
    new_generation,
    origin_of,
    partition_text,
    position_of,
    position_text,
    slot_of,
)

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**60), 10**60)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner, max_size=3)
    ),
    max_leaves=8,
)
holons = st.builds(
    Holon,
    id=st.text(st.characters(exclude_categories=["Cs"]), min_size=1),
    type=st.just("Person"),
    properties=st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), json_values, max_size=4),
    status=st.sampled_from(["active", "inactive"]),
    created_at=st.just("2024-03-01T08:00:00.000Z"),
    created_by=st.text(st.characters(exclude_categories=["Cs"])),
    source_documents=st.tuples() | st.tuples(st.just("doc-1"), st.just("doc-2")),
    last_modified=st.just("2024-03-01T08:00:00.001Z"),
    version=st.integers(1, 2**31),
    position=st.integers(1, 2**63 - 1),
)


GENERATION = "0123456789ab"
ORIGIN = b"0123456789ab00007"


def encode_value(holon: Holon) -> bytes:
    """As the script that fills puts it together."""
    return b"V%020d%b%b" % (holon.position, ORIGIN, encode_holon(holon))


@given(holons)
def test_a_holon_comes_back_as_it_went_in(holon: Holon) -> None:
    entry = encode_value(holon)
    back = decode_value(entry, holon.id)
    assert back == holon
    assert repr(back) == repr(holon), "1 and 1.0 and True are equal, but not the same value"
    assert position_of(entry) == holon.position
    assert origin_of(entry) == (GENERATION, 7)


def test_an_entry_of_another_release_is_no_holon() -> None:
    assert decode_value(b"V00000000000000000007" + ORIGIN + b'{"id":"p-1","kind":"Person"}', "p-1") is None
    assert decode_value(b"V00000000000000000007" + ORIGIN, "p-1") is None
    assert decode_value(b"V00000000000000000007" + ORIGIN + b"[" * 100_000, "p-1") is None
    assert decode_value(b"V00000000000000000007" + ORIGIN + b'{"id":"\xff"}', "p-1") is None


@given(holons, st.binary())
def test_an_entry_of_another_holon_or_with_another_position_is_no_holon(holon: Holon, garbage: bytes) -> None:
    entry = encode_value(holon)
    assert decode_value(entry, holon.id + "x") is None
    assert decode_value(b"V%020d" % (holon.position - 1) + ORIGIN + entry[HEADER:], holon.id) is None
    assert decode_value(garbage, holon.id) is None


@pytest.mark.parametrize("entry", [b"", b"V", b"garbage", b"T123", b"T" + 20 * b"x", b"T" + 20 * b"9", b"\xff" * 40])
def test_what_is_no_entry_has_no_position(entry: bytes) -> None:
    assert position_of(entry) is None


@pytest.mark.parametrize("origin", [b"", ORIGIN[:-1], b"0123456789ab1234x", b"0123456789ab-1234"])
def test_what_does_not_say_where_it_comes_from_has_no_origin(origin: bytes) -> None:
    assert origin_of(b"T%020d" % 7 + origin) is None


def test_an_origin_has_a_fixed_width_and_no_generation_comes_twice() -> None:
    generations = {new_generation() for _ in range(1_000)}
    assert len(generations) == 1_000
    assert {len(generation + partition_text(99_999)) for generation in generations} == {len(ORIGIN)}


def test_positions_compare_as_text_beyond_what_a_double_holds() -> None:
    positions = [0, 9, 10, 2**53, 2**53 + 1, 2**63 - 1]
    texts = [position_text(p) for p in positions]
    assert texts == sorted(texts)
    assert {len(t) for t in texts} == {20}
    assert len(set(texts)) == len(texts)


def test_slots_are_four_digits_and_spread() -> None:
    slots = [slot_of(f"person-{n}") for n in range(20_000)]
    assert {len(s) for s in slots} == {4}
    assert max(map(int, slots)) < SLOTS
    assert len(set(slots)) > 0.98 * SLOTS * (1 - math.exp(-20_000 / SLOTS))
