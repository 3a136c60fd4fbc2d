"""JSON text to values and back: the same values, whichever store the text went through.

PostgreSQL's jsonb keeps a number by its value and not by its spelling (1e3 comes back as 1000), so a number that is
whole becomes an int of any size, whatever its spelling, and every other one the nearest float, or the nearest int where
a float does not reach (1.8e308). The log takes numbers of at most 4,000 digits before the point.
"""

from __future__ import annotations

import json
import re
from decimal import Decimal, InvalidOperation
from math import isinf
from typing import Any

import msgspec

from holonstream.schemas.errors import BadData

MAX_DIGITS = 4000  # before the point; CPython refuses to print beyond 4,300
MAX_SCALE = 16_383  # digits after the point, zeros too: as many as PostgreSQL keeps
MAX_EXPONENT = 2**30 - 1  # of a zero, which may have any below this (PostgreSQL 16 takes one more)


def number(literal: str) -> int | float:
    """The value of a JSON number. Raises ValueError when the log would not take it."""
    try:
        exact = Decimal(literal)
    except InvalidOperation:  # an exponent of 19 digits
        raise ValueError(f"number out of range: {literal[:40]}") from None
    scale = -int(exact.as_tuple().exponent)
    if (exact and exact.adjusted() >= MAX_DIGITS) or not -MAX_EXPONENT < scale <= MAX_SCALE:
        raise ValueError(f"number out of range: {literal[:40]}")
    if exact == exact.to_integral_value():
        return int(exact) if exact else 0
    nearest = float(exact)
    return int(exact if isinf(nearest) else nearest) if isinf(nearest) or nearest.is_integer() else nearest


_NOT_ASCII = re.compile(r"[^\x00-\x7f]+")
_decoder = msgspec.json.Decoder(float_hook=number)
# A Decimal is a number to JSON Schema, and so it is written as one; msgspec's default is text.
_encoder = msgspec.json.Encoder(decimal_format="number")
_sorting_encoder = msgspec.json.Encoder(decimal_format="number", order="sorted")


def decode(text: bytes | str) -> Any:
    """The value of a JSON text. Raises BadData when it is none."""
    try:
        return _decoder.decode(text)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise BadData(f"Invalid JSON: {error}") from error


def encode(value: Any) -> bytes:
    """Compact JSON text, UTF-8."""
    return _encoder.encode(value)


def as_ascii(text: str) -> str:
    """The same JSON with every other character as an escape."""
    return text if text.isascii() else _NOT_ASCII.sub(lambda run: json.dumps(run[0])[1:-1], text)


def encode_sorted(value: Any) -> bytes:
    """Compact JSON text with sorted keys: equal values give equal text."""
    return _sorting_encoder.encode(value)
