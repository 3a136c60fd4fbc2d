"""``holonstream replay``: rebuild a view from the log."""

from __future__ import annotations

import asyncio
import signal
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from holonstream.ops.command_line import (
    GRAPH_ADDRESS,
    CommandGroup,
    dry_run_option,
    json_option,
    pass_settings,
    yes_option,
)
from holonstream.ops.output import counted, print_json, printable, say

if TYPE_CHECKING:
    from holonstream.ops.replay.graph import GraphReplay, ReplayResult
    from holonstream.ops.settings import Settings


@click.group(cls=CommandGroup)
def replay() -> None:
    """Rebuild the graph or the topic, or clear the cache."""


@replay.command("graph")
@click.option(
    "--to-uri", type=GRAPH_ADDRESS, help="Server for the new graph; user and password are those of the live one."
)
@click.option("--to-database", default="neo4j", show_default=True, help="Database of that server.")
@click.option("--in-place", is_flag=True, help="Wipe the live graph and fill it again; its workers must be stopped.")
@click.option("--workers", default=2, show_default=True, type=click.IntRange(1), help="Processes to start.")
@click.option("--restart", is_flag=True, help="Wipe what an earlier replay wrote, instead of continuing it.")
@yes_option
@dry_run_option
@json_option
@click.option(
    "--logs",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder for the workers' logs.  [default: a temporary one]",
)
@pass_settings
def graph_command(
    settings: Settings,
    to_uri: str | None,
    to_database: str,
    in_place: bool,
    workers: int,
    restart: bool,
    yes: bool,
    dry_run: bool,
    as_json: bool,
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

    def tell(line: str) -> None:
        say(line, err=True)

    if dry_run:
        plan = asyncio.run(graph.plan(settings, to_uri, to_database, restart=restart))
        if as_json:
            print_json(asdict(plan))
        else:
            say(plan.sentence())
        return

    def confirm(question: str) -> None:
        if not yes:
            click.confirm(printable(question), abort=True, err=True)

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the workers are stopped on the way out
    with tempfile.TemporaryDirectory(prefix="holonstream-replay-") as temporary:
        folder = logs or Path(temporary)
        prepared = (
            graph.in_place(settings, workers=workers, logs=folder, restart=restart, say=tell, confirm=confirm)
            if to_uri is None
            else graph.beside(
                settings, to_uri, to_database, workers=workers, logs=folder, restart=restart, say=tell, confirm=confirm
            )
        )
        making = asyncio.run(prepared)
        moment = making.run()
        done = asyncio.run(making.finish(moment))
    if as_json:
        print_json({**asdict(done), "moment": f"{done.moment:%Y-%m-%dT%H:%M:%SZ}", "environment": making.environment})
    else:
        _print_result(making, done)


def _print_result(made: GraphReplay, done: ReplayResult) -> None:
    target = made.target
    say(
        f"The graph at {target.neo4j_uri}, database {target.neo4j_database}, has reached log position "
        f"{done.position:,}: everything that the topic held at {done.moment:%H:%M:%S} UTC."
    )
    if done.discarded:
        say(f"{counted(done.discarded, 'event')} discarded again, as decided earlier.")
    if done.parked:
        say(f"{counted(done.parked, 'stream')} parked: {made.command('dead-letters list')}")
    uri, database = "HOLONSTREAM_NEO4J_URI", "HOLONSTREAM_NEO4J_DATABASE"
    say(f"Verify:  {made.command('verify graph')}")
    if made.live is None:
        say("Then start its workers again: holonstream worker graph")
        return
    say("Switch:  1. start workers of the new graph beside the old ones; they continue where the replay ended:")
    say(f"            {made.command('worker graph')}")
    say("         2. restart the readers with")
    say(f"            {made.assignments(uri, database)}")
    say("         3. stop the workers of the old graph")


@replay.command("topic")
@yes_option
@dry_run_option
@json_option
@pass_settings
def topic_command(settings: Settings, yes: bool, dry_run: bool, as_json: bool) -> None:
    """Make the topic again, so that the relay publishes the log from its beginning.

    For a topic that lacks events, or has events that the log does not have, as after the log was restored. Refuses
    while a relay leads or workers read. Asks before it deletes the topic. The views are rebuilt afterwards.

    You may interrupt it: until it is done, no relay starts, and the same command begins again.
    """
    from holonstream.ops.replay import topic

    with topic.prepared(settings) as (old, perform):
        if dry_run:
            print_json(asdict(old)) if as_json else say(f"Would: {old.sentence()}")
            return
        if not yes:
            click.confirm(printable(f"{old.sentence()} Go on?"), abort=True, err=True)
        made = perform()
    if as_json:
        print_json({**asdict(made), "topic": old.name, "replaced": old.id, "head": old.head})
        return
    say(f"Topic {old.name} was made again, with {counted(made.partitions, 'partition')}.")
    say("Then:  1. start the relays: they publish the log from its beginning")
    say("       2. rebuild the graph: holonstream replay graph --in-place, or beside with --to-uri")
    say("       3. where the log has lost events: holonstream replay cache")
    say("       4. empty the stores of sinks of your own, with their checkpoints")
    say("       5. start the workers; the cache group reads the new topic by itself")


@replay.command("cache")
@dry_run_option
@json_option
@pass_settings
def cache_command(settings: Settings, dry_run: bool, as_json: bool) -> None:
    """Delete every cached holon.

    Reads then fill the cache again, from the graph. Safe at any time, while everything runs. Fills start again a few
    seconds after a cache worker has noticed.
    """
    from holonstream.client import connections
    from holonstream.ops import wiring
    from holonstream.ops.replay.cache import clear_cache, count_entries

    async def run() -> int:
        redis = connections.redis_client(settings, timeout=wiring.SINK_TIMEOUT)
        try:
            return await (count_entries if dry_run else clear_cache)(redis, settings.namespace)
        finally:
            await redis.aclose()

    count = asyncio.run(run())
    if as_json:
        print_json({"entries": count, "deleted": not dry_run})
    say(f"{counted(count, 'entry', 'entries')} {'would be ' if dry_run else ''}deleted", err=True)
