"""``holonstream init``: make what the pipeline needs in PostgreSQL, Kafka and Neo4j."""

from __future__ import annotations

import asyncio

import click

from holonstream.ops.settings import Settings


@click.command()
@click.pass_obj
def init(settings: Settings) -> None:
    """Make what the pipeline needs in each server.

    That is the log's schema with the event types, the topics, and the graph's constraints and checkpoints. May be
    repeated: run it again after an upgrade, when event types were added, and when the log's rows were brought from
    another server (it raises a position sequence that is behind its log).

    A topic of events that may lose events (finite retention, compaction, unclean leader election, too few replicas) is
    refused, with the settings that are wrong.
    """
    initialise(settings)


def initialise(settings: Settings) -> None:
    """Make what the pipeline needs; print what was done on standard error."""
    from holonstream.client import connections
    from holonstream.ops import wiring
    from holonstream.ops.topics import make_topics
    from holonstream.producers.log.schema import apply_schema, repair_sequence

    known = connections.catalogue(settings)
    changed = apply_schema(settings.log_dsn, known)
    click.echo(f"log: schema {'applied' if changed else 'was current'}, {len(known.types)} event types", err=True)
    if (position := repair_sequence(settings.log_dsn)) is not None:
        click.echo(f"log: the position sequence was behind the log, and continues from {position:,}", err=True)
    topic = make_topics(settings)
    click.echo(f"kafka: {settings.topic} with {topic.partitions} partitions, {settings.dead_letter_topic}", err=True)
    asyncio.run(wiring.initialise_graph(settings, known, topic.partitions))
    click.echo("graph: constraints and checkpoints", err=True)
