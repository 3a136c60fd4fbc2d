"""What the explorer shows of one entity: its history, and whether log, graph and cache agree on it."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, field, replace
from shlex import quote
from typing import Any, cast

from msgspec import structs

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
from holonstream.sinks.graph.parking import discarded_of
from holonstream.sinks.graph.read.store import Neo4jGraphStore
from holonstream.sinks.store import HolonRead, equal

MOST_EVENTS = 20_000  # of a stream whose history is shown
GRAPH_TIMEOUT = 1.0  # seconds for the graph's decisions to leave events out
NOT_COMPARED = "not compared: the log has more events of it than are read here"
DISCARDED = "discarded: it has no effect, as an operator has decided (dead-letters discard)"
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


def read_history(
    services: Services, stream: str, versions: int = MOST_EVENTS, left_out: Collection[int] = ()
) -> EntityHistory:
    """The first events of a stream, folded one by one; versions that are `left_out` have no effect.

    Raises LogUnavailable.
    """
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
            before, is_discarded = history.state, logged.version in left_out
            try:
                event = wire.decode(logged.value)
                if not broken and not is_discarded:
                    history.state = apply(services.catalogue, before, event)
            except BadData as fault:
                error, broken = str(fault), broken or not is_discarded
            if is_discarded:
                error = DISCARDED
                if before is not None and not broken:
                    history.state = structs.replace(before, version=logged.version, position=logged.position)
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


async def compared(services: Services, holon_id: str) -> tuple[EntityHistory, list[Place]]:
    """A holon's history, and what log, graph and cache have of it now, and whether that fits.

    The log is read last: it then has everything that the stores have. Raises LogUnavailable.
    """
    graph = await _in_graph(services, holon_id)
    cache = await _in_cache(services, holon_id)
    log = await history(services, HOLON, holon_id)
    in_log = log.state if isinstance(log.state, Holon) else None
    end = log.steps[-1].position if log.steps else 0
    return log, [
        Place("log", in_log.version if in_log else None, end or None, "the truth"),
        _graph_place(graph, holon_id, log, in_log, end),
        _cache_place(cache, holon_id, log, in_log, end),
    ]


async def _in_graph(services: Services, holon_id: str) -> HolonRead | HolonstreamError:
    try:
        store = Neo4jGraphStore(await services.graph(), services.catalogue, services.settings.topic)
        return await store.read_holon(holon_id)
    except HolonstreamError as error:
        return error


async def _in_cache(services: Services, holon_id: str) -> bytes | HolonstreamError | None:
    try:
        async with redis_client(services.settings, timeout=1.0) as redis:
            with redis_errors("reading an entry"):
                return cast("bytes | None", await redis.get(Keys(services.settings.namespace).holon + holon_id))
    except HolonstreamError as error:
        return error


def _graph_place(
    read: HolonRead | HolonstreamError, holon_id: str, log: EntityHistory, in_log: Holon | None, end: int
) -> Place:
    if isinstance(read, HolonstreamError):
        return Place("graph", None, None, str(read), True)
    holon, reached = read.holon, read.checkpoint_position
    place = Place("graph", holon.version if holon else None, holon.position if holon else None, "as the log")
    if read.is_parked:
        typed = f"`holonstream dead-letters redrive {quote(stream_of(HOLON, holon_id))}`"
        return replace(place, remark=f"parked beyond {reached:,}: fix the cause, then {typed}", is_wrong=True)
    if log.is_cut:
        return replace(place, remark=NOT_COMPARED)
    if holon == in_log:
        return place
    if reached < end:
        return replace(place, remark=f"behind: has reached {reached:,}")
    return replace(place, remark="differs: `holonstream verify graph --repair`", is_wrong=True)


def _cache_place(
    entry: bytes | HolonstreamError | None, holon_id: str, log: EntityHistory, in_log: Holon | None, end: int
) -> Place:
    if isinstance(entry, HolonstreamError):
        return Place("cache", None, None, str(entry), True)
    if entry is None:
        return Place("cache", None, None, "no entry: the next read fills it")
    position = position_of(entry)
    if not is_value(entry) or position is None:
        return Place("cache", None, position, "a tombstone: reads go to the graph")
    value = decode_value(entry, holon_id)
    place = Place("cache", value.version if value else None, position, "as the log")
    if log.is_cut:
        return replace(place, remark=NOT_COMPARED)
    if value is not None and value == in_log:
        return place
    if position < end:
        return replace(place, remark="older: an invalidation is under way")
    return replace(place, remark="differs: `holonstream verify cache --all --repair`", is_wrong=True)


async def history(services: Services, kind: str, entity: str, versions: int = MOST_EVENTS) -> EntityHistory:
    """As `read_history`, without the events that an operator has discarded; the graph knows them, if it answers."""
    stream = stream_of(kind, entity)
    left_out: Collection[int] = ()
    with suppress(HolonstreamError, TimeoutError):
        async with asyncio.timeout(GRAPH_TIMEOUT):
            left_out = (await discarded_of(await services.graph(), [stream])).get(stream, ())
    return await asyncio.to_thread(read_history, services, stream, versions, left_out)
