"""Instants as text: ISO-8601 in UTC, ``2024-03-01T08:00:00.000Z``.

Kept to the microsecond, written with milliseconds unless there is more. Text is what travels and what states hold;
comparisons go through `parse`, since texts of different width do not sort as instants.
"""

from __future__ import annotations

from datetime import UTC, datetime, time

from schemas.errors import InvalidEvent


def parse(text: str) -> datetime:
    """The instant that `text` names; a date alone is its midnight, a time without zone is UTC.

    Raises InvalidEvent when it names none.
    """
    try:
        instant = datetime.fromisoformat(text)
    except (ValueError, TypeError):
        raise InvalidEvent(f"Not an instant: {text!r} (expected ISO-8601, such as 2024-03-01T08:00:00.000Z)") from None
    if instant.tzinfo is UTC:
        return instant
    return instant.replace(tzinfo=UTC) if instant.tzinfo is None else instant.astimezone(UTC)


def render(instant: datetime) -> str:
    """The canonical text of an instant."""
    instant = instant.astimezone(UTC)
    precision = "milliseconds" if instant.microsecond % 1000 == 0 else "microseconds"
    return datetime.combine(instant.date(), time(
        instant.hour, instant.minute, instant.second, instant.microsecond
    )).isoformat(timespec=precision) + "Z"


def canonical(text: str) -> str:
    """The same instant in canonical text. Raises InvalidEvent when `text` is no instant."""
    return render(parse(text))


def now() -> str:
    """The present instant."""
    return render(datetime.now(UTC))
