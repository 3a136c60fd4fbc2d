"""``holonstream init``: make what the pipeline needs in PostgreSQL, Kafka and Neo4j."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import click

from holonstream.ops.command_line import json_option, pass_settings
from holonstream.ops.output import counted, print_json, say

if TYPE_CHECKING:
    from holonstream.ops.settings import Settings
    from holonstream.producers.log.schema import EventLimit

NOTHING_MADE = (
    "nothing was made; `holonstream migrate status` lists what is pending in log and graph, `holonstream doctor` what "
    "else is missing"
)


@click.command()
@json_option
@click.option("--acls", is_flag=True, help="Give relay, workers and readers their rights on the brokers, as ACLs.")
@click.option("--heads", is_flag=True, help="Compare the last version of every stream with the log, and repair it.")
@click.option(
    "--dry-run",
    is_flag=True,
    help="Make nothing; with --acls, print the rights, else which commands say what is missing.",
)
@pass_settings
def init(settings: Settings, as_json: bool, acls: bool, heads: bool, dry_run: bool) -> None:
    """Make what the pipeline needs in each server.

    That is the log's schema with the event types, the topics, and the graph's constraints and checkpoints. May be
    repeated: run it again after an upgrade, when event types were added, and when the log's rows were brought from
    another server (it raises a position sequence that is behind its log). Functions, triggers and rights of the log
    that somebody has altered are made again; rights of others to write to its tables are taken away.
    `holonstream doctor` only checks.

    The last versions of streams that the log keeps beside its events (holonstream.streams) are compared with the last
    10,000 events, and all are repaired when one is wrong. With --heads all are compared; appends wait meanwhile.

    The topic's max.message.bytes, which may be the brokers', is stored in the log: appends refuse an event whose record
    would not fit. Run init again after it was changed. Of several namespaces of one log the smallest counts; init names
    another one's topic, and how to take its limit away when it is used no more.

    A topic of events that may lose events (finite retention, compaction, unclean leader election, too few replicas) is
    refused, with the settings that are wrong.

    With --acls only the relay may write to the topic, if the brokers have an authorizer and refuse anyone who has
    no ACL (docs/kafka.md). Whose rights these are, HOLONSTREAM_RELAY_PRINCIPAL and the like say. ACLs that earlier
    releases gave the same logins, for groups by their beginning, are removed. Others by which more may be written, such
    as those of a login that had another name, are printed with the command that removes them. It needs the right to
    alter the cluster.
    """
    from confluent_kafka.admin import AdminClient

    from holonstream.ops import acls as rights
    from holonstream.ops.kafka import client

    if dry_run:
        wanted = [rights.described(acl) for acl in rights.rights(settings)] if acls else []
        earlier = [rights.described(acl) for acl in rights.earlier_rights(settings)] if acls else []
        if as_json:
            print_json({"acls": wanted, "acls_removed": earlier})
        for line in () if as_json else [*wanted, *(f"removed: {line}" for line in earlier)]:
            say(line)
        if not acls:
            say(NOTHING_MADE, err=True)
        return
    done = initialise(settings, heads=heads)
    if acls:
        count = rights.make_acls(settings)
        say(f"kafka: {count} ACLs", err=True)
        done["kafka"]["acls"] = count
        removed = [rights.described(acl) for acl in rights.remove_earlier(settings)]
        for line in removed:
            say(f"kafka: removed an ACL of an earlier release: {line}", err=True)
        done["kafka"]["acls_removed"] = removed
        foreign = rights.foreign_rights(settings, AdminClient(client(settings))) or []
        for acl in foreign:
            say(f"kafka: beyond what init gives: {rights.described(acl)}: {rights.removal(acl)}", err=True)
        done["kafka"]["acls_beyond"] = [rights.described(acl) for acl in foreign]
    if as_json:
        print_json(done)


def initialise(settings: Settings, *, heads: bool = False) -> dict[str, Any]:
    """Make what the pipeline needs; print what was done on standard error, and return it.

    `heads`: compare the last version of every stream with the log.
    """
    from holonstream.client import connections
    from holonstream.ops import wiring
    from holonstream.ops.servers import closed_brokers
    from holonstream.ops.topics import MAKING_TIMEOUT, make_topics
    from holonstream.producers.log.schema import apply_schema, repair_heads, repair_sequence, store_topic_limit

    known = connections.catalogue(settings)
    with ThreadPoolExecutor(1) as pool:
        # What takes longest runs beside the rest, which does not need it.
        indexes = pool.submit(lambda: asyncio.run(wiring.upgrade_graph(settings, known)))
        changed = apply_schema(settings.log_dsn, known)
        say(f"log: schema {'applied' if changed else 'was current'}, {len(known.types)} event types", err=True)
        if (position := repair_sequence(settings.log_dsn)) is not None:
            say(f"log: the position sequence was behind the log, and continues from {position:,}", err=True)
        if (wrong := repair_heads(settings.log_dsn, thorough=heads)) > 0:
            say(f"log: {counted(wrong, 'stream')} had another last version than the log: repaired", err=True)
        if (closed := closed_brokers(settings)) is not None:  # it may be starting
            say(f"kafka: no broker answers ({closed}): waiting for one, up to {MAKING_TIMEOUT:.0f} s", err=True)
        topic = make_topics(settings)
        say(
            f"kafka: {settings.topic} with {counted(topic.partitions, 'partition')}, {settings.dead_letter_topic}",
            err=True,
        )
        limit = store_topic_limit(settings.log_dsn, settings.topic, topic.record_bytes)
        say(f"log: events of at most {limit.bytes:,} bytes are taken{whose(limit)}", err=True)
        indexes.result()
    asyncio.run(wiring.initialise_graph(settings, known, topic.partitions))
    say("graph: constraints and checkpoints", err=True)
    return {
        "log": {
            "changed": changed,
            "event_types": len(known.types),
            "raised_to": position,
            "heads_repaired": wrong,
            "max_event_bytes": limit.bytes,
            "limited_by": limit.topic,
        },
        "kafka": {"topic": settings.topic, "partitions": topic.partitions, "dead_letters": settings.dead_letter_topic},
    }


def whose(limit: EventLimit) -> str:
    """Whose limit counts, when it is not ours: nobody else knows whether that namespace is still used."""
    if limit.topic is None:
        return ""
    return f", since topic {limit.topic} takes no more; when no relay publishes to it any more: {limit.removal()}"
