"""``holonstream replay``: rebuild a view from the log."""

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
    from holonstream.ops.replay.graph import GraphReplay, ReplayResult


@click.group()
def replay() -> None:
    """Rebuild the graph, or clear the cache."""


@replay.command("graph")
@click.option("--to-uri", help="Server for the new graph; user and password are those of the live one.")
@click.option("--to-database", default="neo4j", show_default=True, help="Database of that server.")
@click.option("--in-place", is_flag=True, help="Wipe the live graph and fill it again; its workers must be stopped.")
@click.option("--workers", default=2, show_default=True, type=click.IntRange(1), help="Processes to start.")
@click.option("--restart", is_flag=True, help="Wipe what an earlier replay wrote, instead of continuing it.")
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
    """Rebuild the graph from the topic, beside the live one or in place.

    Starts worker processes and ends when they have caught up. With --to-uri they write a new graph, as a consumer group
    of its own; nothing live is touched, and at the end the command prints how to verify the new graph and how to switch
    to it. With --in-place the live graph is wiped first.

    You may interrupt it: the same command continues where it stopped.
    """
    if (to_uri is None) != in_place:
        raise click.UsageError("Give either --to-uri or --in-place")
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
        _print_result(making, asyncio.run(making.finish(moment)))


def _print_result(made: GraphReplay, done: ReplayResult) -> None:
    target = made.target
    click.echo(
        f"The graph at {target.neo4j_uri}, database {target.neo4j_database}, has reached log position "
        f"{done.position:,}: everything that the topic held at {done.moment:%H:%M:%S} UTC."
    )
    if done.discarded:
        click.echo(f"{done.discarded:,} events were discarded again, as decided earlier.")
    if done.parked:
        click.echo(f"{done.parked:,} streams are parked: {made.command('dead-letters list')}")
    uri, database = f"{PREFIX}NEO4J_URI", f"{PREFIX}NEO4J_DATABASE"
    click.echo(f"Verify:  {made.command('verify graph')}")
    if made.live is None:
        click.echo("Then start its workers again: holonstream worker graph")
        return
    click.echo("Switch:  1. start workers of the new graph beside the old ones; they continue where the replay ended:")
    click.echo(f"            {made.command('worker graph')}")
    click.echo("         2. restart the readers with")
    click.echo(f"            {made.assignments(uri, database)}")
    click.echo("         3. stop the workers of the old graph")


@replay.command("cache")
@click.pass_obj
def cache_command(settings: Settings) -> None:
    """Delete every cached holon.

    Reads then fill the cache again, from the graph. Safe at any time, while everything runs. Fills start again a few
    seconds after a cache worker has noticed.
    """
    from holonstream.client import connections
    from holonstream.ops import wiring
    from holonstream.ops.replay.cache import clear_cache

    async def run() -> int:
        redis = connections.redis_client(settings, timeout=wiring.SINK_TIMEOUT)
        try:
            return await clear_cache(redis, settings.namespace)
        finally:
            await redis.aclose()

    click.echo(f"{asyncio.run(run()):,} entries deleted", err=True)
