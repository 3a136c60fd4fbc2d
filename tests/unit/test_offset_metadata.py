"""The metadata of a committed offset."""

from __future__ import annotations

import pytest

from holonstream.schemas.offset_metadata import OffsetMetadata

ID = "DtMNUgp2QyCHcirxGTQukA"


@pytest.mark.parametrize("position", [None, 0, 123, 2**63 - 1])
@pytest.mark.parametrize("topic_id", [None, ID, "+/" * 11, "_-" * 11])
@pytest.mark.parametrize("partitions", [None, 1, 12, 999_999_999])
@pytest.mark.parametrize("log_id", [None, "7563912830412839283-16384", f"{2**64 - 1}-{2**32 - 1}"])
@pytest.mark.parametrize("parked", [None, 0, 3])
def test_what_is_written_is_read(
    position: int | None, topic_id: str | None, partitions: int | None, log_id: str | None, parked: int | None
) -> None:
    known = partitions if topic_id else None
    metadata = OffsetMetadata(position, topic_id, known, log_id if known else None, parked if topic_id else None)
    assert OffsetMetadata.parse(metadata.text()) == metadata
    assert OffsetMetadata.parse(metadata.text() + "\0") == metadata


@pytest.mark.parametrize(
    ("text", "position", "topic_id"),
    [
        ("41", 41, None),
        ("", None, None),
        (None, None, None),
        ("somebody's", None, None),
        (f"7 {ID}garbage", 7, ID),
        (f"7 {ID} 12", 7, ID),
        (f"7 {ID} {10**9};", 7, ID),
        (f"7 {ID} {10**9}; 1-2;", 7, ID),
        (str(2**63 - 1), 2**63 - 1, None),
        (str(2**63), None, None),
        ("1" * 30, None, None),
        ("٤١", None, None),
    ],
)
def test_what_earlier_versions_and_others_wrote_is_read(
    text: str | None, position: int | None, topic_id: str | None
) -> None:
    assert OffsetMetadata.parse(text) == (position, topic_id, None, None, None)


def test_a_log_id_that_is_cut_off_is_none() -> None:
    assert OffsetMetadata.parse(f"7 {ID} 12; 123-45") == (7, ID, 12, None, None)


@pytest.mark.parametrize("parked", ["parked=", "parked=1", "parked=-1;", f"parked={10**9};", "parked=1;garbage"])
def test_how_many_are_parked_is_read_whole_or_not_at_all(parked: str) -> None:
    expected = 1 if parked.startswith("parked=1;") else None
    assert OffsetMetadata.parse(f"7 {ID} {parked}") == (7, ID, None, None, expected)
