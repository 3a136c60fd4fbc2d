"""``holonstream status``: how far each part of the pipeline is."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from holonstream.ops.command_line import json_option, pass_settings, timeout_option, watch_options
from holonstream.ops.output import counted, print_json, print_json_line, print_text, printable, redraw, say, table_text

if TYPE_CHECKING:
    from holonstream.ops.overview import Overview
    from holonstream.ops.settings import Settings
    from holonstream.producers.relay.status import LogStatus


@click.command()
@json_option
@watch_options
@timeout_option
@pass_settings
def status(settings: Settings, as_json: bool, watch: bool, interval: float, timeout: float) -> None:
    """Show how far log, relay and each consumer group are.

    Lag in offsets includes transaction markers; 0 means that every event is handled. Lag in seconds is the age of the
    oldest event that is not handled. The frontier is the gap-free position of the log: a transaction that has appended
    and stays open holds it back, and is named. A problem is a committed offset that cannot be true for the topic as it
    is, so that lags mean nothing, or a transaction of another program that is open on the topic, so that its readers
    wait.

    A server that does not answer is named within 3 s, with its address and why, beside what is known of the others;
    the exit code is 3 then. With --watch --json each report is one line. In JSON `stuck` has what stands in the way,
    with what to do (`remedy`).
    """
    from holonstream.ops.overview import overview

    if watch:
        if as_json:
            redraw(interval, lambda: print_json_line(overview(settings, timeout).document(settings)))
        else:
            redraw(interval, lambda: print_text(_watched(overview(settings, timeout), settings)), clears=True)
        return
    now = overview(settings, timeout)
    if as_json:
        print_json(now.document(settings))
    else:
        print_text(_report(now))
    for trouble in now.silent(settings):
        say(f"error: {trouble.what}: {trouble.remedy}", err=True)
    if now.failed:
        raise click.exceptions.Exit(3 if now.unavailable else 1)


def _watched(now: Overview, settings: Settings) -> str:
    silent = (f"error: {trouble.what}: {trouble.remedy}" for trouble in now.silent(settings))
    return _report(now) + "".join(f"{printable(line)}\n" for line in silent)


def _report(now: Overview) -> str:
    """What answered, for people."""
    lines = "".join(f"{printable(line)}\n" for line in _lines(now))
    columns = ["partition", "offset", "end", "lag", "position", "seconds"]
    for group in now.groups.values():
        workers = counted(group.members, "worker")
        title = f"{group.name}: {group.state}, {workers}, lag {group.lag:,} ({group.lag_seconds:.3f} s)"
        rows = [[p.partition, p.offset, p.end, p.lag, p.position, p.lag_seconds] for p in group.partitions]
        lines += f"\n{printable(title)}\n{table_text(columns, rows)}"
    return lines


def _lines(now: Overview) -> Iterator[str]:
    from holonstream.ops.pipeline import describe_session

    if now.log is not None:
        yield from _log(now.log)
    if now.log is not None and now.relayed is not None:
        yield (
            f"relay    position {now.relayed:,}, {counted(now.log.lag, 'event')} behind"
            + (f", the oldest {now.log.lag_seconds:.3f} s old" if now.log.lag else "")
        )
    elif now.relayed is not None:
        yield f"relay    position {now.relayed:,}"
    if now.log is not None:
        leader = now.log.leader
        yield (
            "         no leader" if leader is None else f"         led by pid {leader.pid} {describe_session(leader)}"
        )
    if now.graph is not None:
        parked = f", {counted(now.graph.parked, 'stream')} parked" if now.graph.parked else ""
        group = now.groups.get("graph")
        if group is not None and group.lag == 0:  # a partition without events is visible up to 0
            yield f"graph    has everything that is on the topic{parked}"
        else:
            yield f"graph    every partition is visible up to {now.graph.visible_position:,} at least{parked}"
    for trouble in now.held_up():
        yield f"problem  {trouble.where}: {trouble.what}: {trouble.remedy}"


def _log(log: LogStatus) -> Iterator[str]:
    from holonstream.ops.pipeline import describe_holder, describe_session

    frontier = log.frontier
    yield f"log      head {frontier.head:,}, gap-free up to {frontier.frontier:,}"
    if frontier.holder is not None:
        yield f"         held back at {frontier.holder.position:,} by {describe_holder(frontier.holder)}"
    for locks in frontier.foreign:
        who = f"pid {locks.pid} {describe_session(locks)}"
        yield f"         {who} has {counted(locks.count, 'lock')} like those of appends"
