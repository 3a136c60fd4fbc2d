"""``holonstream status``: how far each part of the pipeline is."""

from __future__ import annotations

import click

from holonstream.ops.output import print_json, print_table
from holonstream.ops.settings import Settings


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
    from holonstream.ops.pipeline import describe_holder, describe_session, pipeline_status
    from holonstream.ops.status import TopicStatus

    with TopicStatus(client(settings), settings.topic) as topic:
        now = pipeline_status(settings, topic)
    if as_json:
        print_json(now.document())
        return
    log, frontier, leader = now.log, now.log.frontier, now.log.leader
    click.echo(f"log      head {frontier.head:,}, gap-free up to {frontier.frontier:,}")
    if (held := frontier.holder) is not None:
        click.echo(f"         held back at {held.position:,} by {describe_holder(held)}")
    for locks in frontier.foreign:
        click.echo(
            f"         pid {locks.pid} {describe_session(locks)} has {locks.count} locks like those of appends: end it"
        )
    click.echo(f"relay    position {now.relayed:,}, {log.lag:,} events behind, the oldest {log.lag_seconds:.3f} s old")
    click.echo(
        "         no leader: start `holonstream relay`"
        if leader is None
        else f"         led by pid {leader.pid} {describe_session(leader)}"
    )
    for problem in now.problems:
        click.echo(f"problem  {problem}: docs/runbook.md")
    for group in now.groups.values():
        title = f"{group.name}: {group.state}, {group.members} workers, lag {group.lag:,} ({group.lag_seconds:.3f} s)"
        rows = [[p.partition, p.offset, p.end, p.lag, p.position, p.lag_seconds] for p in group.partitions]
        click.echo()
        print_table(title, ["partition", "offset", "end", "lag", "position", "seconds"], rows)
