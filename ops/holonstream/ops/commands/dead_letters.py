"""``holonstream dead-letters``: list the parked streams of the graph, and redrive or discard them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from holonstream.ops.command_line import (
    MAX_POSITION,
    STREAM,
    VIEW,
    CommandGroup,
    ask,
    dry_run_option,
    json_always_option,
    json_option,
    pass_settings,
    yes_option,
)
from holonstream.ops.output import counted, print_json, print_table, say

if TYPE_CHECKING:
    from holonstream.ops.settings import Settings
    from holonstream.producers.log.reader import LogReader
    from holonstream.schemas.state import State
    from holonstream.sinks.parked import ParkedStream, RedriveResult, StreamRedriver

sink_option = click.option("--sink", metavar="MODULE:FACTORY", help="A sink of your own, in place of the graph.")


@click.group("dead-letters", cls=CommandGroup)
def dead_letters() -> None:
    """List, redrive or discard events that cannot be applied.

    An event that cannot be applied parks its stream: that event and all later ones of the stream stay out of the graph,
    while other streams continue. Fix the cause (usually: deploy the schema that the event needs), then redrive. These
    commands are safe while workers run.

    They are about the graph; with --sink, about a sink of your own, which they load and open as `holonstream worker`
    does (docs/own-sink.md, Parked streams). `history` shows what any view left out.
    """


@dead_letters.command("list")
@sink_option
@json_option
@pass_settings
def list_command(settings: Settings, sink: str | None, as_json: bool) -> None:
    """List the parked streams, with the reason for each.

    Also: from which version on a stream is parked, and how many later events of it wait in the log.
    """
    rows = asyncio.run(_list(settings, sink=sink))
    if as_json:
        print_json(rows)
        return
    columns = ["stream", "version", "position", "partition", "waiting", "reason"]
    print_table(counted(len(rows), "parked stream"), columns, [[row[name] for name in columns] for row in rows])


@dead_letters.command("history")
@click.option("--view", type=VIEW, help="Only this one (graph, cache, sink-NAME of a sink of your own).")
@click.option("--limit", default=100, show_default=True, type=click.IntRange(1, 100_000), help="The newest so many.")
@json_option
@pass_settings
def history_command(settings: Settings, view: str | None, limit: int, as_json: bool) -> None:
    """Print the dead-letter topic: every record that a view left out.

    Sinks of one's own are among the views. Letters stay when a stream is redriven, and one may be there twice.
    """
    from holonstream.ops.letters import FIELDS, newest_letters

    letters = newest_letters(settings, limit, view)
    if as_json:
        print_json(letters)
    else:
        print_table(counted(len(letters), "letter"), FIELDS, [list(letter.values()) for letter in letters])


@dead_letters.command("show")
@click.argument("stream", type=STREAM)
@sink_option
@json_always_option
@pass_settings
def show_command(settings: Settings, stream: str, sink: str | None) -> None:
    """Print why STREAM is parked, with the event and the state.

    As JSON: the reason, the event that cannot be applied, and the state of the entity before it (of the graph only).

    STREAM is holon/<id> or relationship/<id>.
    """
    print_json(asyncio.run(_show(settings, stream, sink)))


@dead_letters.command("redrive")
@click.argument("streams", nargs=-1, type=STREAM)
@click.option("--all", "every", is_flag=True, help="Every parked stream.")
@sink_option
@json_option
@dry_run_option
@pass_settings
def redrive_command(
    settings: Settings, streams: tuple[str, ...], every: bool, sink: str | None, as_json: bool, dry_run: bool
) -> None:
    """Apply the events of parked STREAMS, and unpark these.

    Reads the events from the log again. A stream with an event that still cannot be applied stays parked, at that
    event. Uses the schemas of this installation: workers with older ones may park the stream again at the next such
    event. Exits with 1 when a stream stays parked.
    """
    if bool(streams) == every:
        raise click.UsageError("Name the streams, or give --all")
    if dry_run:
        rows = asyncio.run(_list(settings, streams, sink))
        if as_json:
            print_json(rows)
        for row in [] if as_json else rows:
            waiting = counted(row["waiting"], "later event")
            say(f"{row['stream']}: would be tried from version {row['version']}, {waiting} of it in the log")
        return
    done = asyncio.run(_redrive(settings, streams, sink, None if as_json else _print))
    if as_json:
        print_json([_result(redriven) for redriven in done])
    still = sum(1 for redriven in done if redriven.parked is not None)
    applied = sum(redriven.applied for redriven in done)
    say(
        f"{counted(len(done) - still, 'stream')} unparked, {counted(applied, 'event')} applied, {still:,} still parked",
        err=True,
    )
    if still:
        raise click.exceptions.Exit(1)


@dead_letters.command("discard")
@click.argument("stream", type=STREAM)
@click.option(
    "--version", required=True, type=click.IntRange(1), help="Version of the event, as `list` and `show` print it."
)
@click.option("--note", help="The reason for the decision, stored with it.")
@sink_option
@json_option
@dry_run_option
@yes_option
@pass_settings
def discard_command(
    settings: Settings,
    stream: str,
    version: int,
    note: str | None,
    sink: str | None,
    as_json: bool,
    dry_run: bool,
    yes: bool,
) -> None:
    """Leave the event that parks STREAM out permanently.

    Then redrives the rest of the stream. The decision is stored in the graph, and `verify` respects it. The log keeps
    the event. It cannot be undone, so that the command asks, if it runs at a terminal.

    With --sink nothing is stored but what the sink makes of the other events: when its store is made again from the
    beginning, the event parks its stream again.
    """
    if sink is not None and note is not None:
        raise click.UsageError("--note is stored in the graph: it cannot be given with --sink")
    if dry_run:
        (row,) = asyncio.run(_list(settings, [stream], sink))
        would = row["version"] == version
        if as_json:
            print_json({**row, "would_discard": would})
        else:
            say(f"{stream}: version {row['version']} parks it{', and would be discarded' if would else ''}")
        if not would:
            raise click.exceptions.Exit(1)
        return
    ask(f"Leave version {version} of {stream} out of {sink or 'the graph'} for good?", yes=yes)

    async def discard() -> RedriveResult:
        async with _opened(settings, sink) as (redriver, _):
            return await redriver.discard(stream, version, note)

    done = asyncio.run(discard())
    if as_json:
        print_json(_result(done))
    else:
        _print(done)
    if done.parked is not None:
        raise click.exceptions.Exit(1)


@asynccontextmanager
async def _opened(settings: Settings, sink: str | None) -> AsyncIterator[tuple[StreamRedriver, LogReader]]:
    """What redrives the graph, or a sink of one's own, and the log."""
    from holonstream.client import connections
    from holonstream.ops import wiring
    from holonstream.ops.own_sink import load_sink
    from holonstream.producers.log.reader import LogReader
    from holonstream.sinks.graph.recovery.redrive import Redriver

    own = None if sink is None else load_sink(sink)
    with LogReader(settings.log_dsn, "holonstream-redrive") as log:
        if own is not None:
            async with wiring.sink_redriver(settings, own, log) as redriver:
                yield redriver, log
            return
        async with connections.graph_connection(settings) as connection:
            yield Redriver(connection, connections.catalogue(settings), settings.topic, log), log


