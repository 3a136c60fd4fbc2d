"""The findings of `holonstream verify graph`, as lines and as JSON."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

from holonstream.ops.output import counted
from holonstream.schemas.operation import ABSENT
from holonstream.sinks.graph.recovery.rows import FieldDifference, Row, shown

Kind = Literal["missing", "extra", "altered", "duplicate", "unfoldable", "hole", "checkpoint", "parked"]


@dataclass(frozen=True, slots=True)
class EventPlace:
    """An event, as a finding names it."""

    id: str
    type: str
    version: int
    position: int


@dataclass(frozen=True, slots=True)
class GraphFinding:
    """An entity in which log and graph differ, or a parked stream, which is not a difference.

    ``missing``: the log has the entity, the graph does not. ``extra``: the graph has it, the log does not. ``altered``:
    fields differ. ``duplicate``: the graph has it more than once. ``unfoldable``: the log has an event that this
    catalogue cannot apply, and the graph has not parked its stream. ``hole``: neither has an
    entity, but the graph has not recorded that it has seen all events of the stream. ``checkpoint``: the checkpoint of
    a partition is damaged; `stream` names the partition. ``parked``: the stream is parked.
    """

    kind: Kind
    stream: str
    event: EventPlace | None = None
    """the first event of the stream after which log and graph differ"""
    differences: tuple[FieldDifference, ...] = ()
    log: Row | None = None
    """the entity as the log has it, when it is missing or a duplicate"""
    graph: tuple[Row, ...] = ()
    """what the graph has, when it is extra or a duplicate"""
    reason: str | None = None
    repaired: bool | None = None
    """None when no repair was requested"""

    @property
    def diverges(self) -> bool:
        """Whether log and graph differ."""
        return self.kind != "parked"

    def with_repair(self, repaired: bool) -> GraphFinding:
        """The same finding, with the outcome of its repair."""
        return replace(self, repaired=repaired)

    def document(self) -> dict[str, Any]:
        """As JSON values. A side that lacks a field has no key for it."""
        found: dict[str, Any] = {"kind": self.kind, "stream": self.stream}
        if self.event is not None:
            found["event"] = asdict(self.event)
        if self.differences:
            found["fields"] = [_difference(difference) for difference in self.differences]
        if self.log is not None:
            found["log"] = self.log
        if self.graph:
            found["graph"] = list(self.graph)
        if self.reason is not None:
            found["reason"] = self.reason
        if self.repaired is not None:
            found["repaired"] = self.repaired
        return found

    def line(self) -> str:
        """One line for people."""
        parts = [f"{self.kind:<10} {self.stream}"]
        if self.differences:
            parts.append("; ".join(f"{d.field}: log {shown(d.log)}, graph {shown(d.graph)}" for d in self.differences))
        else:
            if self.log is not None:
                parts.append(f"log {shown(self.log)}")
            if self.graph:
                parts.append(f"graph {', '.join(map(shown, self.graph))}")
        if self.reason is not None:
            parts.append(self.reason)
        if self.event is not None:
            e = self.event
            parts.append(f"since version {e.version} ({e.type} {e.id}, position {e.position})")
        if self.repaired is not None:
            parts.append("repaired" if self.repaired else "NOT repaired")
        return ": ".join(parts[:2]) + "".join(f" | {part}" for part in parts[2:])


@dataclass(slots=True)
class GraphTally:
    """The result of a verification of the graph."""

    position: int = 0
    """the log was folded up to here"""
    entities: int = 0
    events: int = 0
    elements: int = 0
    """nodes and relationships of the graph that were searched for in the log"""
    kinds: Counter[str] = field(default_factory=Counter)
    repaired: int = 0
    seconds: float = 0.0
    listed: list[GraphFinding] = field(default_factory=list)

    @property
    def diverging(self) -> int:
        """How many entities differ."""
        return sum(count for kind, count in self.kinds.items() if kind != "parked")

    def add(self, finding: GraphFinding, limit: int) -> bool:
        """Count a finding. Returns whether it is among the first `limit`, which are kept."""
        self.kinds[finding.kind] += 1
        self.repaired += finding.repaired is True
        if len(self.listed) >= limit:
            return False
        self.listed.append(finding)
        return True

    def document(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "position": self.position,
            "entities": self.entities,
            "events": self.events,
            "elements": self.elements,
            "diverging": self.diverging,
            "repaired": self.repaired,
            "kinds": dict(sorted(self.kinds.items())),
            "seconds": round(self.seconds, 3),
            "findings": [finding.document() for finding in self.listed],
            "unlisted": sum(self.kinds.values()) - len(self.listed),
        }

    def line(self) -> str:
        """One line for people."""
        kinds = ", ".join(f"{count:,} {kind}" for kind, count in sorted(self.kinds.items())) or "no difference"
        repaired = f"; {self.repaired:,} repaired" if self.repaired else ""
        return (
            f"{counted(self.entities, 'entity', 'entities')} of {counted(self.events, 'event')} "
            f"up to position {self.position:,} "
            f"in {self.seconds:.1f} s: {kinds}{repaired}"
        )


def _difference(difference: FieldDifference) -> dict[str, Any]:
    sides = {"log": difference.log, "graph": difference.graph}
    return {"field": difference.field, **{side: value for side, value in sides.items() if value is not ABSENT}}
