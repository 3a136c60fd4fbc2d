"""What the cache counts, as plain integers: a process exports them as it likes."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field


@dataclass(slots=True)
class CacheCounters:
    """Counts since the process began; the first group is the store's, the second the sink's."""

    hits: int = 0
    """reads answered from Redis"""
    misses: int = 0
    """reads that had to ask the graph: no value, a tombstone, or one older than the token"""
    graph_reads: int = 0
    """reads of the graph; fewer than misses when concurrent ones share a read"""
    waits: int = 0
    """pauses of reads whose token the graph had not reached"""
    fills: int = 0
    """values put into Redis"""
    refused: Counter[str] = field(default_factory=Counter)
    """fills that the script refused, by cause: no_floor, grace_period, lease, floor, tombstone, value, slot"""
    errors: int = 0
    """Redis unreachable, slow or in error: the read went to the graph, or the fill was left out"""
    bypassed: int = 0
    """reads that did not ask Redis because it had just failed"""

    tombstones: int = 0
    """tombstones written"""
    undecodable: int = 0
    """records without a readable place, skipped (the graph sink dead-letters them)"""
    fold_seconds: float = 0.0
    """spent on decoding batches; partly while Redis works"""
    floors: int = 0
    """floors made: at the first assignment, and again whenever Redis has lost them"""
