"""Writes figures into docs/benchmarks.md, between two comments, with the machine on which they were taken."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from benchmarks.figures import Figure, Spread
from holonstream.local.stack import versions

BEGIN, END = "<!-- figures: begin -->", "<!-- figures: end -->"


def machine() -> dict[str, str]:
    """What the figures depend on."""
    load = os.getloadavg()[0]
    libraries = {name: version(name) for name in ("faust-streaming", "aiokafka", "confluent-kafka", "psycopg")}
    return {
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
        "cores": str(os.cpu_count()),
        "processor": _processor(),
        "memory": f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GiB",
        "python": platform.python_version(),
        **versions(),
        "debezium": "3.1.0.Final, Connect 3.9.1",
        **libraries,
        "neo4j driver": version("neo4j"),
        "load before": f"{load:.1f}",
        "command": "python -m benchmarks " + " ".join(sys.argv[1:]),
    }


def fill(page: Path, figures: Sequence[Figure], taken_on: dict[str, str]) -> None:
    """Replace what stands between the comments."""
    text = page.read_text()
    before, rest = text.split(BEGIN)
    _, after = rest.split(END)
    page.write_text(f"{before}{BEGIN}\n{_table(figures)}\n\n{_line(taken_on)}\n{END}{after}")


def _table(figures: Sequence[Figure]) -> str:
    rows = ["| path | promise | now | beside | so | us of processor an event |", "|---|---|---|---|---|---|"]
    for figure in sorted(figures, key=lambda figure: figure.kept is None):
        so = {True: "kept", False: "**not kept**", None: ""}[figure.kept]
        ratio = "" if figure.ratio is None else f"{figure.ratio:.2f}x"
        beside = "" if figure.peer_value is None else f"{figure.peer} {_number(figure.peer_value, figure.peer_spread)}"
        costs = [f"{cost:,.1f}" for cost in (figure.processor, figure.peer_processor) if cost is not None]
        cells = [
            figure.path,
            figure.promise,
            f"{_number(figure.value, figure.spread)} {figure.unit}",
            beside,
            ", ".join(filter(None, (ratio, so))),
            " / ".join(costs),
        ]
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows)


def _number(value: float, spread: Spread | None) -> str:
    digits = 0 if value >= 1_000 else 1 if value >= 10 else 2
    low_and_high = "" if spread is None else f" ({spread[0]:,.{digits}f}-{spread[1]:,.{digits}f})"
    return f"{value:,.{digits}f}{low_and_high}"


def _line(taken_on: dict[str, str]) -> str:
    return "; ".join(f"{name} {value}" for name, value in taken_on.items() if name != "command") + (
        f"; `{taken_on['command']}`."
    )


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()
