"""The whole pipeline at one moment, what holds it up, and what to do about that."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from holonstream.ops.output import counted
from holonstream.ops.settings import Settings
from holonstream.ops.status import GroupStatus, TopicStatus
from holonstream.producers.log.frontier import ForeignLocks, FrontierHolder
from holonstream.producers.relay.lease import RelayLeader
from holonstream.producers.relay.status import LogStatus, log_status
from holonstream.schemas import names
from holonstream.schemas.errors import HolonstreamError

GRAPH_TIMEOUT = 3.0  # seconds for the graph's checkpoints
LONG_OPEN = 5.0  # seconds that an append's transaction may stay open before it counts as trouble
LONG_UNPUBLISHED = 10.0  # seconds that an event may wait for a relay that leads


@dataclass(frozen=True, slots=True)
class PipelineStatus:
    """How far log, relay and each consumer group are."""

    relayed: int
    """log position that the relay has committed"""
    log: LogStatus
    groups: dict[str, GroupStatus]
    """by view: ``graph``, ``cache``, and those of sinks of one's own"""
    problems: list[str]
    """why committed offsets cannot be true for the topic as it is, what holds its readers up, and by which settings it
    may lose events"""

    def document(self) -> dict[str, Any]:
        """As JSON values, in the form that `holonstream status --json` prints."""
        return {
            "log": asdict(self.log.frontier),
            "relay": {
                "position": self.relayed,
                "lag": self.log.lag,
                "lag_seconds": self.log.lag_seconds,
                "leader": self.log.leader and asdict(self.log.leader),
            },
            "groups": {group.name: group_document(group) for group in self.groups.values()},
            "problems": self.problems,
        }


def pipeline_status(settings: Settings, topic: TopicStatus) -> PipelineStatus:
    """Ask brokers and log. Raises KafkaUnavailable, LogUnavailable, NotInitialised, NotPermitted."""
    # Read in the order of flow. Otherwise events that are relayed in between would be missing from the ends, and a
    # group would seem to have handled everything too early.
    relayed = topic.relayed(settings.group("relay"))
    log = log_status(settings.log_dsn, settings.namespace, relayed)
    asked = topic_report(settings, topic)
    return PipelineStatus(relayed, log, asked.groups, asked.problems)


@dataclass(frozen=True, slots=True)
class TopicReport:
    """What the brokers know of the topic, and of those who read it."""

    groups: dict[str, GroupStatus]
    """as in `PipelineStatus`"""
    problems: list[str]
    """as in `PipelineStatus`"""
    open_seconds: float
    """age of the oldest transaction that is open on the topic, 0.0 without one"""


def topic_report(settings: Settings, topic: TopicStatus, *, compares: bool = True) -> TopicReport:
    """Ask the brokers, and the graph with which its group is compared. Without `compares` the graph is not asked.

    Raises KafkaUnavailable, NotInitialised, NotPermitted; a graph that does not answer is not compared.
    """
    relay = settings.group("relay")
    groups, behind = compared_groups(settings, topic, compares=compares)
    places = topic.problems(relay, settings.dead_letter_topic, groups.values())
    opened = topic.open_transactions(relay)
    holding = [topic.describe(one) for one in opened if one.is_long_open]
    problems = behind + places + holding + topic.unsafe(settings)
    return TopicReport(groups, problems, max((one.seconds for one in opened), default=0.0))


def compared_groups(
    settings: Settings, topic: TopicStatus, *, compares: bool = True
) -> tuple[dict[str, GroupStatus], list[str]]:
    """Each consumer group, the graph's as its checkpoints say, and what is wrong when the graph has less.

    Raises as `topic_report`.
    """
    ends = topic.high_watermarks()  # what an open transaction holds back is not handled either
    groups = {name: topic.group(settings.group(name), ends) for name in topic.views(settings)}
    if not compares:
        return groups, []
    groups["graph"], behind = topic.compared(groups["graph"], graph_offsets(settings, groups["graph"]))
    return groups, behind


def graph_offsets(settings: Settings, group: GroupStatus) -> dict[int, int]:
    """The offsets of the graph's checkpoints; those of its group where the graph does not answer."""
    from holonstream.client.connections import graph_connection
    from holonstream.sinks.graph.checkpoint import read_all

    async def ask() -> dict[int, int]:
        async with asyncio.timeout(GRAPH_TIMEOUT), graph_connection(settings) as connection:
            return {place.partition: place.offset for place in await read_all(connection, settings.topic)}

    try:
        return asyncio.run(ask())
    except (HolonstreamError, TimeoutError):
        return {lag.partition: lag.offset for lag in group.partitions}


