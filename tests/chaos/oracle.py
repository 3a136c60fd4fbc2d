"""The checks at the end of a run, when all have caught up: log, topic, graph, cache, offsets and reads."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections import defaultdict
from dataclasses import dataclass, field
from itertools import groupby
from time import monotonic
from typing import Any

import psycopg
from confluent_kafka import Consumer, TopicPartition

from holonstream.client import connections
from holonstream.ops import wiring
from holonstream.ops.kafka import client
from holonstream.ops.status import TopicStatus
from holonstream.schemas import wire
from holonstream.schemas.catalogue import Catalogue
from holonstream.schemas.errors import BadData
from holonstream.schemas.partition import partition_of
from holonstream.schemas.projection import apply
from holonstream.schemas.state import State, stream_of
from holonstream.sinks.graph import checkpoint
from tests.chaos.ledger import Ledger
from tests.chaos.readers import state_digest
from tests.chaos.schedule import GROUPS
from tests.chaos.topic import TopicObserver, digest
from tests.chaos.violations import Violations
from tests.chaos.world import PARTITIONS, World

LAST_MARKERS = 15.0  # seconds until groups have committed the transaction markers behind the last event
LOG = """
SELECT id::text, stream, version, position, holonstream.cloud_event_v2(e) FROM holonstream.events e ORDER BY position
"""


@dataclass
class Log:
    """The log as PostgreSQL has it, and what follows from it."""

    places: dict[str, tuple[str, int, int]] = field(default_factory=dict)
    """stream, version, position by event id"""
    digests: dict[str, bytes] = field(default_factory=dict)
    states: dict[str, State] = field(default_factory=dict)
    """by stream; of one with an event that cannot be applied, the state before that event"""
    history: dict[tuple[str, int], bytes] = field(default_factory=dict)
    """digest of each state that an entity has had, by stream and position"""
    positions: dict[str, list[int]] = field(default_factory=lambda: defaultdict(list))
    parked: dict[str, int] = field(default_factory=dict)
    """version of the event that cannot be applied, by stream"""
    ends: dict[int, int] = field(default_factory=dict)
    """last position by partition"""


def read_log(dsn: str) -> Log:
    """Read the log and fold it, stream by stream as the sink should have done."""
    log = Log()
    catalogue = Catalogue.load()
    with psycopg.connect(dsn) as connection, connection.cursor(name="chaos") as cursor:
        for id_, stream, version, position, text in cursor.execute(LOG):
            log.places[id_] = (stream, version, position)
            log.digests[id_] = digest(text.encode())
            log.positions[stream].append(position)
            log.ends[partition_of(stream, PARTITIONS)] = position
            if stream in log.parked:
                continue
            try:
                state = apply(catalogue, log.states.get(stream), wire.decode(text.encode()))
            except BadData:
                log.parked[stream] = version
                continue
            if state is not None:
                log.states[stream] = state
                log.history[stream, position] = state_digest(state)
    return log


def read_ends(dsn: str) -> dict[int, int]:
    """The last position of each partition."""
    with psycopg.connect(dsn) as connection:
        rows = connection.execute("SELECT stream, max(position) FROM holonstream.events GROUP BY stream").fetchall()
    ends: dict[int, int] = {}
    for stream, position in rows:
        partition = partition_of(stream, PARTITIONS)
        ends[partition] = max(position, ends.get(partition, 0))
    return ends


def activity(dsn: str) -> list[list[str]]:
    """The sessions of PostgreSQL and the frontier's locks: evidence of why nothing moves."""
    with psycopg.connect(dsn) as connection:
        rows = connection.execute(
            "SELECT a.application_name, a.state, a.wait_event, a.xact_start::text, l.held::text, left(a.query, 100) "
            "FROM pg_stat_activity a LEFT JOIN holonstream.frontier_locks l USING (pid) "
            "WHERE a.datname = current_database() ORDER BY a.xact_start"
        ).fetchall()
    return [[str(value) for value in row] for row in rows]


def check_writers(log: Log, ledger: Ledger, violations: Violations) -> None:
    """The log has every acknowledged event in its place, none that was rolled back, and no half transaction."""
    for id_, place in ledger.committed.items():
        if log.places.get(id_) != place:
            violations.add(
                "an acknowledged event is not in the log", id=id_, acknowledged=place, log=log.places.get(id_)
            )
    for id_ in ledger.rolled_back & log.places.keys():
        violations.add("a rolled back event is in the log", id=id_, log=log.places[id_])
    by_transaction = groupby(sorted(ledger.uncertain.items(), key=lambda item: item[1]), key=lambda item: item[1])
    for _, members in by_transaction:
        ids = [id_ for id_, _ in members]
        if 0 < sum(id_ in log.places for id_ in ids) < len(ids):
            violations.add("half a transaction is in the log", ids=ids)


def check_topic(log: Log, topic: TopicObserver, violations: Violations) -> None:
    """The topic has every event of the log, unchanged, and no other. (`TopicObserver` has checked the order.)"""
    for id_, place in log.places.items():
        seen = topic.seen.get(id_)
        if seen is None:
            violations.add("an event is missing on the topic", id=id_, log=place)
        elif (seen.stream, seen.version, seen.position) != place or seen.digest != log.digests[id_]:
            violations.add("an event is another one on the topic", id=id_, log=place, topic=repr(seen))
    for id_ in topic.seen.keys() - log.places.keys():
        violations.add("the topic has an event that the log lacks", id=id_, topic=repr(topic.seen[id_]))


