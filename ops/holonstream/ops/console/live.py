"""The live page: made once for each poll of the watch, and sent to all pages that show it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import log10
from time import time
from typing import Any

from holonstream.ops.console.freshness import FreshnessHour, quantile, share_within
from holonstream.ops.console.rendering import render
from holonstream.ops.console.watch import Observation, Watch
from holonstream.ops.pipeline import PipelineStatus, Trouble, parked, troubles
from holonstream.ops.servers import servers
from holonstream.ops.settings import Settings
from holonstream.schemas import names

RATES = 10.0  # seconds over which a rate is taken
SHOWN = 5  # minutes of the figures beside the chart
WIDTH, HEIGHT, LEFT = 640, 180, 46  # of the chart
FLOOR = 0.01  # seconds at the chart's bottom
SERVERS = {"log": "postgresql", "topic": "kafka", "graph": "neo4j", "cache": "redis"}
"""the server of each part of the picture"""

Sections = dict[str, str]


@dataclass(frozen=True, slots=True)
class Rates:
    """Events in a second; None before there are two polls."""

    appended: float | None = None
    relayed: float | None = None
    handled: Mapping[str, float] = field(default_factory=dict)
    """by view"""


def rates(history: Sequence[Observation]) -> Rates:
    """From the last poll and one some seconds before it."""
    known = [snapshot for snapshot in history if snapshot.status is not None]
    if len(known) < 2:
        return Rates()
    now = known[-1]
    before = next((s for s in reversed(known[:-1]) if now.at - s.at >= RATES), known[0])
    gone = max(now.at - before.at, 1e-3)
    new, old = now.status, before.status
    assert new is not None
    assert old is not None

    def done(status: PipelineStatus, name: str) -> int:
        return sum(place.offset for place in status.groups[name].partitions)

    return Rates(
        max(new.log.frontier.head - old.log.frontier.head, 0) / gone,
        max(new.relayed - old.relayed, 0) / gone,
        {name: max(done(new, name) - done(old, name), 0) / gone for name in new.groups if name in old.groups},
    )


class LivePage:
    """Renders each snapshot once; see the module's docstring."""

    def __init__(self, settings: Settings, watch: Watch) -> None:
        self._settings, self._watch = settings, watch
        self._made: tuple[float, Sections] = (0.0, {})
        self.rendered = 0
        """how often the page was made"""

    def sections(self) -> Sections:
        """The parts of the page as they are now."""
        newest = self._watch.history[-1] if self._watch.history else None
        at = newest.at if newest else 0.0
        if at != self._made[0] or not self._made[1]:
            self._made = (at, self._render(newest))
            self.rendered += 1
        return self._made[1]

    async def updates(self) -> AsyncIterator[Sections]:
        """All parts, then those that have changed, without end."""
        sent: Sections = {}
        async for _ in self._watch.observations():
            made = self.sections()
            changed = {name: text for name, text in made.items() if sent.get(name) != text}
            sent = made
            yield changed

    def _render(self, newest: Observation | None) -> Sections:
        known = next((s for s in reversed(self._watch.history) if s.status is not None), None)
        status = None if known is None else known.status
        hour, now = self._watch.freshness, time()
        figures = {
            name: {
                "p50": quantile(counts, 0.5),
                "p99": quantile(counts, 0.99),
                "tenth": share_within(counts, 0.1),
                "second": share_within(counts, 1.0),
            }
            for name in names.VIEWS
            for counts in [hour.last(name, SHOWN, now)]
        }
        shown: dict[str, Any] = {
            "newest": newest,
            "status": status,
            "groups": {} if status is None else status.groups,
            "rates": rates(list(self._watch.history)),
            "figures": figures,
            "troubles": self.troubles(),
            "measured": bool(self._settings.console_workers),
            "chart": chart(hour, now) if self._settings.console_workers else lag_chart(self._watch),
        }
        return {name: render(f"live_{name}.html", **shown) for name in ("picture", "troubles", "chart", "workers")}

    def troubles(self) -> list[Trouble]:
        """What stands in the way, as of the last poll: parts that do not answer, and what holds the pipeline up."""
        if not self._watch.history:
            return []
        newest = self._watch.history[-1]
        known = servers(self._settings)
        found = [Trouble(where, what, known[SERVERS[where]].remedy()) for where, what in newest.errors.items()]
        if newest.status is not None:
            found += troubles(newest.status.log, newest.status.groups, newest.status.problems)
        return found + ([parked("graph", newest.parked)] if newest.parked else [])


def chart(hour: FreshnessHour, now: float) -> dict[str, Any]:
    """Lines of the median and the 99th percentile of each group over the last hour."""
    first = int(now // 60) - 59
    lines: dict[str, list[tuple[float, float]]] = {}
    for name in names.VIEWS:
        for label, share in (("p50", 0.5), ("p99", 0.99)):
            points: list[tuple[float, float]] = [
                (minute - first, age)
                for minute, groups in hour.minutes
                if name in groups and minute >= first and (age := quantile(groups[name], share)) is not None
            ]
            lines[f"{name} {label}"] = points
    return _drawn(lines)


def lag_chart(watch: Watch) -> dict[str, Any]:
    """Lines of the age of the oldest event that is not handled, where nothing better is known."""
    now = time()
    views = watch.lags[-1][1] if watch.lags else names.VIEWS
    return _drawn(
        {name: [(59 - (now - at) / 60, lags[name]) for at, lags in watch.lags if name in lags] for name in views}
    )


def _drawn(lines: dict[str, list[tuple[float, float]]]) -> dict[str, Any]:
    top = max([1.0, *(age for points in lines.values() for _, age in points)])
    decades = int(log10(top / FLOOR)) + 1

    def place(minute: float, age: float) -> str:
        height = log10(max(age, FLOOR) / FLOOR) / decades
        return f"{LEFT + (WIDTH - LEFT - 8) * max(minute, 0) / 59:.1f},{HEIGHT - 22 - (HEIGHT - 34) * height:.1f}"

    def grid(power: int) -> tuple[float, float]:
        return FLOOR * 10**power, HEIGHT - 22 - (HEIGHT - 34) * power / decades

    return {
        "width": WIDTH,
        "height": HEIGHT,
        "left": LEFT,
        "grid": [grid(power) for power in range(decades + 1)],
        # a line of one point is drawn as a dot
        "lines": {
            name: " ".join(place(*p) for p in (points * 2 if len(points) == 1 else points))
            for name, points in lines.items()
        },
        "is_empty": not any(lines.values()),
    }
