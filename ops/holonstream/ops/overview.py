"""How far the whole pipeline is, as `status`, `top` and `wait` show it: what answers, and why the rest does not."""

from __future__ import annotations

import asyncio
from dataclasses import asdict, dataclass, field
from typing import Any

from holonstream.ops.pipeline import PipelineStatus, Trouble, group_document, parked, topic_report, troubles
from holonstream.ops.servers import HELLO, ask_all, greet_all, reason, servers
from holonstream.ops.settings import Settings
from holonstream.ops.status import GroupStatus, TopicStatus
from holonstream.producers.log.postgres import NO_LIMIT
from holonstream.producers.relay.status import LogStatus
from holonstream.schemas.errors import HolonstreamError, Unavailable

PATIENCE = 10.0  # seconds for the questions to servers that have answered the first one


@dataclass(frozen=True, slots=True)
class GraphPlace:
    """How far readers of the graph may rely on it."""

    visible_position: int
    """of the partition that is furthest behind"""
    parked: int
    """streams"""


@dataclass(slots=True)
class Overview:
    """Every part of the pipeline; None for what nobody answered."""

    servers: dict[str, Exception | None]
    """why each server does not answer"""
    log: LogStatus | None = None
    relayed: int | None = None
    groups: dict[str, GroupStatus] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    graph: GraphPlace | None = None

    @property
    def unavailable(self) -> bool:
        """Whether a server does not answer."""
        return any(isinstance(error, Unavailable | OSError | TimeoutError) for error in self.servers.values())

    @property
    def failed(self) -> bool:
        """Whether anything could not be asked."""
        return any(error is not None for error in self.servers.values())

    def silent(self, settings: Settings) -> list[Trouble]:
        """Each server that does not answer: its name, its address, why, and what to do."""
        known = servers(settings)
        found = []
        for name, error in self.servers.items():
            if error is not None:
                where, why = f"{known[name].name} at {known[name].address}", reason(error)
                what = why if why.startswith(where) else f"{where}: {why}"
                found.append(Trouble("server", what, known[name].remedy(error)))
        return found

    def held_up(self) -> list[Trouble]:
        """What holds the pipeline up, as far as servers answer."""
        found = [*troubles(self.log, self.groups, self.problems)]
        return found + ([parked("graph", self.graph.parked)] if self.graph is not None and self.graph.parked else [])

    def stuck(self, settings: Settings) -> list[Trouble]:
        """What stands in the way: servers that do not answer, and what holds the pipeline up."""
        return self.silent(settings) + self.held_up()

    def document(self, settings: Settings) -> dict[str, Any]:
        """As JSON values; null is what nobody answered."""
        relay: dict[str, Any] | None = None
        if self.log is not None or self.relayed is not None:
            relay = {"position": self.relayed, "lag": None, "lag_seconds": None}
        if relay is not None and self.log is not None:  # else nobody knows whether one leads
            relay["leader"] = self.log.leader and asdict(self.log.leader)
        part = {
            "log": self.log and asdict(self.log.frontier),
            "relay": relay,
            "groups": {group.name: group_document(group) for group in self.groups.values()},
            "problems": self.problems,
        }
        whole = self.whole()
        return {
            **(part if whole is None else whole.document()),
            "graph": self.graph and asdict(self.graph),
            "stuck": [asdict(trouble) for trouble in self.stuck(settings)],
            "servers": {
                name: {"address": server.address, "error": reason(error) if (error := self.servers[name]) else None}
                for name, server in servers(settings).items()
            },
        }

    def whole(self) -> PipelineStatus | None:
        """The status of log, relay and groups, None when a part of it is unknown."""
        if self.log is None or self.relayed is None or not self.groups:
            return None
        return PipelineStatus(self.relayed, self.log, self.groups, self.problems)


def overview(settings: Settings, limit: float = HELLO) -> Overview:
    """Ask all servers; one that gives no first answer within `limit` seconds is asked nothing more."""
    made = Overview(greet_all(settings, limit))
    questions = {}
    if made.servers["kafka"] is None or made.servers["postgresql"] is None:
        questions["flow"] = lambda: _flow(settings, made)
    if made.servers["neo4j"] is None:
        questions["graph"] = lambda: _graph(settings, made)
    for name, answer in ask_all(questions, PATIENCE).items():
        if isinstance(answer, Exception):
            if not isinstance(answer, HolonstreamError):
                raise answer
            asked = "neo4j" if name == "graph" else next(n for n in ("kafka", "postgresql") if made.servers[n] is None)
            made.servers[asked] = answer
    return made


def _flow(settings: Settings, made: Overview) -> None:
    """Ask log and brokers in the order of flow. Otherwise events that are relayed in between would be missing from the
    ends, and a group would seem to have handled everything too early."""
    from holonstream.ops.kafka import client

    if made.servers["kafka"] is not None:
        _log(settings, made, NO_LIMIT)
        return
    with TopicStatus(client(settings), settings.topic) as topic:
        try:
            made.relayed = topic.relayed(settings.group("relay"))
        except HolonstreamError as error:
            made.servers["kafka"] = error
        if made.servers["postgresql"] is None:
            _log(settings, made, NO_LIMIT if made.relayed is None else made.relayed)
        try:
            answers = made.servers["neo4j"] is None
            asked = topic_report(settings, topic, compares=answers)
            made.groups, made.problems = asked.groups, asked.problems
        except HolonstreamError as error:
            made.servers["kafka"] = error


def _log(settings: Settings, made: Overview, relayed: int) -> None:
    from holonstream.producers.relay.status import log_status

    try:
        made.log = log_status(settings.log_dsn, settings.namespace, relayed)
    except HolonstreamError as error:
        made.servers["postgresql"] = error


def _graph(settings: Settings, made: Overview) -> None:
    async def ask() -> GraphPlace:
        from holonstream.client.connections import graph_connection
        from holonstream.sinks.graph.checkpoint import checkpoints
        from holonstream.sinks.graph.parking import parked_streams

        async with graph_connection(settings) as connection:
            reached = await checkpoints(connection, settings.topic)
            parked = len(await parked_streams(connection, settings.topic))
        return GraphPlace(min(checkpoint.visible_position for checkpoint in reached), parked)

    try:
        made.graph = asyncio.run(ask())
    except HolonstreamError as error:
        made.servers["neo4j"] = error
