"""The report of a run, as text and as JSON."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from tests.chaos.schedule import Fault
from tests.chaos.violations import Violations


@dataclass(frozen=True, slots=True)
class Recovery:
    """Seconds from a fault's end to the pipeline's recovery; None when it did not recover in this run."""

    fault: Fault
    seconds: float | None


@dataclass
class Report:
    """Filled during a run."""

    seed: int
    variant: str | None
    violations: Violations
    duration: float = 0.0
    events: dict[str, int] = field(default_factory=dict)
    transactions: dict[str, int] = field(default_factory=dict)
    reads: dict[str, int] = field(default_factory=dict)
    recoveries: list[Recovery] = field(default_factory=list)
    skipped: Counter[str] = field(default_factory=Counter)
    restarts: Counter[str] = field(default_factory=Counter)
    """processes that ended by themselves for an allowed reason, by kind and reason"""
    stop_seconds: list[tuple[float, str]] = field(default_factory=list)
    """from SIGTERM to the end of a process, and its name"""
    checks: dict[str, Any] = field(default_factory=dict)
    evidence: str | None = None

    def faults(self) -> dict[str, int]:
        """How many of each kind were survived."""
        return dict(sorted(Counter(recovery.fault.name for recovery in self.recoveries).items()))

    def recovered(self) -> dict[str, tuple[float, float]]:
        """The median and the longest recovery, by kind of fault, in seconds."""
        times: dict[str, list[float]] = defaultdict(list)
        for recovery in self.recoveries:
            if recovery.seconds is not None:
                times[recovery.fault.name].append(recovery.seconds)
        return {name: (median(found), max(found)) for name, found in sorted(times.items())}

    def document(self) -> dict[str, Any]:
        """As JSON values."""
        times = [recovery.seconds for recovery in self.recoveries if recovery.seconds is not None]
        return {
            "seed": self.seed,
            "variant": self.variant,
            "duration": round(self.duration, 1),
            "events": self.events,
            "transactions": self.transactions,
            "reads": self.reads,
            "faults": self.faults(),
            "faults_total": len(self.recoveries),
            "faults_open": sum(recovery.seconds is None for recovery in self.recoveries),
            "faults_skipped": dict(self.skipped),
            "recovery": {
                name: {"p50": round(middle, 2), "max": round(longest, 2)}
                for name, (middle, longest) in self.recovered().items()
            },
            "recovery_all": {"p50": round(median(times), 2), "max": round(max(times), 2)} if times else None,
            "restarts": dict(self.restarts),
            "stop_seconds": self._stops(),
            "checks": self.checks,
            "violations": dict(self.violations.counts),
            "violations_total": self.violations.total,
            "evidence": self.evidence,
        }

    def _stops(self) -> dict[str, Any]:
        longest, name = max(self.stop_seconds, default=(0.0, None))
        return {"count": len(self.stop_seconds), "max": round(longest, 2), "slowest": name}

    def lines(self) -> list[str]:
        """As text."""
        found = self.document()
        kinds = found["faults"]
        lines = [
            f"seed {self.seed}"
            + (f", relay variant {self.variant}" if self.variant else "")
            + f", {self.duration:.0f} s",
            _counts("events", self.events),
            _counts("transactions", self.transactions),
            _counts("reads", self.reads),
            f"faults        {found['faults_total']:,} survived"
            + (f", {found['faults_open']} not recovered from" if found["faults_open"] else "")
            + (f", {sum(self.skipped.values())} skipped" if self.skipped else ""),
        ]
        recovered = self.recovered()
        for name, count in kinds.items():
            times = "recovered in p50 {:.1f} s, max {:.1f} s".format(*recovered[name]) if name in recovered else "open"
            lines.append(f"  {name:<26} {count:>4}   {times}")
        if found["recovery_all"]:
            lines.append("  {:<26} {:>4}   recovered in p50 {p50:.1f} s, max {max:.1f} s".format(
                "all", found["faults_total"], **found["recovery_all"]))  # fmt: skip
        if self.restarts:
            lines.append(_counts("ended, restarted", self.restarts))
        stops = found["stop_seconds"]
        lines.append(
            f"SIGTERM       {stops['count']} processes, the slowest ({stops['slowest']}) in {stops['max']:.1f} s"
        )
        lines.append(_counts("checks", self.checks))
        lines.append(_counts("VIOLATIONS", self.violations.counts) if self.violations.total else "violations    none")
        if self.evidence:
            lines.append(f"evidence      {self.evidence}")
        return lines


def _counts(title: str, counts: Mapping[str, Any]) -> str:
    shown = [f"{name} {value:,}" if isinstance(value, int) else f"{name} {value}" for name, value in counts.items()]
    return f"{title:<13} {', '.join(shown) or 'none'}"


def summary(reports: Sequence[Report]) -> dict[str, Any]:
    """Several runs as one."""
    faults: Counter[str] = Counter()
    times: dict[str, list[float]] = defaultdict(list)
    for report in reports:
        faults.update(report.faults())
        for recovery in report.recoveries:
            if recovery.seconds is not None:
                times[recovery.fault.name].append(recovery.seconds)
                times["all"].append(recovery.seconds)
    return {
        "seeds": [report.seed for report in reports],
        "events": sum(report.events.get("committed", 0) for report in reports),
        "faults": dict(sorted(faults.items())),
        "faults_total": sum(faults.values()),
        "recovery": {
            name: {"p50": round(median(found), 2), "max": round(max(found), 2)} for name, found in sorted(times.items())
        },
        "violations_total": sum(report.violations.total for report in reports),
        "runs": [report.document() for report in reports],
    }
