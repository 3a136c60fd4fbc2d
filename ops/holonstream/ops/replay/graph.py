"""Rebuild a graph with worker processes. `ops.replay` says what may be interrupted where."""

from __future__ import annotations

import shlex
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic

from msgspec.structs import replace

from holonstream.client import connections
from holonstream.client.settings import PREFIX
from holonstream.ops.kafka import client
from holonstream.ops.output import counted, progress_interval, say_progress
from holonstream.ops.processes import Processes
from holonstream.ops.replay.group import is_known, members, set_offsets
from holonstream.ops.replay.progress import ReplayEstimate
from holonstream.ops.settings import Settings
from holonstream.ops.status import TopicStatus
from holonstream.producers.log.reader import LogReader
from holonstream.schemas import names
from holonstream.schemas.errors import HolonstreamError, Unavailable
from holonstream.sinks.errors import GraphRefused
from holonstream.sinks.graph.checkpoint import checkpoints
from holonstream.sinks.graph.driver import GraphConnection
from holonstream.sinks.graph.parking import DiscardedEvent
from holonstream.sinks.graph.recovery import rebuild
from holonstream.sinks.graph.recovery.redrive import Redriver
from holonstream.sinks.graph.schema import initialise

FRESH = 10.0  # seconds: a replay is over when it has what the topic held so long ago
POLL = 0.5  # seconds between two polls of the group
INTERVAL = 1.0  # seconds between two lines of progress in a file

Say = Callable[[str], None]
Confirm = Callable[[str], None]
"""Asks the operator a question; raises when the answer is no."""


class WorkersRunning(HolonstreamError):
    """The group has workers, so its graph cannot be wiped."""


class NotAReplay(HolonstreamError):
    """The target holds a graph that no replay made, or is the live graph."""


@dataclass(frozen=True, slots=True)
class ReplayResult:
    """A rebuilt graph that has caught up."""

    position: int
    """the log position that the graph has reached"""
    moment: datetime
    """the graph has everything that the topic held at this time"""
    parked: int
    """streams that are parked in the graph"""
    discarded: int
    """events discarded because they had been discarded before"""


