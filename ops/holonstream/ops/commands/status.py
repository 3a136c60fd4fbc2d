"""``holonstream status``: how far each part of the pipeline is."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from holonstream.ops.output import print_json, print_table
from holonstream.ops.settings import Settings

if TYPE_CHECKING:
    from holonstream.ops.status import GroupStatus
    from holonstream.producers.log.frontier import ForeignLocks, FrontierHolder
    from holonstream.producers.relay.status import RelayLeader


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.pass_obj
def status(settings: Settings, as_json: bool) -> None:
    """Show how far log, relay and each consumer group are.

    Lag in offsets includes transaction markers; 0 means that every event is handled. Lag in seconds is the age of the
    oldest event that is not handled. The frontier is the gap-free position of the log: a transaction that has appended
    and stays open holds it back, and is named. A problem is a committed offset that cannot be true for the topic as it
    is: lags mean nothing then.
    """
    from holonstream.ops.kafka import client
    from holonstream.ops.status import TopicStatus
    from holonstream.producers.relay.status import log_status

    with TopicStatus(client(settings), settings.topic) as topic:
        # Read in the order of flow. Otherwise events that are relayed in between would be missing from the ends, and a
        # group would seem to have handled everything too early.
        relayed = topic.relayed(settings.group("relay"))
        log = log_status(settings.log_dsn, settings.namespace, relayed)
        ends = topic.ends()
        groups = [topic.group(settings.group(name), ends) for name in ("graph", "cache")]
        problems = topic.problems(settings.group("relay"), settings.dead_letter_topic, groups)
    frontier, leader = log.frontier, log.leader
    if as_json:
        print_json(
            {
                "log": asdict(frontier),
                "relay": {
                    "position": relayed,
                    "lag": log.lag,
                    "lag_seconds": log.lag_seconds,
                    "leader": leader and asdict(leader),
                },
                "groups": {group.name: _group(group) for group in groups},
                "problems": problems,
            }
        )
        return
    click.echo(f"log      head {frontier.head:,}, gap-free up to {frontier.frontier:,}")
    if frontier.holder is not None:
        held = frontier.holder
        age = "unknown age" if held.age_seconds is None else f"for {held.age_seconds:.1f} s"
        who = f"prepared transaction {held.gid!r}" if held.pid is None else f"pid {held.pid} {_session(held)}"
        click.echo(f"         held back at {held.position:,} by {who}, {held.state} {age}")
    for locks in frontier.foreign:
        click.echo(f"         pid {locks.pid} {_session(locks)} has {locks.count} locks like those of appends: end it")
    click.echo(f"relay    position {relayed:,}, {log.lag:,} events behind, the oldest {log.lag_seconds:.3f} s old")
    click.echo(
        "         no leader: start `holonstream relay`"
        if leader is None
        else f"         led by pid {leader.pid} {_session(leader)}"
    )
    for problem in problems:
        click.echo(f"problem  {problem}: docs/runbook.md")
    for group in groups:
        title = f"{group.name}: {group.state}, {group.members} workers, lag {group.lag:,} ({group.lag_seconds:.3f} s)"
        rows = [[p.partition, p.offset, p.end, p.lag, p.position, p.lag_seconds] for p in group.partitions]
        click.echo()
        print_table(title, ["partition", "offset", "end", "lag", "position", "seconds"], rows)


def _session(session: FrontierHolder | ForeignLocks | RelayLeader) -> str:
    return f"({session.user}, {session.application_name}, {session.address or 'local'})"


def _group(group: GroupStatus) -> dict[str, Any]:
    return {
        "state": group.state,
        "members": group.members,
        "lag": group.lag,
        "lag_seconds": group.lag_seconds,
        "partitions": [asdict(partition) for partition in group.partitions],
    }
