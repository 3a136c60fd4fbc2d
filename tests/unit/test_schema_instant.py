"""Instants as text, and the schema pattern for them."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from holonstream.schemas import instant
from holonstream.schemas.errors import InvalidEvent
from holonstream.schemas.vocabulary import vocabulary

PATTERN = re.compile(vocabulary()["$defs"]["instant"]["pattern"])


def is_instant(text: str) -> bool:
    try:
        instant.parse(text)
    except InvalidEvent:
        return False
    return True


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("2024-03-01", "2024-03-01T00:00:00.000Z"),
        ("2024-03-01T08:00", "2024-03-01T08:00:00.000Z"),
        ("2024-03-01 08:00:00", "2024-03-01T08:00:00.000Z"),
        ("2024-03-01T08:00:00Z", "2024-03-01T08:00:00.000Z"),
        ("2024-03-01T08:00:00.1Z", "2024-03-01T08:00:00.100Z"),
        ("2024-03-01T08:00:00,1Z", "2024-03-01T08:00:00.100Z"),
        ("2024-03-01T08:00:00.123456Z", "2024-03-01T08:00:00.123456Z"),
        ("2024-03-01T08:00:00.123456789Z", "2024-03-01T08:00:00.123456Z"),
        ("2024-03-01T01:00:00+02:00", "2024-02-29T23:00:00.000Z"),
        ("2024-03-01T01:00:00+0200", "2024-02-29T23:00:00.000Z"),
        ("2024-03-01T23:30:00-02", "2024-03-02T01:30:00.000Z"),
        ("2024-03-01T23:59+1559", "2024-03-01T08:00:00.000Z"),
        ("0001-01-01", "0001-01-01T00:00:00.000Z"),
        ("9999-12-31T23:59:59.999999Z", "9999-12-31T23:59:59.999999Z"),
    ],
)
def test_canonical_text(text: str, canonical: str) -> None:
    assert instant.canonical(text) == canonical
    assert instant.canonical(canonical) == canonical
    assert PATTERN.search(text)


@pytest.mark.parametrize(
    "text",
    [
        "", "now", "20240301", "2024-W09-5", "2024-3-1", "2024-03-01Z", "2024-03-01T", "2024-03-01T08",
        "2024-03-01x08:00", "2024-03-01T0800", "2024-03-01T24:00:00Z", "2024-03-01T08:60:00Z", "2024-03-01T08:00:60Z",
        "2024-13-01", "2024-04-31", "2023-02-29", "1900-02-29", "2024-02-30", "0000-01-01", "2024-03-01\n",
        " 2024-03-01",
        "2024-03-01T08:00:00 +02:00", "2024-03-01T08:00:00+24:00", "2024-03-01T08:00:00z", "\uff12024-03-01",
        "2024-03-01T08:00:00.1234567890Z", "2024-03-01T08:00:00+16:00", "2024-03-01T08:00:00+05:60",
    ],
)  # fmt: skip
def test_a_text_that_is_no_instant_is_refused(text: str) -> None:
    with pytest.raises(InvalidEvent, match="Not an instant: "):
        instant.parse(text)
    assert not PATTERN.search(text)


@pytest.mark.parametrize("value", [None, 5, True, b"2024-03-01", ["2024-03-01"]])
def test_a_value_that_is_no_text_is_refused(value: object) -> None:
    with pytest.raises(InvalidEvent, match="Not an instant: "):
        instant.parse(value)  # type: ignore[arg-type]


@pytest.mark.parametrize("text", ["0001-01-01T00:00:00+00:01", "9999-12-31T23:59:59-00:01"])
def test_an_instant_out_of_range_is_refused(text: str) -> None:
    with pytest.raises(InvalidEvent, match="Not an instant: "):
        instant.parse(text)


def test_the_pattern_knows_the_length_of_every_month() -> None:
    for year in (1, 4, 100, 400, 1900, 1999, 2000, 2023, 2024, 2100, 9999):
        for month in range(0, 14):
            for day in range(0, 33):
                text = f"{year:04}-{month:02}-{day:02}"
                assert bool(PATTERN.search(text)) == is_instant(text), text


@given(
    st.from_regex(
        r"20[0-9]{2}-[01][0-9]-[0-3][0-9]"
        r"([T ][0-2][0-9]:[0-5][0-9](:[0-9]{2}([.,][0-9]{1,10})?)?(Z|[+-][0-9]{2}:?([0-9]{2})?)?)?"
    )
)
@example("2024-03-01T08:00+05")
def test_the_pattern_accepts_what_the_fold_accepts(text: str) -> None:
    assert bool(PATTERN.search(text)) == is_instant(text)


@given(
    st.datetimes(min_value=datetime(2, 1, 1), max_value=datetime(9998, 12, 31)),
    st.integers(-14 * 60, 14 * 60),
)
def test_rendered_text_reads_back(moment: datetime, offset: int) -> None:
    aware = moment.replace(tzinfo=timezone(timedelta(minutes=offset)))
    assert instant.parse(instant.render(aware)) == aware
    assert instant.canonical(aware.isoformat()) == instant.render(aware)
    assert PATTERN.search(instant.render(aware))


def test_now_is_now() -> None:
    before = datetime.now(UTC)
    assert before <= instant.parse(instant.now()) <= datetime.now(UTC)
