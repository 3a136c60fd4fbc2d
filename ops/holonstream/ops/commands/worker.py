"""``holonstream worker``: one worker of a consumer group."""

from __future__ import annotations

import sys
from functools import partial
from typing import TYPE_CHECKING

import click

from holonstream.ops.command_line import pass_settings

if TYPE_CHECKING:
    from holonstream.ops.settings import Settings


@click.command()
@click.argument("sink", metavar="graph|cache|MODULE:FACTORY")
@pass_settings
def worker(settings: Settings, sink: str) -> None:
    """Apply events to Neo4j (graph), Redis (cache) or a store of your own.

    MODULE:FACTORY names a function that makes a sink of your own (docs/own-sink.md). The module is looked for in the
    present folder, too. Its group is <namespace>-sink-<name of the sink>.

    Runs until SIGTERM. Start more of the same to scale, up to the number of partitions: the group divides these among
    its workers. A worker that met a bug, or found no brokers when it started, exits with a non-zero code. Start it
    again: it continues where it stopped.
    """
    from holonstream.ops import wiring
    from holonstream.ops.observe.process import observed
    from holonstream.ops.observe.traces import traced
    from holonstream.ops.observe.worker import ObservedWorker
    from holonstream.ops.own_sink import load_sink
    from holonstream.ops.stopping import end_soon, run_until_signal
    from holonstream.schemas import names

    if sink in names.VIEWS:
        view, app = sink, wiring.worker(settings, sink)
    else:
        own = load_sink(sink)
        view, app = names.sink_view(own.name), wiring.own_worker(settings, own)
    with traced(settings, view), observed(settings, lambda: ObservedWorker(app, view, stall=settings.ready_stall)):
        code = run_until_signal(partial(app.run, on_failure=partial(end_soon, 1)))
    sys.exit(code)
