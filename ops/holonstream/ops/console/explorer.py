"""What the explorer shows of one entity: its history, and whether log, graph and cache agree on it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from shlex import quote
from typing import Any, cast

from holonstream.client.connections import redis_client
from holonstream.ops.console.documents import state_document
from holonstream.ops.console.services import APPLICATION, Services
from holonstream.producers.log.reader import LogReader
from holonstream.schemas import wire
from holonstream.schemas.errors import BadData, HolonstreamError
from holonstream.schemas.event import RecordedEvent
from holonstream.schemas.projection import apply
from holonstream.schemas.state import HOLON, Holon, State, stream_of
from holonstream.sinks.cache.driver import redis_errors
from holonstream.sinks.cache.entry import Keys, decode_value, is_value, position_of
from holonstream.sinks.graph.read.store import Neo4jGraphStore
from holonstream.sinks.store import equal

MOST_EVENTS = 20_000  # of a stream whose history is shown
DEEPEST = 4  # objects within objects whose fields are told apart
BOOKKEEPING = frozenset({"version", "position", "lastModified"})


@dataclass(frozen=True, slots=True)
class Change:
    """A field that an event changed; None stands for absent."""

    field: str
    before: Any
    after: Any


@dataclass(frozen=True, slots=True)
class Step:
    """An event of a stream, and what it changed."""

    version: int
    position: int
    event: RecordedEvent | None
    changes: tuple[Change, ...]
    error: str | None
    """why it cannot be read or applied"""


@dataclass(slots=True)
class EntityHistory:
    """A stream's events, oldest first, and the state after the last one."""

    steps: list[Step] = field(default_factory=list)
    state: State | None = None
    is_cut: bool = False
    """whether there are more events than MOST_EVENTS"""


def read_history(services: Services, stream: str, versions: int = MOST_EVENTS) -> EntityHistory:
    """The first events of a stream, folded one by one. Raises LogUnavailable."""
    history = EntityHistory()
    broken = False
    with (
        LogReader(services.settings.log_dsn, APPLICATION) as log,
        closing(log.stream(stream, limit=versions + 1)) as events,
    ):
        for logged in events:
            if len(history.steps) == versions:
                history.is_cut = True
                break
            event, error = None, None
            before = history.state
            try:
                event = wire.decode(logged.value)
                if not broken:
                    history.state = apply(services.catalogue, before, event)
            except BadData as fault:
                error, broken = str(fault), True
            changes = () if broken else changed(before, history.state)
            history.steps.append(Step(logged.version, logged.position, event, changes, error))
    return history


def changed(before: State | None, after: State | None) -> tuple[Change, ...]:
    """The fields in which two states differ."""
    old, new = _fields(before), _fields(after)
    return tuple(
        Change(name, old.get(name), new.get(name))
        for name in sorted(old.keys() | new.keys())
        if name not in old or name not in new or not equal(old[name], new[name])
    )


def _fields(state: State | None) -> dict[str, Any]:
    if state is None:
        return {}
    document = {name: value for name, value in state_document(state).items() if name not in BOOKKEEPING}
    properties = document.pop("properties")
    return document | dict(_flat("", properties))


def _flat(prefix: str, value: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """The values inside nested objects, by path."""
    for name, inner in value.items():
        if isinstance(inner, dict) and inner and prefix.count(".") < DEEPEST:
            yield from _flat(f"{prefix}{name}.", inner)
        else:
            yield f"{prefix}{name}", inner


@dataclass(frozen=True, slots=True)
class Place:
    """What one store has of a holon."""

    name: str
    version: int | None
    position: int | None
    remark: str
    is_wrong: bool = False


async def places(services: Services, holon_id: str, log: EntityHistory) -> list[Place]:
    """What log, graph and cache have of a holon now, and whether that fits."""
    in_log = log.state if isinstance(log.state, Holon) else None
    end = log.steps[-1].position if log.steps else 0
    found = [Place("log", in_log.version if in_log else None, end or None, "the truth")]
    try:
        graph = Neo4jGraphStore(await services.graph(), services.catalogue, services.settings.topic)
        read = await graph.read_holon(holon_id)
    except HolonstreamError as error:
        found.append(Place("graph", None, None, str(error), True))
        read = None
    if read is not None:
        holon = read.holon
        version, position = (None, None) if holon is None else (holon.version, holon.position)
        if read.is_parked:
            typed = f"`holonstream dead-letters redrive {quote(stream_of(HOLON, holon_id))}`"
            remark, wrong = f"parked beyond {read.checkpoint_position:,}: fix the cause, then {typed}", True
        elif holon == in_log:
            remark, wrong = "as the log", False
        elif read.checkpoint_position < end:
            remark, wrong = f"behind: has reached {read.checkpoint_position:,}", False
        else:
            remark, wrong = "differs: `holonstream verify graph --repair`", True
        found.append(Place("graph", version, position, remark, wrong))
    found.append(await _cached(services, holon_id, in_log, end))
    return found


async def _cached(services: Services, holon_id: str, in_log: Holon | None, end: int) -> Place:
    try:
        async with redis_client(services.settings, timeout=1.0) as redis:
            with redis_errors("reading an entry"):
                entry = cast("bytes | None", await redis.get(Keys(services.settings.namespace).holon + holon_id))
    except HolonstreamError as error:
        return Place("cache", None, None, str(error), True)
    if entry is None:
        return Place("cache", None, None, "no entry: the next read fills it")
    position = position_of(entry)
    if not is_value(entry) or position is None:
        return Place("cache", None, position, "a tombstone: reads go to the graph")
    value = decode_value(entry, holon_id)
    version = value.version if value else None
    if value is not None and value == in_log:
        return Place("cache", version, position, "as the log")
    if position < end:
        return Place("cache", version, position, "older: an invalidation is under way")
    return Place("cache", version, position, "differs: `holonstream verify cache --all --repair`", True)


async def history(services: Services, kind: str, entity: str, versions: int = MOST_EVENTS) -> EntityHistory:
    """As `read_history`, in a thread."""
    return await asyncio.to_thread(read_history, services, stream_of(kind, entity), versions)
