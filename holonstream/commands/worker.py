"""``holonstream worker``: one process of a consumer group."""

from __future__ import annotations

import sys

import click

from holonstream.settings import Settings


@click.command()
@click.argument("name", type=click.Choice(["graph", "cache"]))
@click.pass_obj
def worker(settings: Settings, name: str) -> None:
    """Follow the log into Neo4j (graph) or keep Redis fresh (cache), until SIGTERM.

    Start more of the same to scale, up to the number of partitions: the group shares them out. Ends with a non-zero
    code when it met a bug or had no brokers at start; start it again then, it goes on where it was.
    """
    from holonstream import wiring
    from holonstream.observe.process import observed
    from holonstream.observe.worker import ObservedWorker
    from streams.app import run_worker

    app = wiring.worker(settings, name)
    with observed(settings, lambda: ObservedWorker(app, name, stall=settings.ready_stall)):
        code = run_worker(app)
    sys.exit(code)
