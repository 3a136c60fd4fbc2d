"""JSON text to values and back: the same values, whichever store the text went through.

PostgreSQL's jsonb keeps a number by its value and not by its spelling (1e3 comes back as 1000), so a number that is
whole becomes an int of any size, whatever its spelling, and every other one the nearest float.
"""

from __future__ import annotations

from decimal import Decimal
from math import isfinite
from typing import Any

import msgspec

from holonstream.schemas.errors import BadData

MAX_DIGITS = 4000  # longest whole number taken; CPython refuses to print beyond 4,300


def number(literal: str) -> int | float:
    """The value of a JSON number. Raises ValueError when it is too large to be kept."""
    exact = Decimal(literal)
    if exact.adjusted() <= MAX_DIGITS:
        if exact == exact.to_integral_value():
            return int(exact)
        nearest = float(exact)
        if isfinite(nearest):
            return int(nearest) if nearest.is_integer() else nearest
    raise ValueError(f"number out of range: {literal[:40]}")


_decoder = msgspec.json.Decoder(float_hook=number)
_encoder = msgspec.json.Encoder()
_sorting_encoder = msgspec.json.Encoder(order="sorted")


def decode(text: bytes | str) -> Any:
    """The value of a JSON text. Raises BadData when it is none."""
    try:
        return _decoder.decode(text)
    except (msgspec.DecodeError, ValueError, UnicodeDecodeError) as error:
        raise BadData(f"Invalid JSON: {error}") from error


def encode(value: Any) -> bytes:
    """Compact JSON text, UTF-8."""
    return _encoder.encode(value)


def encode_sorted(value: Any) -> bytes:
    """Compact JSON text with sorted keys: equal values give equal text."""
    return _sorting_encoder.encode(value)
