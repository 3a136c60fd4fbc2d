"""What Redis holds: the names of keys, and entries as bytes.

An entry is a kind, a position of 20 digits, its origin, and for a value the holon as JSON. The first byte distinguishes
value and tombstone, and all else stands at a fixed place, where Lua can compare it as text. The origin is the
generation in which the entry was written (12 characters), and its partition (5 digits).
"""

from __future__ import annotations

from secrets import token_hex
from zlib import crc32

import msgspec

from holonstream.schemas.state import HOLON, Holon, stream_of

HEADER = 38  # bytes before the JSON
GENERATION = 12  # characters
LAST_POSITION = 2**63 - 1  # of PostgreSQL's bigint
SLOTS = 4096  # per partition; about 330 KB of Redis when all are used
STREAM_PREFIX = stream_of(HOLON, "")

_SLOT_TEXTS = [f"{slot:04d}" for slot in range(SLOTS)]
_encode = msgspec.json.Encoder().encode
# No hook for numbers: the JSON is ours, so a whole float must stay the float that it was.
_decode = msgspec.json.Decoder(Holon).decode


class Keys:
    """The keys of one namespace."""

    def __init__(self, namespace: str) -> None:
        self.holon = f"{namespace}:holon:"
        """to be followed by the holon's id"""
        self._former_watermarks = f"{namespace}:fence:"
        self.watermark = f"{namespace}:watermarks:"
        """to be followed by the partition"""

    def watermarks(self, partition: int) -> str:
        """The key of a partition's watermarks."""
        return f"{self.watermark}{partition}"

    def former_watermarks(self, partition: int) -> str:
        """The key that they had before 0.2."""
        return f"{self._former_watermarks}{partition}"


def slot_of(holon_id: str) -> str:
    """The field of its partition's watermarks that a holon shares with others: 4 digits."""
    return _SLOT_TEXTS[crc32(holon_id.encode()) % SLOTS]


def position_text(position: int) -> str:
    """A position as the scripts compare it: 20 digits, enough for PostgreSQL's bigint."""
    return f"{position:020d}"


def encode_holon(holon: Holon) -> bytes:
    """The holon as a value holds it."""
    return _encode(holon)


def partition_text(partition: int) -> str:
    """A partition as entries name it: 5 digits."""
    return f"{partition:05d}"


def new_generation() -> str:
    """A name for what is written from now on, unlike any other."""
    return token_hex(GENERATION // 2)


def origin_of(entry: bytes) -> tuple[str, int] | None:
    """The generation and partition of a value or tombstone; None for what is neither."""
    generation, partition = entry[21 : 21 + GENERATION], entry[21 + GENERATION : HEADER]
    if position_of(entry) is None or len(entry) < HEADER or not partition.isdigit():
        return None
    return generation.decode(errors="replace"), int(partition)


def is_value(entry: bytes) -> bool:
    """Whether an entry claims to be a value; `decode_value` says whether it is one."""
    return entry[:1] == b"V"


def decode_value(entry: bytes, holon_id: str) -> Holon | None:
    """The holon of a value; None for one of another holon or release, and for foreign data."""
    try:
        holon = _decode(memoryview(entry)[HEADER:])
    except (msgspec.DecodeError, ValueError, RecursionError):  # a text that is no UTF-8 is a ValueError
        return None
    return holon if holon.id == holon_id and holon.position == position_of(entry) else None


def position_of(entry: bytes) -> int | None:
    """The position at which a value or tombstone stands; None for what is neither."""
    digits = entry[1:21]
    if entry[:1] not in (b"V", b"T") or len(digits) != 20 or not digits.isdigit():
        return None
    position = int(digits)
    return position if position <= LAST_POSITION else None
