"""``holonstream worker``: one process of a consumer group."""

from __future__ import annotations

import sys

import click

from holonstream.ops.settings import Settings


@click.command()
@click.argument("name", type=click.Choice(["graph", "cache"]))
@click.pass_obj
def worker(settings: Settings, name: str) -> None:
    """Follow the log into Neo4j (graph) or keep Redis fresh (cache), until SIGTERM.

    Start more of the same to scale, up to the number of partitions: the group shares them out. Ends with a non-zero
    code when it met a bug or had no brokers at start; start it again then, it goes on where it was.
    """
    from holonstream.ops import wiring
    from holonstream.ops.observe.process import observed
    from holonstream.ops.observe.worker import ObservedWorker
    from holonstream.streams.app import run_worker

    app = wiring.worker(settings, name)
    with observed(settings, lambda: ObservedWorker(app, name, stall=settings.ready_stall)):
        code = run_worker(app)
    sys.exit(code)
