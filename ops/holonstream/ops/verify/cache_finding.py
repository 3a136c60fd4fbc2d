"""The findings of `holonstream verify cache`, as lines and as JSON. `ops.verify.cache` explains the verdicts."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Literal

from holonstream.ops.output import counted
from holonstream.schemas.operation import ABSENT
from holonstream.sinks.graph.recovery.rows import FieldDifference, shown

Verdict = Literal["equal", "lagging", "tombstone", "awaited", "foreign", "stale", "altered", "ahead"]
VIOLATIONS: frozenset[Verdict] = frozenset({"stale", "altered", "ahead"})


@dataclass(frozen=True, slots=True)
class CacheFinding:
    """An entry that is a violation, or that is not up to date yet."""

    verdict: Verdict
    key: str
    cached: int | None = None
    """positions: of the entry, of the last event in the log, of the holon in the graph, and acknowledged"""
    log: int | None = None
    graph: int | None = None
    acknowledged: int | None = None
    age: float | None = None
    """seconds"""
    differences: tuple[FieldDifference, ...] = ()
    """of an altered value: what the log said at that position, and what the cache holds (as `graph`)"""
    deleted: bool | None = None

    def document(self) -> dict[str, Any]:
        """As JSON values. What is unknown has no key."""
        found = {
            "verdict": self.verdict,
            "key": self.key,
            "cached": self.cached,
            "log": self.log,
            "graph": self.graph,
            "acknowledged": self.acknowledged,
            "age": None if self.age is None else round(self.age, 3),
            "fields": [_field(d) for d in self.differences] or None,
            "deleted": self.deleted,
        }
        return {name: value for name, value in found.items() if value is not None}

    def line(self) -> str:
        """One line for people."""
        places = {"cached": self.cached, "log": self.log, "graph": self.graph, "acknowledged": self.acknowledged}
        parts = [f"{self.verdict:<10} {self.key}", ", ".join(f"{k} {v}" for k, v in places.items() if v is not None)]
        parts += [f"{d.field}: log {shown(d.log)}, cache {shown(d.graph)}" for d in self.differences]
        if self.age is not None:
            parts.append(f"for {self.age:.3f} s")
        if self.deleted:
            parts.append("deleted")
        return " | ".join(part for part in parts if part)


@dataclass(slots=True)
class CacheTally:
    """The result of a verification of the cache."""

    entries: int = 0
    verdicts: Counter[str] = field(default_factory=Counter)
    oldest: dict[str, float] = field(default_factory=dict)
    """the greatest age by verdict, in seconds"""
    newer_than_graph: int = 0
    deleted: int = 0
    seconds: float = 0.0
    listed: list[CacheFinding] = field(default_factory=list)
    unlisted: int = 0

    @property
    def violations(self) -> int:
        """How many entries are violations."""
        return sum(self.verdicts[verdict] for verdict in VIOLATIONS)

    def document(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "entries": self.entries,
            "violations": self.violations,
            "deleted": self.deleted,
            "verdicts": dict(sorted(self.verdicts.items())),
            "oldest": {verdict: round(age, 3) for verdict, age in sorted(self.oldest.items())},
            "newer_than_graph": self.newer_than_graph,
            "seconds": round(self.seconds, 3),
            "findings": [finding.document() for finding in self.listed],
            "unlisted": self.unlisted,
        }

    def line(self) -> str:
        """One line for people."""
        verdicts = ", ".join(
            f"{count:,} {verdict}" + (f" (up to {self.oldest[verdict]:.3f} s)" if verdict in self.oldest else "")
            for verdict, count in sorted(self.verdicts.items())
        )
        deleted = f"; {self.deleted:,} deleted" if self.deleted else ""
        return (
            f"{counted(self.entries, 'entry', 'entries')} in {self.seconds:.1f} s: "
            f"{verdicts or 'nothing is cached'}{deleted}"
        )


def _field(difference: FieldDifference) -> dict[str, Any]:
    sides = {"log": difference.log, "cache": difference.graph}
    return {"field": difference.field, **{side: value for side, value in sides.items() if value is not ABSENT}}
