"""Instants as text: ISO-8601 in UTC, ``2024-03-01T08:00:00.000Z``.

Kept to the microsecond, written with milliseconds unless there is more. Text is what travels and what states hold;
comparisons go through `parse`, since texts of different width do not sort as instants.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime

from holonstream.schemas.errors import InvalidEvent

# datetime.fromisoformat takes more (any separator, week dates, texts without dashes), which no other reader would.
# PostgreSQL takes zones up to 15:59. The log refuses every other form as well (`is_instant` in append.sql).
_SHAPE = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}"
    r"([T ]([01][0-9]|2[0-3]):[0-9]{2}(:[0-9]{2}([.,][0-9]{1,9})?)?(Z|[+-](0[0-9]|1[0-5])(:?[0-5][0-9])?)?)?"
)


def parse(text: str) -> datetime:
    """The instant that `text` names.

    A day alone is its midnight, a time without zone is UTC, digits beyond the microsecond are dropped.

    Raises InvalidEvent when it names none.
    """
    try:
        if _SHAPE.fullmatch(text):
            instant = datetime.fromisoformat(text)
            return instant.replace(tzinfo=UTC) if instant.tzinfo is None else instant.astimezone(UTC)
    except (ValueError, TypeError, OverflowError):
        pass
    raise InvalidEvent(f"Not an instant: {text!r} (expected ISO-8601, such as 2024-03-01T08:00:00.000Z)")


def render(instant: datetime) -> str:
    """The canonical text of an instant."""
    instant = instant.astimezone(UTC)
    precision = "milliseconds" if instant.microsecond % 1000 == 0 else "microseconds"
    return instant.replace(tzinfo=None).isoformat(timespec=precision) + "Z"


def canonical(text: str) -> str:
    """The same instant in canonical text. Raises InvalidEvent when `text` is no instant."""
    return render(parse(text))


def now() -> str:
    """The present instant."""
    return render(datetime.now(UTC))
