"""``holonstream replay``: make a view anew from the log."""

from __future__ import annotations

import asyncio
import signal
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import click

from holonstream.client.settings import PREFIX
from holonstream.ops.settings import Settings

if TYPE_CHECKING:
    from holonstream.ops.replay.graph import GraphReplay, Replayed


@click.group()
def replay() -> None:
    """Make the graph or the cache anew from the log."""


@replay.command("graph")
@click.option("--to-uri", help="Of the server that gets the new graph; user and password as for the live one.")
@click.option("--to-database", default="neo4j", show_default=True, help="Database of that server.")
@click.option("--in-place", is_flag=True, help="Wipe the live graph and fill it again; its workers must be stopped.")
@click.option("--workers", default=2, show_default=True, type=click.IntRange(1), help="Processes to start.")
@click.option("--restart", is_flag=True, help="Wipe what an earlier replay has made, instead of going on with it.")
@click.option("--yes", is_flag=True, help="Do not ask before wiping.")
@click.option(
    "--logs",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder for the workers' logs.  [default: a temporary one]",
)
@click.pass_obj
def graph_command(
    settings: Settings,
    to_uri: str | None,
    to_database: str,
    in_place: bool,
    workers: int,
    restart: bool,
    yes: bool,
    logs: Path | None,
) -> None:
    """Fold the whole log into a graph, with worker processes, until it has caught up.

    With --to-uri the new graph is made beside the live one, by a consumer group of its own; nothing live is touched. At
    the end it says how to verify it and how to switch. With --in-place the live graph is wiped first.

    Interrupt it at any time: the same command goes on where it was.
    """
    if (to_uri is None) != in_place:
        raise click.UsageError("Say either --to-uri or --in-place")
    from holonstream.ops.replay import graph

    def say(line: str) -> None:
        click.echo(line, err=True)

    def confirm(question: str) -> None:
        if not yes:
            click.confirm(question, abort=True, err=True)

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the workers are stopped on the way out
    with tempfile.TemporaryDirectory(prefix="holonstream-replay-") as temporary:
        folder = logs or Path(temporary)
        prepared = (
            graph.in_place(settings, workers=workers, logs=folder, restart=restart, say=say, confirm=confirm)
            if to_uri is None
            else graph.beside(
                settings, to_uri, to_database, workers=workers, logs=folder, restart=restart, say=say, confirm=confirm
            )
        )
        making = asyncio.run(prepared)
        moment = making.run()
        _report(making, asyncio.run(making.finish(moment)))


def _report(made: GraphReplay, done: Replayed) -> None:
    target = made.target
    click.echo(
        f"The graph at {target.neo4j_uri}, database {target.neo4j_database}, has reached log position "
        f"{done.position:,}: all that the topic held at {done.moment:%H:%M:%S} UTC."
    )
    if done.taken_over:
        click.echo(f"{done.taken_over:,} events were left out again, as decided earlier.")
    if done.parked:
        click.echo(f"{done.parked:,} streams are parked: {made.command('dead-letters list')}")
    uri, database = f"{PREFIX}NEO4J_URI", f"{PREFIX}NEO4J_DATABASE"
    click.echo(f"Verify:  {made.command('verify graph')}")
    if made.live is None:
        click.echo("Then start its workers again: holonstream worker graph")
        return
    click.echo("Switch:  1. start workers, beside those of the old graph; these go on where the replay ended:")
    click.echo(f"            {made.command('worker graph')}")
    click.echo("         2. restart the readers with")
    click.echo(f"            {made.assignments(uri, database)}")
    click.echo("         3. stop the workers of the old graph")


@replay.command("cache")
@click.pass_obj
def cache_command(settings: Settings) -> None:
    """Forget everything that is cached; reads go to the graph until it has been asked for again.

    Safe at any time, whoever runs. Fills begin again some seconds after a cache worker has noticed.
    """
    from holonstream.client import connections
    from holonstream.ops import wiring
    from holonstream.ops.replay.cache import forget

    async def run() -> int:
        redis = connections.redis_client(settings, timeout=wiring.SINK_TIMEOUT)
        try:
            return await forget(redis, settings.namespace)
        finally:
            await redis.aclose()

    click.echo(f"{asyncio.run(run()):,} entries forgotten", err=True)
