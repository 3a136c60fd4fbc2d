"""``holonstream demo``: everything, once, on this machine."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING

import click

from holonstream.demo.datasets import PERSONS
from holonstream.ops.output import say

if TYPE_CHECKING:
    from holonstream.demo.data import DataSet
    from holonstream.ops.settings import Settings

DEADLINE = 600.0  # seconds in which everything must have arrived


@click.command()
@click.option(
    "--data",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Folder of congress files, to run them instead of the made-up organisation.",
)
@click.option(
    "--persons",
    default=PERSONS,
    show_default=True,
    type=click.IntRange(1),
    help="About how many persons serve at a time in the made-up organisation.",
)
@click.option("--seed", default=1, show_default=True, help="The same seed gives the same organisation.")
@click.option(
    "--writers", default=4, show_default=True, type=click.IntRange(1, 32), help="How many services append at once."
)
@click.option(
    "--batch",
    default=20,
    show_default=True,
    type=click.IntRange(1),
    help="How many events a service appends in one call.",
)
def demo(data: Path | None, persons: int, seed: int, writers: int, batch: int) -> None:
    """Run events through a pipeline of its own, and ask it.

    Starts real servers, a relay and workers in a folder of their own, and installs what is missing on the machine.
    Leaves nothing running and nothing behind.
    """
    from holonstream.demo.data import load
    from holonstream.local.temporary import temporary_stack
    from holonstream.ops.settings import Settings

    began = monotonic()
    chosen = load(data, persons, seed)
    say("servers")
    with temporary_stack(progress=lambda line: say(f"  {line}"), short_lived=True) as stack:
        environment = stack.env()
        _run(Settings.of(environment), environment, chosen, stack.data_dir / "logs", writers, batch)
        say()
        say("stopping")
    say(f"done after {monotonic() - began:.0f} s; nothing is left running")


def _run(settings: Settings, environment: dict[str, str], data: DataSet, logs: Path, writers: int, batch: int) -> None:
    from holonstream.client import connections
    from holonstream.demo.answers import answer
    from holonstream.demo.progress import DemoProgress
    from holonstream.demo.writers import Ledger, write
    from holonstream.ops.commands.init import initialise
    from holonstream.ops.processes import Processes

    say()
    say("pipeline")
    initialise(settings)
    known = connections.catalogue(settings)
    with Processes(environment, logs) as processes:
        processes.start("worker-graph", "worker", "graph")  # which takes longest to begin
        processes.start("relay", "relay")
        processes.start("worker-cache", "worker", "cache")
        say("processes: a relay, a graph worker and a cache worker")
        say()
        say(f"{len(data.events):,} events: {data.name}, {writers} writers")
        ledger = Ledger(settings.partitions)
        progress = DemoProgress(settings, ledger, len(data.events))
        with connections.event_store(settings, known, max_connections=writers) as store:
            failure: list[BaseException] = []

            def append_all() -> None:
                try:
                    write([store.append] * writers, known, data.events, ledger, batch)
                except BaseException as error:
                    failure.append(error)

            def check() -> None:
                processes.check()
                if failure:
                    raise failure[0]

            writing = threading.Thread(target=append_all)
            writing.start()
            try:
                progress.follow(check, DEADLINE)
            finally:
                writing.join()
        say()
        say("from the first append until all was there, with processes that had just been started")
        for name, seconds in progress.finished.items():
            say(f"  {name:12} {seconds:6.1f} s   {len(data.events) / seconds:>8,.0f} events/s")
        asyncio.run(answer(settings, data))
        processes.check()
