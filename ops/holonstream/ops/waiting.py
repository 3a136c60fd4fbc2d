"""Waiting until the views have what the log has: for scripts, after an import."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from time import monotonic

from holonstream.ops.kafka import client
from holonstream.ops.output import counted
from holonstream.ops.pipeline import graph_offsets
from holonstream.ops.settings import Settings
from holonstream.ops.status import GroupStatus, TopicStatus
from holonstream.producers.log.reader import LogReader
from holonstream.schemas import names
from holonstream.schemas.errors import BadData, HolonstreamError, Unavailable
from holonstream.schemas.token import PREFIX, Token

POLL = 0.1  # seconds between two questions


class NotReached(HolonstreamError):
    """The views did not reach the position in time."""


def position_of(target: str | None, head: int) -> int:
    """The position that a token or the text of a position names, by default the log's head.

    Raises BadData when the log has not come so far.
    """
    if target is None:
        return head
    of_token = Token.parse(target).positions.values() if target.startswith(PREFIX) else [int(target)]
    position = max(of_token, default=0)
    if position > head:
        raise BadData(f"Position {position:,} is beyond the log's head, {head:,}: is this the log that gave it?")
    return position


@dataclass(frozen=True, slots=True)
class WaitResult:
    """What was waited for."""

    position: int
    views: list[str]
    """which have every event up to the position"""
    left_out: list[str]
    """sinks of one's own without a worker: nobody knows whether they are still in use"""


def wait_for(settings: Settings, target: str | None, views: Sequence[str], timeout: float) -> WaitResult:
    """Return when each of the views has every event up to the target; without any, all that are in use.

    The steps are those of an event: the log is gap-free up to the position, the relay has published its events, each
    group has handled what the topic then held. An outage meanwhile is waited for.

    Raises NotReached after `timeout` seconds, naming the step that is missing; the outage, when it lasts; BadData.
    """
    asked, left_out = list(dict.fromkeys(views)), list[str]()
    until = monotonic() + timeout
    pause = threading.Event()
    steps: Iterator[str] | None = None
    missing = "nothing was asked yet"
    outage: Unavailable | None = None
    position = None
    while True:
        try:
            with (
                LogReader(settings.log_dsn, "holonstream-wait") as log,
                TopicStatus(client(settings), settings.topic) as topic,
            ):
                position = position_of(target, log.frontier().head) if position is None else position
                steps = _steps(settings, log, topic, position, asked, left_out)
                for missing in steps:
                    outage = None
                    if monotonic() >= until:
                        raise NotReached(f"Not within {timeout:g} s: {missing}")
                    pause.wait(POLL)
                return WaitResult(position, asked, left_out)
        except Unavailable as error:
            outage = error
        if monotonic() >= until:
            raise outage
        pause.wait(POLL)


def _steps(
    settings: Settings, log: LogReader, topic: TopicStatus, position: int, asked: list[str], left_out: list[str]
) -> Iterator[str]:
    """What is missing, again and again, until nothing is. Without any view in `asked`, those in use are put there."""
    while (reached := log.frontier().frontier) < position:
        yield f"the log is gap-free up to {reached:,} of {position:,} (holonstream status names who holds it)"
    last = log.last_position(position)
    while (relayed := topic.relayed(settings.group("relay"))) < last:
        yield f"the relay has published up to {relayed:,} of {last:,}"
    # Not the last stable offsets: those of a transaction that has just been committed may still lie before its records.
    ends = topic.high_watermarks()
    while not set(asked) <= set(known := topic.views(settings)):
        yield f"no group follows the log for {' and '.join(set(asked) - set(known))} yet"
    if not asked:
        used = [view for view in known if view in names.VIEWS or topic.has_members(settings.group(view))]
        asked += used
        left_out += [view for view in known if view not in used]
    for view in asked:
        while (group := _group(settings, topic, view, ends)).lag:
            workers = counted(group.members, "worker") if group.members else "it has no worker"
            yield f"{view} has {counted(group.lag, 'record')} to handle, {workers}"


def _group(settings: Settings, topic: TopicStatus, view: str, ends: Mapping[int, int]) -> GroupStatus:
    """A group; that of the graph as the graph's checkpoints say."""
    group = topic.group(settings.group(view), ends, seconds=False)
    if view != "graph" or group.lag:
        return group
    return topic.compared(group, graph_offsets(settings, group))[0]
