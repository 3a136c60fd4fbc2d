"""The console's pages. Parts of them are asked for again by htmx; every page works by its address alone."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import suppress
from shlex import quote
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Header, Query
from starlette.responses import Response, StreamingResponse

from holonstream.client import as_of
from holonstream.ops.commands.dead_letters import _list as list_parked
from holonstream.ops.commands.dead_letters import _show as show_parked
from holonstream.ops.console import explorer
from holonstream.ops.console.api import EventQuery, Id, Limit, Reader, Shared
from holonstream.ops.console.documents import state_document
from holonstream.ops.console.explorer import history
from holonstream.ops.console.feed import EventFilter, read_page
from holonstream.ops.console.problems import NotFound
from holonstream.ops.console.rendering import html, render
from holonstream.schemas import jsontext
from holonstream.schemas.errors import BadData
from holonstream.schemas.event import RecordedEvent, event_document
from holonstream.schemas.state import HOLON, RELATIONSHIP, Holon, State
from holonstream.sinks.store import HolonFilter, RelationshipFilter

LATEST = 100  # positions before the end, with which the list of events begins
LISTED = 50  # rows of a list
UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)

T = TypeVar("T")

router = APIRouter(include_in_schema=False)
Text = Annotated[str, Query(max_length=1000)]
Part = Annotated[str | None, Header(alias="HX-Request")]


@router.get("/")
async def live(shared: Shared) -> Response:
    """The pipeline now."""
    return html("live.html", sections=shared.live.sections())


@router.get("/live/stream")
async def live_stream(shared: Shared) -> Response:
    """The parts of the live page, whenever they change."""

    async def lines() -> AsyncIterator[bytes]:
        async for sections in shared.live.updates():
            yield b"".join(sent_event(name, text) for name, text in sections.items()) or b":\n\n"

    return StreamingResponse(lines(), media_type="text/event-stream")


def sent_event(name: str, text: str) -> bytes:
    """A server-sent event whose data is HTML."""
    return f"event: {name}\n{''.join(f'data: {line}{chr(10)}' for line in text.splitlines())}\n".encode()


@router.get("/explore")
async def explore(
    shared: Shared,
    reader: Reader,
    part: Part = None,
    id: Text = "",
    type: Text = "",
    name: Text = "",
    value: Text = "",
    after: Text = "",
) -> Response:
    """Holons whose id begins so, of a type, with a property."""
    found: list[Holon] = []
    following = None
    if id or type or name or after:
        found = await _search(reader, id, type, name, value, after)
        if len(found) > LISTED:
            following = found[LISTED - 1].id
    shown: dict[str, Any] = {
        "found": found[:LISTED],
        "following": following,
        "asked": {"id": id, "type": type, "name": name, "value": value},
        "is_asked": bool(id or type or name or after),
        "types": sorted(shared.catalogue.holon_types),
    }
    return html("explore_found.html" if part else "explore.html", **shown)


async def _search(reader: Any, id: str, type: str, name: str, value: str, after: str) -> list[Holon]:
    reads = await reader._fresh(None, None)
    wanted: list[HolonFilter | None] = [HolonFilter(properties={name: value})] if name else [None]
    if name:
        with suppress(BadData):  # 3 may be the number and the text
            wanted.append(HolonFilter(properties={name: jsontext.decode(value)}))
    found: dict[str, Holon] = {}
    if id and not after:
        found |= {h.id: h for h in await reads.holons_of([id], None) if _fits(h, type, wanted)}
    for filters in wanted:
        for holon in await reads.holons(type or None, filters, after or id or None, LISTED + 1):
            if holon.id.startswith(id):
                found[holon.id] = holon
    return sorted(found.values(), key=lambda holon: holon.id)[: LISTED + 1]


def _fits(holon: Holon, type: str, wanted: list[HolonFilter | None]) -> bool:
    return (not type or holon.type == type) and any(f is None or f.matches(holon) for f in wanted)


@router.get("/holon")
async def holon(shared: Shared, reader: Reader, id: Id) -> Response:
    """One holon: its state, history, neighbours, and what each store has of it."""
    entity, found = await explorer.compared(shared, id)
    if not entity.steps:
        raise NotFound(f"holon {id!r}: the log has no event of it")
    types = sorted(shared.catalogue.relationship_types)
    return html("entity.html", kind=HOLON, id=id, entity=entity, places=found, types=types, **_state(entity))


@router.get("/relationship")
async def relationship(shared: Shared, id: Id) -> Response:
    """One relationship: its state and history."""
    entity = await history(shared, RELATIONSHIP, id)
    if not entity.steps:
        raise NotFound(f"relationship {id!r}: the log has no event of it")
    return html("entity.html", kind=RELATIONSHIP, id=id, entity=entity, places=[], types=[], **_state(entity))


@router.get("/state")
async def state(
    shared: Shared,
    reader: Reader,
    id: Id,
    kind: Annotated[str, Query(pattern="^(holon|relationship)$")] = HOLON,
    version: Annotated[int | None, Query(ge=0, le=explorer.MOST_EVENTS)] = None,
    at: Annotated[str | None, Query(max_length=40)] = None,
) -> Response:
    """An entity as of one of its versions, or of an instant."""
    if at:
        read = reader.get_holon(id, at=at) if kind == HOLON else reader.get_relationship(id, at=at)
        return html("entity_state.html", step=None, at=at, **_shown(await read))
    return html("entity_state.html", **_state(await history(shared, kind, id, version or 0)))


def _state(entity: explorer.EntityHistory) -> dict[str, Any]:
    return {"step": entity.steps[-1] if entity.steps else None, "at": None, **_shown(entity.state)}


def _shown(state: State | None) -> dict[str, Any]:
    if state is None:
        return {"fields": {}, "properties": {}}
    document = state_document(state)
    properties = document.pop("properties")
    return {"fields": document, "properties": properties}


@router.get("/neighbours")
async def neighbours(
    reader: Reader,
    id: Id,
    type: Text = "",
    at: Annotated[str, Query(max_length=40)] = "",
    ended: bool = False,
    after: Text = "",
) -> Response:
    """The relationships of a holon, as a list."""
    filters = as_of(at) if at else RelationshipFilter(include_ended=ended)
    found = await reader.traverse_relationships(
        id, type or None, "both", filters, after=after or None, limit=LISTED + 1
    )
    asked = {"id": id, "type": type, "at": at, "ended": ended}
    following = found[LISTED - 1].id if len(found) > LISTED else None
    return html("entity_neighbours.html", found=found[:LISTED], following=following, asked=asked)


@router.get("/events")
async def events(
    shared: Shared,
    reader: Reader,
    filters: EventQuery,
    part: Part = None,
    after: int | None = None,
    limit: Limit = LISTED,
) -> Response:
    """Events by filter, oldest first; without a filter the latest."""
    is_filtered = filters != EventFilter()
    begin = after
    if begin is None:
        begin = 0 if is_filtered else max(0, await asyncio.to_thread(shared.frontier) - LATEST)
    entries = await read_page(reader, filters, begin, limit)
    shown: dict[str, Any] = {
        "entries": entries,
        "following": entries[-1].position if len(entries) == limit else None,
        "last": entries[-1].position if entries else begin,
        "filters": filters,
        "asked": _asked(filters),
        "types": sorted(shared.catalogue.types),
    }
    return html("events_found.html" if part else "events.html", **shown)


def _asked(filters: EventFilter) -> dict[str, Any]:
    """A filter as parameters of an address."""
    return {
        "type": filters.types,
        "subject": filters.subjects,
        "actor": filters.actor,
        "from_": filters.start_time,
        "to": filters.end_time,
    }


@router.get("/events/rows/stream")
async def event_rows(shared: Shared, filters: EventQuery, after: int | None = None) -> Response:
    """New events as rows of the list."""

    async def lines() -> AsyncIterator[bytes]:
        async for news in shared.feed.follow(filters, after):
            if isinstance(news, int):
                yield b":\n\n"
            else:
                yield b"".join(sent_event("row", render("event_row.html", entry=entry)) for entry in news)

    return StreamingResponse(lines(), media_type="text/event-stream")


@router.get("/event")
async def event(reader: Reader, id: Annotated[str, Query(max_length=40)]) -> Response:
    """One event whole, with its links."""
    found = await reader.get_event(id)
    if found is None:
        raise NotFound(f"event {id!r}")
    return html("event.html", event=found, document=event_document(found), causes=causes(found))


def causes(event: RecordedEvent) -> list[tuple[str, str]]:
    """The ids of other events in an event's causal links, with the name of the link."""
    found = [(name, i) for name, linked in event.causal_links.items() for i in UUID.findall(str(linked))]
    return list(dict.fromkeys(found))


async def apart(ask: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """The answer to what a command asks, in a thread: it reads the log as commands do, and nobody else may wait."""
    return await asyncio.to_thread(lambda: asyncio.run(ask()))


@router.get("/dead-letters")
async def dead_letters(shared: Shared) -> Response:
    """The parked streams."""
    parked = await apart(lambda: list_parked(shared.settings))
    return html("dead_letters.html", parked=parked[: 10 * LISTED], more=len(parked[10 * LISTED :]))


@router.get("/dead-letter")
async def dead_letter(shared: Shared, stream: Annotated[str, Query(min_length=1, max_length=1100)]) -> Response:
    """Why a stream is parked, the event, the state before it, and what to type."""
    return html("dead_letter.html", shell=quote(stream), **(await apart(lambda: show_parked(shared.settings, stream))))
