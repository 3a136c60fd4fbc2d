"""``holonstream worker``: one worker of a consumer group."""

from __future__ import annotations

import sys

import click

from holonstream.ops.settings import Settings


@click.command()
@click.argument("name", type=click.Choice(["graph", "cache"]))
@click.pass_obj
def worker(settings: Settings, name: str) -> None:
    """Apply events to Neo4j (graph) or Redis (cache).

    Runs until SIGTERM. Start more of the same to scale, up to the number of partitions: the group divides these among
    its workers. A worker that met a bug, or found no brokers when it started, exits with a non-zero code. Start it
    again: it continues where it stopped.
    """
    from holonstream.ops import wiring
    from holonstream.ops.observe.process import observed
    from holonstream.ops.observe.worker import ObservedWorker
    from holonstream.streams.app import run_worker

    app = wiring.worker(settings, name)
    with observed(settings, lambda: ObservedWorker(app, name, stall=settings.ready_stall)):
        code = run_worker(app)
    sys.exit(code)
