"""``holonstream fold``: the entities that a file of events makes, without servers."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from holonstream.ops.command_line import INSTANT, json_always_option, pass_settings
from holonstream.ops.output import print_graph, say

if TYPE_CHECKING:
    from holonstream.ops.settings import Settings


@click.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path))
@click.option("--events-key", default="events", show_default=True, help="Key of the list when FILE holds an object.")
@click.option("--at", type=INSTANT, help="Fold as of an instant: events that occurred later have no effect.")
@json_always_option
@pass_settings
def fold(settings: Settings, file: Path, events_key: str, at: str | None) -> None:
    """Print the entities that the events of FILE make; no servers.

    FILE holds a JSON list of envelopes, or an object with one. `-` is standard input. Prints canonical JSON, sorted by
    id, the same as `holonstream export graph --json` after `holonstream import FILE`.
    """
    from holonstream.client.connections import catalogue
    from holonstream.ops.wiring import read_events
    from holonstream.schemas.projection import fold as fold_events
    from holonstream.schemas.projection import recorded

    known = catalogue(settings)
    events = recorded(known, read_events(file, events_key, known))
    states = fold_events(known, events, at=at, report=lambda line: say(f"note: {line}", err=True))
    print_graph(states.values())
