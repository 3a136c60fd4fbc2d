"""The partitioner, compared with Kafka's own."""

from __future__ import annotations

import pytest
from aiokafka.partitioner import murmur2 as aiokafka_murmur2
from hypothesis import given
from hypothesis import strategies as st

from holonstream.schemas.partition import murmur2, partition_of


@pytest.mark.parametrize(
    ("text", "signed"),
    [
        ("21", -973932308),
        ("foobar", -790332482),
        ("a-little-bit-long-string", -985981536),
        ("a-little-bit-longer-string", -1486304829),
        ("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971),
        ("abc", 479470107),
    ],
)
def test_the_hash_is_that_of_java(text: str, signed: int) -> None:
    """The vectors of org.apache.kafka.common.utils.UtilsTest."""
    assert murmur2(text.encode()) == signed & 0xFFFFFFFF


@given(st.binary(max_size=50))
def test_the_hash_is_that_of_aiokafka(data: bytes) -> None:
    assert murmur2(data) == aiokafka_murmur2(data) & 0xFFFFFFFF


@given(st.text(max_size=30), st.integers(1, 100))
def test_a_partition(stream: str, partitions: int) -> None:
    assert partition_of(stream, partitions) == (aiokafka_murmur2(stream.encode()) & 0x7FFFFFFF) % partitions
    assert partition_of(stream, 1) == 0
