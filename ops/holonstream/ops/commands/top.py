"""``holonstream top``: the pipeline live, with rates and what is stuck."""

from __future__ import annotations

from dataclasses import asdict
from time import monotonic
from typing import TYPE_CHECKING, Any

import click

from holonstream.ops.command_line import Duration, pass_settings, timeout_option
from holonstream.ops.output import print_json_line, print_text, printable, redraw, table_text

if TYPE_CHECKING:
    from holonstream.ops.overview import Overview
    from holonstream.ops.settings import Settings


@click.command()
@click.option("--interval", default="2s", show_default=True, type=Duration(), help="Time between two reports.")
@click.option("--rounds", default=0, type=click.IntRange(0), help="Reports to give; 0, the default, until Ctrl-C.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document a line.")
@timeout_option
@pass_settings
def top(settings: Settings, interval: float, rounds: int, as_json: bool, timeout: float) -> None:
    """Watch the pipeline: rates, lag, freshness, workers, and what is stuck.

    Redraws a table at a terminal, else prints one after the other. Log and relay count positions; a group counts
    records, and the markers of transactions among them. Rates are per second since the report before. What is stuck
    comes with what to do.
    """
    from holonstream.ops.overview import overview

    reports = Reports()

    def show() -> None:
        report = reports.next(overview(settings, timeout), settings, monotonic())
        if as_json:
            print_json_line(report)
        else:
            print_text(_text(report))

    redraw(interval, show, clears=not as_json, rounds=rounds)


class Reports:
    """Makes reports with rates, each since the one before."""

    def __init__(self) -> None:
        self._before: tuple[float, dict[str, int]] | None = None

    def next(self, now: Overview, settings: Settings, moment: float) -> dict[str, Any]:
        """The report of this moment, in seconds of a clock, as JSON values."""
        parts = _parts(now)
        rates = self._rates({name: part["done"] for name, part in parts.items() if part["done"] is not None}, moment)
        stuck = [asdict(trouble) for trouble in now.stuck(settings)]
        workers = [
            {"group": name, "client": worker.client, "host": worker.host, "partitions": worker.partitions}
            for name, group in now.groups.items()
            for worker in group.workers
        ]
        listed = [{"part": name, **part, "rate": rates.get(name)} for name, part in parts.items()]
        return {"parts": listed, "workers": workers, "stuck": stuck}

    def _rates(self, done: dict[str, int], moment: float) -> dict[str, float]:
        before, self._before = self._before, (moment, done)
        if before is None or moment <= before[0]:
            return {}
        seconds = moment - before[0]
        return {name: round((done[name] - was) / seconds, 1) for name, was in before[1].items() if name in done}


def _parts(now: Overview) -> dict[str, dict[str, Any]]:
    """How far log, relay and groups are; `done` counts up."""
    log = now.log
    known = log is not None and now.relayed is not None
    found: dict[str, dict[str, Any]] = {
        "log": {"done": log and log.frontier.head, "lag": log and log.frontier.head - log.frontier.frontier},
        "relay": {
            "done": now.relayed,
            "lag": log.lag if log and known else None,
            "lag_seconds": log.lag_seconds if log and known else None,
        },
    }
    for name, group in now.groups.items():
        done = sum(place.offset for place in group.partitions)
        found[name] = {"done": done, "lag": group.lag, "lag_seconds": group.lag_seconds, "workers": group.members}
    return found


def _text(report: dict[str, Any]) -> str:
    columns = ["part", "done", "per second", "behind", "oldest s", "workers"]
    keys = ("part", "done", "rate", "lag", "lag_seconds", "workers")
    text = table_text(columns, [[part.get(key) for key in keys] for part in report["parts"]])
    if report["workers"]:
        rows = [[w["group"], w["client"], w["host"], _ranges(w["partitions"])] for w in report["workers"]]
        text += "\n" + table_text(["worker of", "client", "host", "partitions"], rows)
    for stuck in report["stuck"]:
        text += printable(f"{stuck['where']}: {stuck['what']}: {stuck['remedy']}") + "\n"
    return text + "\n"


def _ranges(numbers: list[int]) -> str:
    """Partitions in few words: ``0-3,7``."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return ",".join(str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs)
