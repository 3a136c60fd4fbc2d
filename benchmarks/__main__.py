"""``python -m benchmarks``: the figures, on servers of their own."""

from __future__ import annotations

import os
import platform
from importlib import import_module
from typing import Any

import click

from benchmarks import NAMES
from benchmarks.figures import Figure
from holonstream.ops.output import print_json, print_table
from holonstream.ops.settings import Settings


@click.command()
@click.argument("name")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.option("--strict", is_flag=True, help="Exit with 1 when a promise is not kept.")
def bench(name: str, as_json: bool, strict: bool) -> None:
    """Measure one path against its bare client, on servers started for it: append, relay, consume, graph, cache,
    freshness, metrics; show how each consumer group scales by itself: scaling; or all.

    Both sides are measured in the same run; the ratio is what to look at, for it holds when the machine is slow.
    """
    from holonstream.local.temporary import temporary_stack

    if name not in (*NAMES, "all"):
        raise click.ClickException(f"no benchmark {name!r}; there are {', '.join(NAMES)} and all")
    figures: list[Figure] = []
    for one in NAMES if name == "all" else [name]:
        with temporary_stack(progress=lambda line: click.echo(line, err=True)) as stack:
            click.echo(f"measuring {one}", err=True)
            figures += import_module(f"benchmarks.{one}").measure(Settings.of(stack.env()))
    if as_json:
        print_json({"machine": _machine(), "figures": [_document(figure) for figure in figures]})
    else:
        rows = [
            [
                f.path,
                f"{f.value:,.1f} {f.unit}",
                f.peer,
                f.peer_value and f"{f.peer_value:,.1f}",
                _ratio(f),
                _verdict(f),
            ]
            for f in figures
        ]
        print_table("", ["path", "measured", "beside", "", "ratio", "promise"], rows)
    if strict and any(figure.kept is False for figure in figures):
        raise click.ClickException("a promise is not kept")


def _ratio(figure: Figure) -> str:
    return "" if figure.ratio is None else f"{figure.ratio:.2f}"


def _verdict(figure: Figure) -> str:
    return figure.promise and f"{figure.promise}: {'kept' if figure.kept else 'NOT KEPT'}"


def _document(figure: Figure) -> dict[str, Any]:
    return {
        "path": figure.path,
        "value": figure.value,
        "unit": figure.unit,
        "peer": figure.peer or None,
        "peer_value": figure.peer_value,
        "ratio": figure.ratio,
        "promise": figure.promise or None,
        "kept": figure.kept,
    }


def _machine() -> dict[str, Any]:
    return {"cores": os.cpu_count(), "machine": platform.machine(), "python": platform.python_version()}


if __name__ == "__main__":
    bench(prog_name="python -m benchmarks")