@dataclass(frozen=True, slots=True)
class GraphReplay:
    """A replay into the graph, and by the consumer group, that the settings `target` name.

    `live` is the graph with earlier decisions to discard events, None for a replay in place. `workers` is how many
    processes to start; `say` prints a line for the operator.
    """

    target: Settings
    live: Settings | None
    workers: int
    logs: Path
    say: Say

    @property
    def environment(self) -> dict[str, str]:
        """The settings with which any of our processes works on the target."""
        return {
            f"{PREFIX}NEO4J_URI": self.target.neo4j_uri,
            f"{PREFIX}NEO4J_DATABASE": self.target.neo4j_database,
            f"{PREFIX}GROUP_SUFFIX": self.target.group_suffix,
        }

    async def prepare(self, *, wipe: bool) -> None:
        """Prepare the target for workers; with `wipe`, empty it first. Raises WorkersRunning, Unavailable."""
        settings = self.target
        with TopicStatus(client(settings), settings.topic) as topic:
            partitions = len(topic.ends())
            with LogReader(settings.log_dsn, "holonstream-replay") as log:
                topic.check_whole(settings.group("graph"), log.first_position())
        group = settings.group("graph")
        if wipe or self.live is None:
            refuse_workers(settings)
        catalogue = connections.catalogue(settings)
        async with connections.graph_connection(settings) as connection:
            if wipe:
                began = monotonic()
                nodes = (await rebuild.content(connection, settings.topic)).nodes
                await rebuild.wipe(connection, catalogue, settings.topic, settings.group_suffix)
                self.say(f"wiped {counted(nodes, 'node')} in {monotonic() - began:.1f} s")
            await initialise(connection, catalogue, settings.topic, partitions)
            await rebuild.set_mark(connection, settings.topic, settings.group_suffix, "following")
            reached = await checkpoints(connection, settings.topic)
        if not members(client(settings), group):
            offsets = {checkpoint.partition: checkpoint.offset for checkpoint in reached}
            set_offsets(client(settings), settings.topic, group, offsets)
        if position := max(checkpoint.visible_position for checkpoint in reached):
            self.say(f"continues at log position {position:,}")
        self.say(f"group {group}; more workers, on any machine: {self.command('worker graph')}")

    def run(self) -> datetime:
        """Run workers until they have caught up. Returns the time at which the topic held what they wrote.

        Raises ProcessFailed.
        """
        with Processes(self.environment, self.logs) as processes:
            for number in range(self.workers):
                processes.start(f"worker-{number + 1}", "worker", "graph")
            return self._follow(processes.check)

    async def finish(self, moment: datetime) -> ReplayResult:
        """Copy earlier decisions to discard events, and mark the replay as done. Raises Unavailable."""
        settings = self.target
        async with connections.graph_connection(settings) as connection:
            decisions = await self._decisions(connection)
            taken = 0
            with LogReader(settings.log_dsn, "holonstream-redrive") as log:
                redriver = Redriver(connection, connections.catalogue(settings), settings.topic, log)
                if decisions:
                    taken = await rebuild.take_over(redriver, decisions)
                parked = len(await redriver.parked())
            if self.live is None:
                await rebuild.forget_decisions_before(connection, settings.topic)
                await rebuild.delete_mark(connection, settings.topic)
            else:
                await rebuild.set_mark(connection, settings.topic, settings.group_suffix, "done")
            position = max(checkpoint.visible_position for checkpoint in await checkpoints(connection, settings.topic))
        return ReplayResult(position, moment, parked, taken)

    def command(self, words: str) -> str:
        """A holonstream command line that works on the target."""
        return f"holonstream {words}" if self.live is None else f"{self.assignments()} holonstream {words}"

    def assignments(self, *only: str) -> str:
        """The settings for the target, all or `only` some, as shell assignments."""
        chosen = {name: value for name, value in self.environment.items() if not only or name in only}
        return " ".join(f"{name}={shlex.quote(value)}" for name, value in chosen.items())

    def _follow(self, check: Callable[[], None]) -> datetime:
        settings, pause = self.target, threading.Event()
        estimate, printed, silent = ReplayEstimate(monotonic()), float("-inf"), False
        interval = progress_interval(INTERVAL, err=True)
        with TopicStatus(client(settings), settings.topic) as topic:
            ends, since, moment = topic.ends(), monotonic(), datetime.now(UTC)
            while True:
                check()
                try:
                    group = topic.group(settings.group("graph"), ends, seconds=False)
                    silent = False
                    if group.lag == 0 and monotonic() - since > FRESH:
                        ends, since, moment = topic.ends(), monotonic(), datetime.now(UTC)
                        continue
                except Unavailable as error:  # the workers wait, too
                    if not silent:
                        self.say(str(error))
                    silent = True
                else:
                    now, total = monotonic(), sum(ends.values())
                    progress = estimate.add(now, total - group.lag, total, group.members)
                    if group.lag == 0 or now - printed >= interval:
                        printed = now
                        say_progress(progress, err=True)
                    if group.lag == 0:
                        return moment
                pause.wait(POLL)

    async def _decisions(self, target: GraphConnection) -> list[DiscardedEvent]:
        if self.live is None:
            return await rebuild.decisions_before(target, self.target.topic)
        try:
            async with connections.graph_connection(self.live) as connection:
                with LogReader(self.live.log_dsn, "holonstream-redrive") as log:
                    return await Redriver(
                        connection, connections.catalogue(self.live), self.live.topic, log
                    ).discarded()
        except (Unavailable, GraphRefused) as error:
            self.say(f"decisions to discard events were not copied, since the live graph does not answer: {error}")
            return []


@dataclass(frozen=True, slots=True)
class ReplayPlan:
    """What a replay would do to its target."""

    uri: str
    database: str
    nodes: int
    """that the target holds now"""
    wipe: bool
    """whether these would be deleted first"""
    workers_running: int

    def sentence(self) -> str:
        """For people."""
        first = f"wipe {counted(self.nodes, 'node')}" if self.wipe else f"continue from {counted(self.nodes, 'node')}"
        stop = f"; first stop {counted(self.workers_running, 'worker')}" if self.workers_running else ""
        return f"would {first} of {self.uri}, database {self.database}, and fill it from the topic{stop}"


