"""Plots of figures, as SVG and PNG: what relays cost by rate, drains, latencies by percentile, ratios to bare clients,
what growth costs, and a burst with its recovery."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib import pyplot

from benchmarks.figures import Figure

OURS, OTHERS = "#1b6ca8", ("#c9c9c9", "#a3a3a3", "#7d7d7d")
WIDTH, HEIGHT = 7.0, 3.2  # inches

matplotlib.use("Agg")
matplotlib.rcParams.update({"svg.hashsalt": "holonstream", "axes.spines.top": False, "axes.spines.right": False})


def draw(figures: Sequence[Figure], folder: Path) -> list[Path]:
    """Draw what the figures have; those that are missing are left out. Returns the files."""
    folder.mkdir(parents=True, exist_ok=True)
    drawn = []
    drains = [f for f in figures if f.path.startswith("relay, backlog")]
    if drains:
        drawn.append(_drains(drains, folder / "relay-drain.svg"))
    trickles = [f for f in figures if re.match(r"relay at [\d,]+ events/s", f.path)]
    if trickles:
        drawn.append(_costs(trickles, folder / "relay-cost.svg"))
    latencies = [f for f in figures if f.samples and f.path.endswith("p50")]
    if latencies:
        drawn.append(_latencies(latencies, folder / "freshness.svg"))
    growth = [f for f in figures if f.peer.startswith("log of ")]
    if growth:
        drawn.append(_growth(growth, folder / "growth.svg"))
    burst = [f for f in figures if f.course]
    if burst:
        drawn.append(_burst(burst, folder / "burst.svg"))
    ratios = [f for f in figures if f.ratio is not None and not f.path.startswith("relay") and f not in growth]
    if ratios:
        drawn.append(_ratios(ratios, folder / "ratios.svg"))
    return drawn


def _drains(figures: Sequence[Figure], file: Path) -> Path:
    names = ["holonstream", *(figure.peer for figure in figures)]
    rates = [figures[0].value, *(figure.peer_value or 0 for figure in figures)]
    costs = [figures[0].processor or 0, *(figure.peer_processor or 0 for figure in figures)]
    plot, (left, right) = pyplot.subplots(1, 2, figsize=(WIDTH, HEIGHT), layout="constrained")
    for axes, values, title in ((left, rates, "events/s"), (right, costs, "us of processor for an event")):
        axes.barh(names, values, color=_colours(len(names)))
        axes.invert_yaxis()
        axes.set_xlabel(title)
    right.set_yticklabels([])
    plot.suptitle("Draining a backlog: relay, its PostgreSQL session, Kafka")
    return _saved(plot, file)


def _costs(figures: Sequence[Figure], file: Path) -> Path:
    rates = sorted({_rate(figure) for figure in figures})
    plot, ((*rows,),) = pyplot.subplots(
        1, len(rates), figsize=(WIDTH, HEIGHT), layout="constrained", sharex=True, squeeze=False
    )
    for axes, rate in zip(rows, rates, strict=True):
        chosen = [figure for figure in figures if _rate(figure) == rate]
        names = ["holonstream", *(figure.peer.partition(" (")[0] for figure in chosen)]
        axes.barh(names, [chosen[0].value, *(figure.peer_value or 0 for figure in chosen)], color=_colours(len(names)))
        axes.invert_yaxis()
        axes.set_title(f"{rate:,} events/s")
        axes.set_xlabel("% of a core")
        if axes is not rows[0]:
            axes.set_yticklabels([])
    return _saved(plot, file)


def _rate(figure: Figure) -> int:
    found = re.search(r"([\d,]+) events/s", figure.path)
    assert found is not None, figure.path
    return int(found[1].replace(",", ""))


def _latencies(figures: Sequence[Figure], file: Path) -> Path:
    rates = sorted({_rate(figure) for figure in figures})
    plot, ((*rows,),) = pyplot.subplots(
        1, len(rates), figsize=(WIDTH, HEIGHT), layout="constrained", sharey=True, squeeze=False
    )
    for axes, rate in zip(rows, rates, strict=True):
        for figure in figures:
            if _rate(figure) == rate:
                values = figure.samples
                shares = [100 * (number + 1) / len(values) for number in range(len(values))]
                axes.step(values, shares, label=figure.path.split("-> ")[1].split(",")[0])
        axes.set_xscale("log")
        axes.set_title(f"{rate:,} events/s")
        axes.set_xlabel("ms from commit")
        axes.grid(visible=True, alpha=0.3)
    rows[0].set_ylabel("% of events")
    rows[-1].legend()
    return _saved(plot, file)


def _ratios(figures: Sequence[Figure], file: Path) -> Path:
    plot, axes = pyplot.subplots(figsize=(WIDTH, 1.2 + 0.35 * len(figures)), layout="constrained")
    names = [f"{figure.path.partition(' (')[0]} / {figure.peer}" for figure in figures]
    axes.barh(names, [figure.ratio or 0 for figure in figures], color=OURS)
    axes.axvline(1, color="black", linewidth=0.8)
    axes.set_xscale("log")
    axes.invert_yaxis()
    axes.set_xlabel("ours in units of the other's")
    return _saved(plot, file)


def _growth(figures: Sequence[Figure], file: Path) -> Path:
    plot, axes = pyplot.subplots(figsize=(WIDTH, HEIGHT), layout="constrained")
    for part in dict.fromkeys(figure.path.rpartition(", ")[0] for figure in figures):
        chosen = [figure for figure in figures if figure.path.rpartition(", ")[0] == part]
        sizes = [_size(chosen[0].peer), *(_size(figure.path) for figure in chosen)]
        costs = [1.0, *((figure.processor or 0) / (figure.peer_processor or 1) for figure in chosen)]
        axes.plot(sizes, costs, marker="o", label=part)
    axes.set_xscale("log")
    axes.set_ylim(bottom=0)
    axes.set_xlabel("events in the log")
    axes.set_ylabel("processor of an event, smallest log = 1")
    axes.legend()
    return _saved(plot, file)


def _size(text: str) -> int:
    return int(text.rpartition("log of ")[2].replace(",", ""))


def _burst(figures: Sequence[Figure], file: Path) -> Path:
    plot, axes = pyplot.subplots(figsize=(WIDTH, HEIGHT), layout="constrained")
    began = min(figure.course[0][0] for figure in figures)
    for number, view in enumerate(dict.fromkeys(_view(figure) for figure in figures)):
        course = sorted(point for figure in figures if _view(figure) == view for point in figure.course)
        axes.plot([at - began for at, _ in course], [ms for _, ms in course], linewidth=0.8, label=view, zorder=-number)
    for figure in figures:
        axes.axvline(figure.course[0][0] - began, color="black", linewidth=0.5)
    axes.set_yscale("log")
    axes.set_xlabel("seconds; lines: the rate changes")
    axes.set_ylabel("ms from commit")
    axes.legend()
    return _saved(plot, file)


def _view(figure: Figure) -> str:
    return figure.path.split("-> ")[1].split(",")[0]


def _colours(count: int) -> Iterable[str]:
    return [OURS, *(OTHERS[number % len(OTHERS)] for number in range(count - 1))]


def _saved(plot: Any, file: Path) -> Path:
    plot.savefig(file, metadata={"Date": None})
    plot.savefig(file.with_suffix(".png"), dpi=150)
    pyplot.close(plot)
    return file