async def _list(settings: Settings, streams: Sequence[str] = (), sink: str | None = None) -> list[dict[str, Any]]:
    """Parked streams: all, or those that are named, which must be parked."""
    async with _opened(settings, sink) as (redriver, log):
        parked = [await redriver.find(stream) for stream in streams] if streams else await redriver.parked()
        return _placed(log, parked)


def _placed(log: LogReader, parked: Sequence[ParkedStream]) -> list[dict[str, Any]]:
    """Parked streams in log order, with what only the log knows, which is asked once for all."""
    places = log.places({mark.stream: mark.version for mark in parked})
    rows = []
    for mark in parked:
        position, last = places.get(mark.stream, (None, 0))
        known = {"position": mark.position or position or 0, "waiting": max(last - mark.version, 0)}
        rows.append({**asdict(mark), **known})
    return sorted(rows, key=lambda row: row["position"])


def _event(value: bytes) -> Any:
    """The event as JSON values; as its text when it cannot be read."""
    from holonstream.schemas import jsontext
    from holonstream.schemas.errors import BadData

    try:
        return jsontext.decode(value)
    except BadData:
        return value.decode()


async def _show(settings: Settings, stream: str, sink: str | None = None) -> dict[str, Any]:
    async with _opened(settings, sink) as (redriver, log):
        mark = await redriver.find(stream)
        events = log.read(stream, mark.version - 1, MAX_POSITION, 1)
        return {
            **_placed(log, [mark])[0],
            # None: the record did not come from the relay
            "event": _event(events[0].value) if events and events[0].version == mark.version else None,
            "state": _document(await redriver.state(stream)),
        }


async def _redrive(
    settings: Settings, streams: tuple[str, ...], sink: str | None, show: Callable[[RedriveResult], None] | None
) -> list[RedriveResult]:
    done = []
    async with _opened(settings, sink) as (redriver, _):
        for stream in streams:
            await redriver.find(stream)  # raises when it is not parked
        async for redriven in redriver.redrive(streams or [mark.stream for mark in await redriver.parked()]):
            if show is not None:
                show(redriven)
            done.append(redriven)
    return done


def _result(done: RedriveResult) -> dict[str, Any]:
    return {
        "stream": done.stream,
        "applied": done.applied,
        "discarded": done.discarded,
        "parked": None if done.parked is None else asdict(done.parked),
    }


def _print(done: RedriveResult) -> None:
    outcome = (
        "unparked" if done.parked is None else f"still parked at version {done.parked.version}: {done.parked.reason}"
    )
    left_out = f", {done.discarded:,} discarded" if done.discarded else ""
    say(f"{done.stream}: {counted(done.applied, 'event')} applied{left_out}, {outcome}")


def _document(state: State | None) -> dict[str, Any] | None:
    from holonstream.schemas.state import Holon, holon_document, relationship_document

    if state is None:
        return None
    return holon_document(state) if isinstance(state, Holon) else relationship_document(state)
