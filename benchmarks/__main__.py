"""``python -m benchmarks``: the figures, on servers of their own."""

from __future__ import annotations

import sys
from dataclasses import asdict
from importlib import import_module
from pathlib import Path
from typing import Any

import click
import structlog

from benchmarks import NAMES, QUICK
from benchmarks.bench import Bench
from benchmarks.figures import Figure, Spread
from benchmarks.page import fill, machine
from holonstream.local.stack import SERVICES
from holonstream.ops.output import print_json, print_table
from holonstream.ops.settings import Settings


@click.command()
@click.argument("name")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.option("--strict", is_flag=True, help="Exit with 1 when a promise is not kept.")
@click.option("--quick", is_flag=True, help="Fewer and shorter rounds; `all` takes the first six.")
@click.option("--plot", type=click.Path(path_type=Path), help="A folder for plots of the figures, as SVG and PNG.")
@click.option("--page", type=click.Path(path_type=Path, exists=True), help="docs/benchmarks.md, to write them into.")
def bench(name: str, as_json: bool, strict: bool, quick: bool, plot: Path | None, page: Path | None) -> None:
    """Measure one path against a rival or its bare client, on servers started for it: append, relay, consume, graph,
    cache, freshness, rebuild, api, metrics, traces; show how each consumer group scales by itself: scaling; what a
    larger log costs: growth; the load that the system is meant for, and a burst: mission; or all.

    Both sides are measured in the same run, in turns; the ratio is what counts, for it holds when the machine is slow.
    """
    from holonstream.local.temporary import temporary_stack

    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))  # standard output has the figures
    if name not in (*NAMES, "all"):
        raise click.ClickException(f"no benchmark {name!r}; there are {', '.join(NAMES)} and all")
    figures: list[Figure] = []
    taken_on = machine()
    for one in (QUICK if quick else NAMES) if name == "all" else [name]:
        module = import_module(f"benchmarks.{one}")
        servers = getattr(module, "SERVERS", SERVICES)
        with temporary_stack(services=servers, progress=lambda line: click.echo(line, err=True)) as stack:
            click.echo(f"measuring {one}", err=True)
            figures += module.measure(Bench(stack, Settings.of(stack.env()), quick))
    if as_json:
        print_json({"machine": taken_on, "figures": [_document(figure) for figure in figures]})
    else:
        print_table("", ["path", "measured", "beside", "", "ratio", "us/event", "promise"], [_row(f) for f in figures])
    if plot is not None:
        from benchmarks.plots import draw  # not before: matplotlib takes a second

        for file in draw(figures, plot):
            click.echo(f"drawn: {file}", err=True)
    if page is not None:
        fill(page, figures, taken_on)
    if strict and any(figure.kept is False for figure in figures):
        raise click.ClickException("a promise is not kept")


def _row(figure: Figure) -> list[object]:
    costs = [cost for cost in (figure.processor, figure.peer_processor) if cost is not None]
    return [
        figure.path,
        f"{_spread(figure.value, figure.spread)} {figure.unit}",
        figure.peer,
        "" if figure.peer_value is None else _spread(figure.peer_value, figure.peer_spread),
        "" if figure.ratio is None else f"{figure.ratio:.2f}",
        " / ".join(f"{cost:,.1f}" for cost in costs),
        figure.promise and f"{figure.promise}: {'kept' if figure.kept else 'NOT KEPT'}",
    ]


def _spread(value: float, spread: Spread | None) -> str:
    low_and_high = "" if spread is None else f" ({spread[0]:,.1f}-{spread[1]:,.1f})"
    return f"{value:,.1f}{low_and_high}"


def _document(figure: Figure) -> dict[str, Any]:
    return {**asdict(figure), "peer": figure.peer or None, "ratio": figure.ratio, "promise": figure.promise or None}


if __name__ == "__main__":
    bench(prog_name="python -m benchmarks")
