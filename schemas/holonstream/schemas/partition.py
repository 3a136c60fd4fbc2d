"""Which partition holds a stream: Kafka's own murmur2 partitioner, as Java clients, aiokafka and librdkafka's
``murmur2`` compute it. Readers need it to find the checkpoint that a consistency token is compared with.
"""

from __future__ import annotations

_M = 0x5BD1E995
_MASK = 0xFFFFFFFF


def murmur2(data: bytes) -> int:
    """The 32-bit murmur2 hash with Kafka's seed (org.apache.kafka.common.utils.Utils.murmur2)."""
    length = len(data)
    h = (0x9747B28C ^ length) & _MASK
    whole = length & ~3
    for i in range(0, whole, 4):
        k = int.from_bytes(data[i : i + 4], "little") * _M & _MASK
        k = (k ^ (k >> 24)) * _M & _MASK
        h = (h * _M & _MASK) ^ k
    if tail := data[whole:]:
        h = (h ^ int.from_bytes(tail, "little")) * _M & _MASK
    h = (h ^ (h >> 13)) * _M & _MASK
    return h ^ (h >> 15)


def partition_of(stream: str, partitions: int) -> int:
    """The partition, 0-based, of a stream on a topic with that many partitions."""
    return (murmur2(stream.encode()) & 0x7FFFFFFF) % partitions