async def plan(settings: Settings, to_uri: str | None, to_database: str, *, restart: bool) -> ReplayPlan:
    """What `in_place` would do, or `beside` when there is a `to_uri`; nothing is changed.

    Raises NotAReplay, Unavailable.
    """
    target = settings if to_uri is None else replace(settings, neo4j_uri=to_uri, neo4j_database=to_database)
    async with connections.graph_connection(target) as connection:
        mark = await rebuild.mark(connection, target.topic)
        content = await rebuild.content(connection, target.topic)
    if to_uri is not None:
        _refuse_foreign(settings, to_uri, to_database, mark is not None, content.nodes or content.offset)
    continues = mark is not None and mark.state == "following" and not restart
    if to_uri is None:
        continues = continues and mark is not None and mark.suffix == settings.group_suffix
    wipe = not continues and bool(to_uri is None or mark)
    running = len(members(client(settings), settings.group("graph"))) if to_uri is None else 0
    return ReplayPlan(target.neo4j_uri, target.neo4j_database, content.nodes, wipe, running)


def _refuse_foreign(settings: Settings, to_uri: str, to_database: str, is_replay: bool, content: int) -> None:
    """Raises NotAReplay when a target is the live graph, or holds what no replay made."""
    if (to_uri, to_database) == (settings.neo4j_uri, settings.neo4j_database):
        raise NotAReplay(f"{to_uri}, database {to_database}, is the live graph: name another one, or use --in-place")
    if content and not is_replay:
        raise NotAReplay(
            f"{to_uri}, database {to_database}, holds {counted(content, 'node')} that no replay made: empty it, or "
            "name another one"
        )


async def beside(
    settings: Settings,
    to_uri: str,
    to_database: str,
    *,
    workers: int,
    logs: Path,
    restart: bool,
    say: Say,
    confirm: Confirm,
) -> GraphReplay:
    """A replay into another (uri, database), prepared: a new one, or an interrupted one that continues.

    Raises NotAReplay, SharedGraph, WorkersRunning, Unavailable.
    """
    _refuse_foreign(settings, to_uri, to_database, True, 0)  # before anything is asked of the target
    target = replace(settings, neo4j_uri=to_uri, neo4j_database=to_database)
    async with connections.graph_connection(target) as connection:
        mark = await rebuild.mark(connection, target.topic)
        content = await rebuild.content(connection, target.topic)
    _refuse_foreign(settings, to_uri, to_database, mark is not None, content.nodes or content.offset)
    suffix = mark.suffix if mark is not None and mark.suffix else _new_suffix(settings)
    wipe = mark is not None and (restart or mark.state == "wiping")
    if wipe and restart:
        confirm(f"Wipe {counted(content.nodes, 'node')} of {to_uri}, database {to_database}?")
    replay = GraphReplay(replace(target, group_suffix=suffix), settings, workers, logs, say)
    await replay.prepare(wipe=wipe)
    return replay


def _new_suffix(settings: Settings) -> str:
    """The suffix of a group that nobody has: an earlier replay of the day may have made the graph that is live now."""
    today = f"{names.REPLAY_SUFFIX}{datetime.now(UTC):%Y%m%d}"
    number, suffix = 1, today
    while is_known(client(settings), names.consumer_group(settings.namespace, "graph") + suffix):
        number += 1
        suffix = f"{today}-{number}"
    return suffix


async def in_place(
    settings: Settings, *, workers: int, logs: Path, restart: bool, say: Say, confirm: Confirm
) -> GraphReplay:
    """A replay of the live graph in place, prepared: wiped, or an interrupted one that continues.

    Raises WorkersRunning, SharedGraph, Unavailable.
    """
    replay = GraphReplay(settings, None, workers, logs, say)
    refuse_workers(settings)
    async with connections.graph_connection(settings) as connection:
        mark = await rebuild.mark(connection, settings.topic)
        content = await rebuild.content(connection, settings.topic)
    where = f"{settings.neo4j_uri}, database {settings.neo4j_database}"
    continues = mark is not None and (mark.suffix, mark.state) == (settings.group_suffix, "following") and not restart
    if mark is not None and continues:
        confirm(f"Continue the replay of {where} that began at {mark.began}? (--restart wipes it again)")
    else:
        confirm(f"Wipe {counted(content.nodes, 'node')} of {where}, and rebuild them from the log?")
    await replay.prepare(wipe=not continues)
    return replay


def refuse_workers(settings: Settings) -> None:
    """Raises WorkersRunning, naming them, when the graph's group has any; KafkaUnavailable."""
    group = settings.group("graph")
    if there := members(client(settings), group):
        raise WorkersRunning(
            f"{group} has {counted(len(there), 'worker')}, which must be stopped first: {'; '.join(map(str, there))}"
        )
