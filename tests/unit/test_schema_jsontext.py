"""JSON numbers keep their value, not their spelling."""

from __future__ import annotations

import math
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holonstream.schemas.errors import BadData
from holonstream.schemas.jsontext import decode, encode, encode_sorted


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1", 1),
        ("1.0", 1),
        ("1e3", 1000),
        ("1E+3", 1000),
        ("10000e-4", 1),
        ("-0", 0),
        ("-0.0", 0),
        ("0e9", 0),
        ("0.5", 0.5),
        ("1.5e300", int(Decimal("1.5e300"))),
        ("123456789012345678901234567890", 123456789012345678901234567890),
        ("123456789012345678901234567890.0", 123456789012345678901234567890),
        ("9007199254740993", 9007199254740993),
        ("1.0000000000000000000001", 1),
        ("1e-400", 0),
        ("2.5e-324", 5e-324),
        ("0e5000", 0),
        ("1e-16383", 0),
        ("9" * 400 + ".5", int("9" * 400)),  # where a float does not reach
        ("1e3999", 10**3999),
    ],
)
def test_a_number_keeps_its_value(text: str, value: Any) -> None:
    decoded = decode(text)
    assert decoded == value
    assert type(decoded) is type(value)


@pytest.mark.parametrize(
    "text",
    [
        *("1e4000", "-1e999999999", "1e9999999999999999999", "0e-9999999999999999999", "1e-16384", "9" * 4001 + ".5"),
        *("NaN", "Infinity", "1.", "01", "{", "", "tru", "[" * 20_000),
    ],
)
def test_invalid_json_and_too_large_numbers_are_refused(text: str) -> None:
    with pytest.raises(BadData, match="Invalid JSON"):
        decode(text)


def test_bytes_that_are_no_utf8_are_refused() -> None:
    with pytest.raises(BadData, match="Invalid JSON"):
        decode(b'"\xff"')


@given(
    st.decimals(allow_nan=False, allow_infinity=False).filter(lambda number: number.adjusted() < 300),
    st.sampled_from(["{}", '[{}, "x"]', '{{"a": {}}}']),
)
def test_decoding_again_changes_nothing(number: Decimal, form: str) -> None:
    text = form.format(f"{number:E}")
    value = decode(text)
    assert repr(decode(encode(value))) == repr(value)
    leaf = value[0] if isinstance(value, list) else value["a"] if isinstance(value, dict) else value
    assert math.isclose(leaf, number, rel_tol=1e-15, abs_tol=1e-300)


@given(st.dictionaries(st.text(), st.integers()))
def test_equal_values_have_equal_sorted_text(value: dict[str, int]) -> None:
    turned = dict(reversed(value.items()))
    assert encode_sorted(value) == encode_sorted(turned)
    assert decode(encode_sorted(value)) == value
