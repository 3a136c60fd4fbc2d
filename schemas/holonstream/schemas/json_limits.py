"""What JSON values an event may hold (docs/appending.md, The envelope): what every reader of the log can take.

The log refuses the same (``is_small`` and ``refuse_invalid`` in append.sql), and what jsonb itself cannot hold.
"""

from __future__ import annotations

from decimal import Decimal
from math import isfinite
from typing import Any

from holonstream.schemas.jsontext import MAX_DIGITS

MAX_LEVELS = 200  # of lists and objects in a payload; msgspec takes 1,000
BEYOND = 10**MAX_DIGITS


def fault(value: Any, levels: int = MAX_LEVELS) -> str | None:
    """Why the log does not take a JSON value, None when it does. Lists and objects may be nested `levels` deep."""
    layer, depth = [value], 0
    while layer:
        inner: list[Any] = []
        for item in layer:
            if isinstance(item, dict):
                inner += item.keys()
                inner += item.values()
            elif isinstance(item, list | tuple):
                inner += item
            elif problem := _scalar_fault(item):
                return problem
        if depth > levels:
            return f"payload or causalLinks are nested more than {MAX_LEVELS} levels deep"
        layer, depth = inner, depth + 1
    return None


def is_unicode(text: str) -> bool:
    """Whether a text can be sent to a server: Python's may hold halves of surrogate pairs, which have no UTF-8."""
    return text.isascii() or not any("\ud800" <= character <= "\udfff" for character in text)


def _scalar_fault(value: Any) -> str | None:
    if isinstance(value, str):
        if "\0" in value:
            return "holds the character U+0000"
        if not is_unicode(value):
            return "holds half of a surrogate pair"
    elif (isinstance(value, float) and not isfinite(value)) or (isinstance(value, Decimal) and not value.is_finite()):
        return f"holds a number that JSON does not have: {value}"
    elif isinstance(value, int | Decimal) and not -BEYOND < value < BEYOND:
        return f"payload or causalLinks hold a number of more than {MAX_DIGITS} digits"
    return None