@dataclass(frozen=True, slots=True)
class Trouble:
    """Something that holds the pipeline up, and what to do about it."""

    where: str
    """log, relay, topic, or a view"""
    what: str
    remedy: str


def troubles(log: LogStatus | None, groups: Mapping[str, GroupStatus], problems: Sequence[str]) -> Iterator[Trouble]:
    """What holds the pipeline up, in the order of flow; None and nothing stand for what did not answer."""
    if log is not None:
        yield from _log_troubles(log)
    for problem in problems:
        yield Trouble("topic", problem, "docs/runbook.md")
    for name, group in groups.items():
        if not group.members:
            own = name not in names.VIEWS
            remedy = f"start `holonstream worker {'MODULE:FACTORY' if own else name}`"
            retire = f", or retire it: delete its group {group.name}" if own else ""
            yield Trouble(name, f"no worker, {counted(group.lag, 'record')} to handle", remedy + retire)
        if group.parked:
            yield parked(name, group.parked, is_current=bool(group.members))


def parked(view: str, streams: int, *, is_current: bool = True) -> Trouble:
    """That streams are parked in a view, and what to do about it.

    `is_current`: whether a worker runs, which commits how many they are. A redrive without one changes the store alone.
    """
    what = f"{counted(streams, 'stream')} parked"
    if not is_current:
        what += " when its last worker ended"
    what += f", so that events are missing from {'the graph' if view == 'graph' else 'its store'}"
    if not is_current:
        what += " unless they were redriven since"
    return Trouble(view, what, f"`{parked_command(view)}` says why; fix the cause, then redrive")


def parked_command(view: str) -> str:
    """The command that lists what is parked in a view."""
    return "holonstream dead-letters list" + ("" if view in names.VIEWS else " --sink MODULE:FACTORY")


def _log_troubles(log: LogStatus) -> Iterator[Trouble]:
    frontier, held = log.frontier, log.frontier.holder
    if held is not None and (held.age_seconds is None or held.age_seconds > LONG_OPEN):
        remedy = f"ROLLBACK PREPARED '{held.gid}'" if held.pid is None else f"pg_terminate_backend({held.pid})"
        yield Trouble(
            "log", f"held back at {held.position:,} by {describe_holder(held)}", f"end it, as with {remedy} in SQL"
        )
    for locks in frontier.foreign:
        what = f"pid {locks.pid} {describe_session(locks)} has {counted(locks.count, 'lock')} like those of appends"
        yield Trouble("log", what, f"end it, as with pg_terminate_backend({locks.pid}) in SQL")
    waiting = f"{counted(log.lag, 'event')} to publish, the oldest {log.lag_seconds:.0f} s old"
    if log.leader is None:
        yield Trouble(
            "relay", f"no relay leads, {waiting}" if log.lag else "no relay leads", "start `holonstream relay`"
        )
    elif held is None and log.lag_seconds > LONG_UNPUBLISHED:  # else it waits for the log
        who = f"pid {log.leader.pid} {describe_session(log.leader)} leads"
        yield Trouble(
            "relay", f"{who}, {waiting}", "if its position does not rise, its log says why; `holonstream doctor` asks"
        )


def describe_holder(held: FrontierHolder) -> str:
    """The transaction that holds the frontier, in words."""
    age = "unknown age" if held.age_seconds is None else f"for {held.age_seconds:.1f} s"
    who = f"prepared transaction {held.gid!r}" if held.pid is None else f"pid {held.pid} {describe_session(held)}"
    return f"{who}, {held.state} {age}"


def describe_session(session: FrontierHolder | ForeignLocks | RelayLeader) -> str:
    """A session of PostgreSQL: its user, application and address."""
    return f"({session.user}, {session.application_name}, {session.address or 'local'})"


def group_document(group: GroupStatus) -> dict[str, Any]:
    """A group as JSON values."""
    return {
        "state": group.state,
        "members": group.members,
        "lag": group.lag,
        "lag_seconds": group.lag_seconds,
        "parked": group.parked,
        "partitions": [asdict(partition) for partition in group.partitions],
    }
