"""``holonstream export``: every entity, as the graph holds it or as the fold of the log."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable

import click

from holonstream.client.connections import catalogue, event_store
from holonstream.ops.output import print_graph, print_table
from holonstream.ops.settings import Settings
from holonstream.ops.wiring import graph_states
from holonstream.schemas.projection import fold
from holonstream.schemas.state import State


@click.command()
@click.argument("what", type=click.Choice(["graph", "log"]))
@click.option("--json", "as_json", is_flag=True, help="Print every entity as canonical JSON instead of counts.")
@click.pass_obj
def export(settings: Settings, what: str, as_json: bool) -> None:
    """Print every entity, of the graph or by folding the log.

    The JSON is {holons, relationships}, sorted by id. It is the same for both once the graph has caught up.
    """
    states: Iterable[State]
    if what == "graph":
        states = asyncio.run(graph_states(settings))
    else:
        known = catalogue(settings)
        with event_store(settings, known) as store:
            states = fold(known, store.read()).values()
    if as_json:
        print_graph(states)
        return
    counts = Counter((type(state).__name__.lower(), state.type) for state in states)
    print_table(
        what, ["kind", "type", "count"], [[kind, name, count] for (kind, name), count in sorted(counts.items())]
    )