def check_reads(
    log: Log, shown: dict[tuple[str, int], bytes], hits: dict[tuple[str, int], int], violations: Violations
) -> None:
    """Readers saw states that the log had; no hit was older than an invalidation acknowledged before it."""
    for (stream, position), found in shown.items():
        if log.history.get((stream, position)) != found:
            known = (stream, position) in log.history
            violations.add("a read showed what never was", stream=stream, position=position, position_known=known)
    for (stream, position), acknowledged in hits.items():
        missed = [p for p in log.positions[stream] if position < p <= acknowledged]
        if missed:
            violations.add(
                "a cached value older than an acknowledged invalidation",
                stream=stream, position=position, missed=missed, acknowledged=acknowledged, found="at the end",
            )  # fmt: skip


def check_graph(world: World, log: Log, poisoned: set[str], violations: Violations) -> dict[str, Any]:
    """The graph is the fold of the log, the poisoned streams are parked, and `verify graph` agrees."""
    exported = {}
    for state in asyncio.run(wiring.graph_states(world.settings)):
        kind = type(state).__name__.lower()
        exported[stream_of(kind, state.id)] = state
    for stream in exported.keys() | log.states.keys():
        wanted, found = log.states.get(stream), exported.get(stream)
        if wanted is None or found is None or state_digest(wanted) != state_digest(found):
            violations.add("the graph is not the fold of the log", stream=stream, log=repr(wanted), graph=repr(found))
    parked = {mark["stream"]: mark["version"] for mark in _json(world, "dead-letters", "list", "--json")}
    if parked != log.parked:
        violations.add("the parked streams are not those that cannot be applied", log=log.parked, graph=parked)
    if unknown := log.parked.keys() - poisoned:
        violations.add("an event of the load cannot be applied", streams=sorted(unknown))
    tally = _json(world, "verify", "graph", "--json", codes=(0, 1))
    if tally["diverging"]:
        violations.add("verify graph finds differences", tally=tally)
    return {"entities": len(exported), "parked": len(parked), "verify graph": tally["diverging"]}


def check_cache(world: World, violations: Violations) -> dict[str, Any]:
    """`verify cache` finds no violation in any entry."""
    tally = _json(world, "verify", "cache", "--all", "--json", codes=(0, 1))
    if tally["violations"]:
        violations.add("verify cache finds violations", tally=tally)
    return {"cache entries": tally["entries"], "verify cache": tally["violations"]}


def check_offsets(world: World, log: Log, topic: TopicObserver, violations: Violations) -> None:
    """Groups have committed the ends of the topic; checkpoints stand at its last events; the relay at the log's."""
    settings = world.settings
    with TopicStatus(client(settings), settings.topic) as status:
        ends = status.ends()
        until = monotonic() + LAST_MARKERS
        while True:
            groups = {name: status.group(settings.group(name), ends) for name in GROUPS}
            if not any(group.lag for group in groups.values()) or monotonic() > until:
                break
        relayed = status.group(settings.group("relay"), {0: 0}, seconds=False).partitions[0].offset
    if relayed != max(log.ends.values(), default=0):
        violations.add("the relay's position is not the log's last", relay=relayed, log=log.ends)
    for name, group in groups.items():
        for place in group.partitions:
            if place.offset != place.end:
                violations.add(
                    "a group has not committed the end", group=name, partition=place.partition, offset=place.offset,
                    end=place.end, position=place.position, log=log.ends.get(place.partition),
                )  # fmt: skip
    for mark in asyncio.run(_checkpoints(world)):
        last = topic.last_offset.get(mark.partition, -1)
        if mark.visible_position != log.ends.get(mark.partition, 0) or not last < mark.offset <= ends[mark.partition]:
            violations.add(
                "a checkpoint is not at the end", partition=mark.partition, offset=mark.offset,
                position=mark.visible_position, last_record=last, end=ends[mark.partition],
                log=log.ends.get(mark.partition),
            )  # fmt: skip


def check_dead_letters(world: World, garbage: set[tuple[int, int]], violations: Violations) -> None:
    """Each undecodable record has been dead-lettered."""
    settings = world.settings
    consumer = Consumer(
        {
            **client(settings),
            "group.id": "chaos-letters",
            "enable.auto.commit": False,
            "isolation.level": "read_committed",
            "enable.partition.eof": True,
        }
    )
    found = set()
    try:
        consumer.assign([TopicPartition(settings.dead_letter_topic, 0, 0)])
        while (message := consumer.poll(20)) is not None and message.error() is None:
            letter = json.loads(message.value() or b"")
            found.add((letter["partition"], letter["offset"]))
    finally:
        consumer.close()
    for partition, offset in garbage - found:
        violations.add("an undecodable record was not dead-lettered", partition=partition, offset=offset)


async def _checkpoints(world: World) -> list[checkpoint.Checkpoint]:
    async with connections.graph_connection(world.settings) as connection:
        return await checkpoint.checkpoints(connection, world.settings.topic)


def _json(world: World, *arguments: str, codes: tuple[int, ...] = (0,)) -> Any:
    done = subprocess.run(
        [sys.executable, "-m", "holonstream", *arguments],
        env={**os.environ, **world.direct},
        capture_output=True,
        text=True,
        timeout=300,
    )
    if done.returncode not in codes or not done.stdout.strip():
        raise RuntimeError(f"holonstream {' '.join(arguments)}: code {done.returncode}: {done.stderr[-2000:]}")
    return json.loads(done.stdout)
