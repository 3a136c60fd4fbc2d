"""The broken promises that a run has found."""

from __future__ import annotations

import threading
from collections import Counter
from datetime import UTC, datetime
from typing import Any

KEPT = 100  # of each kind; all are counted


class Violations:
    """Collects violations from any thread."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.kept: list[dict[str, Any]] = []
        self._lock = threading.Lock()

    def add(self, kind: str, **detail: Any) -> None:
        """Add one; `detail` is the evidence."""
        with self._lock:
            self.counts[kind] += 1
            if self.counts[kind] <= KEPT:
                self.kept.append({"kind": kind, "at": datetime.now(UTC).isoformat(), **detail})

    @property
    def total(self) -> int:
        """How many there are."""
        return sum(self.counts.values())
