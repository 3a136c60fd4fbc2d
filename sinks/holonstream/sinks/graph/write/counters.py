"""What the graph sink counts, as plain numbers: a process exports them as it likes."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class GraphCounters:
    """Counts since the process began."""

    fold_seconds: float = 0.0
    """spent on decoding and folding; partly while Neo4j loads or writes"""
