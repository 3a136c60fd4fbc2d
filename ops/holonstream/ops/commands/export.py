"""``holonstream export``: every entity, as the graph holds it or as the fold of the log."""

from __future__ import annotations

import asyncio
import sys
from collections import Counter
from collections.abc import Iterable
from itertools import chain
from typing import TYPE_CHECKING

import click

from holonstream.ops.command_line import pass_settings
from holonstream.ops.output import print_graph, print_table, say

if TYPE_CHECKING:
    from holonstream.ops.settings import Settings
    from holonstream.schemas.state import State


@click.command()
@click.argument("what", type=click.Choice(["graph", "log"]))
@click.option("--json", "as_json", is_flag=True, help="Print every entity as canonical JSON instead of counts.")
@pass_settings
def export(settings: Settings, what: str, as_json: bool) -> None:
    """Print every entity, of the graph or by folding the log.

    The JSON is {holons, relationships}, sorted by id. It is the same for both once the graph has caught up, but for
    streams that are parked or have discarded events.

    An entity of the log is as it was before the first event that cannot be read or applied. Such streams are named on
    standard error, and the command ends with 1.
    """
    stopped: list[str] = []
    if what == "graph":
        from holonstream.ops.wiring import graph_states

        states = asyncio.run(graph_states(settings))
    else:
        states, stopped = _log_states(settings)
    if as_json:
        print_graph(states)
    else:
        _print_counts(what, states)
    for line in stopped:
        say(line, err=True)
    if stopped:
        sys.exit(1)


def _log_states(settings: Settings) -> tuple[list[State], list[str]]:
    """The entities that the log makes, and a line for each stream that ends at an event without effect."""
    from holonstream.client.connections import catalogue
    from holonstream.ops.verify.log import EntityReader

    states, stopped = [], []
    with EntityReader(settings.log_dsn, catalogue(settings)) as log:
        for entity in chain.from_iterable(log.entities(log.frontier().frontier)):
            if entity.state is not None:
                states.append(entity.state)
            if entity.error is not None:
                stopped.append(f"stopped at position {entity.error_position}, stream {entity.stream}: {entity.error}")
    return states, stopped


def _print_counts(what: str, states: Iterable[State]) -> None:
    counts = Counter((type(state).__name__.lower(), state.type) for state in states)
    print_table(
        what, ["kind", "type", "count"], [[kind, name, count] for (kind, name), count in sorted(counts.items())]
    )
