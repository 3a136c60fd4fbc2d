"""``holonstream wait``: until the views have what the log has."""

from __future__ import annotations

from dataclasses import asdict
from time import monotonic
from typing import TYPE_CHECKING

import click

from holonstream.ops.command_line import TARGET, VIEW, Duration, json_option, pass_settings
from holonstream.ops.output import print_json, say

if TYPE_CHECKING:
    from holonstream.ops.settings import Settings


@click.command()
@click.argument("target", required=False, type=TARGET)
@click.option(
    "--view",
    "views",
    multiple=True,
    type=VIEW,
    help="Only this one (graph, cache, sink-NAME of a sink of your own); repeatable.",
)
@click.option("--timeout", default="60s", show_default=True, type=Duration(), help="How long to wait at most.")
@json_option
@pass_settings
def wait(settings: Settings, target: str | None, views: tuple[str, ...], timeout: float, as_json: bool) -> None:
    """Wait until every view has the events of the log.

    TARGET is a consistency token or a position; without it, everything that is in the log when the command begins.
    Sinks of one's own that have no worker are waited for when --view names them.
    Events of parked streams count as handled (`holonstream dead-letters list`).

    Exits with 1 when it takes longer than --timeout, and says what is missing; with 3 when a server does not answer
    until then. For scripts: `holonstream import FILE && holonstream wait`.
    """
    from holonstream.ops.waiting import wait_for

    began = monotonic()
    reached = wait_for(settings, target, views, timeout)
    seconds = monotonic() - began
    if as_json:
        print_json({**asdict(reached), "seconds": round(seconds, 3)})
        return
    have = "has" if len(reached.views) == 1 else "have"
    handled = f"{' and '.join(reached.views)} {have} handled everything up to position {reached.position:,}"
    say(f"{handled}, after {seconds:.1f} s", err=True)
    for view in reached.left_out:
        say(f"{view} has no worker, and was not waited for: --view {view} does", err=True)
