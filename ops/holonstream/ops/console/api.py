"""The read API: the queries of docs/domain.md over HTTP, and the log's events (docs/http-api.md).

Ids may hold any character, so they are query parameters and never part of a path.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Sequence
from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, Body, Depends, Header, Query, Request
from pydantic import StringConstraints
from starlette.responses import Response, StreamingResponse

from holonstream.client import Client
from holonstream.ops.console import documents
from holonstream.ops.console.documents import answer, page, state_document
from holonstream.ops.console.feed import PAGE, Entry, EventFilter, read_page
from holonstream.ops.console.problems import NotFound
from holonstream.ops.console.services import Services
from holonstream.schemas import jsontext
from holonstream.schemas.errors import BadData
from holonstream.schemas.event import event_document
from holonstream.schemas.state import HOLON, stream_of
from holonstream.schemas.token import PREFIX
from holonstream.sinks.requests import holon_filter, pattern, relationship_filter
from holonstream.sinks.store import Direction, HolonFilter, RelationshipFilter

TOKEN = "Holonstream-Token"
MOST = 500  # of a page
DEPTH = 8  # hops of a traversal
LONGEST = 10.0  # seconds that a read waits for its token
EVENTS_BYTES = 8 << 20  # of a page of events
POSITION = 2**63 - 1


async def _exact(request: Request) -> None:
    """Refuse a parameter that is unknown, or given twice: a misspelt filter would otherwise match everything."""
    described = request.app.openapi()["paths"][request.scope["route"].path][request.method.lower()]
    known = {p["name"]: p["schema"].get("type") for p in described.get("parameters", ()) if p["in"] == "query"}
    for name, times in Counter(name for name, _ in request.query_params.multi_items()).items():
        if name not in known:
            raise BadData(f"Unknown parameter: {name!r} (there are {', '.join(known)})")
        if times > 1 and known[name] != "array":
            raise BadData(f"Parameter given {times} times: {name!r}")


router = APIRouter(prefix="/api/v1", dependencies=[Depends(_exact)])


async def _services(request: Request) -> Services:
    services: Services = request.app.state.services
    return services


async def _reader(request: Request) -> Client:
    return (await _services(request)).client


Shared = Annotated[Services, Depends(_services)]
Reader = Annotated[Client, Depends(_reader)]
Id = Annotated[str, Query(min_length=1, max_length=1000, examples=["ada"])]
Token = Annotated[
    str | None,
    Header(
        alias=TOKEN,
        max_length=16_384,
        pattern=rf"^{PREFIX.replace('.', '[.]')}[A-Za-z0-9_-]*$",
        description="Consistency token of an append: the answer reflects it, or is a 409.",
    ),
]
Deadline = Annotated[float, Query(ge=0, le=LONGEST, description="Seconds to wait for the token.")]
Limit = Annotated[int, Query(ge=1, le=MOST)]
After = Annotated[str | None, Query(max_length=1000, description="`next` of the page before.")]
AfterEvent = Annotated[str | None, Query(max_length=40, description="`next` of the page before: an event's id.")]
At = Annotated[
    str | None,
    Query(
        max_length=40,
        examples=["2024-12-31", "17"],
        description="As of an instant (ISO-8601), or of a log position (digits); folded from the log.",
    ),
]
Instant = Annotated[str | None, Query(max_length=40, examples=["2024-12-31"])]
Properties = Annotated[
    str | None, Query(max_length=20_480, description="JSON object: properties and their values.", examples=["{}"])
]
Name = Annotated[str, StringConstraints(max_length=1000)]
Kind = Annotated[str | None, Query(max_length=1000)]
Position = Annotated[int, Query(ge=0, le=POSITION)]


def _at(text: str | None) -> str | int | None:
    """An instant or a position. Four digits and no more are a position: a year is no instant."""
    if text is None or not (text.isascii() and text.isdigit()):
        return text
    return min(int(text), POSITION)


def _object(text: str | None) -> dict[str, Any] | None:
    value = None if text is None else jsontext.decode(text)
    if value is not None and not isinstance(value, dict):
        raise BadData("properties must be a JSON object")
    return value


async def _holons(
    status: Kind = None,
    created_after: Annotated[str | None, Query(alias="createdAfter", max_length=40)] = None,
    created_before: Annotated[str | None, Query(alias="createdBefore", max_length=40)] = None,
    properties: Properties = None,
) -> HolonFilter | None:
    parts = {
        "status": status,
        "createdAfter": created_after,
        "createdBefore": created_before,
        "properties": _object(properties),
    }
    return holon_filter({name: value for name, value in parts.items() if value is not None} or None)


async def _relationships(
    include_ended: Annotated[
        bool | None,
        Query(alias="includeEnded", description="Without any filter ended ones are there, with one only if this is."),
    ] = None,
    effective_at: Annotated[str | None, Query(alias="effectiveAt", max_length=40)] = None,
    authority_level: Annotated[str | None, Query(alias="authorityLevel", max_length=1000)] = None,
    source: Annotated[str | None, Query(alias="sourceHolonID", max_length=1000)] = None,
    target: Annotated[str | None, Query(alias="targetHolonID", max_length=1000)] = None,
    properties: Properties = None,
) -> RelationshipFilter | None:
    parts = {
        "includeEnded": include_ended,
        "effectiveAt": effective_at,
        "authorityLevel": authority_level,
        "sourceHolonID": source,
        "targetHolonID": target,
        "properties": _object(properties),
    }
    return relationship_filter({name: value for name, value in parts.items() if value is not None} or None)


async def _events(
    types: Annotated[list[Name] | None, Query(alias="type", max_length=50)] = None,
    subjects: Annotated[list[Name] | None, Query(alias="subject", max_length=50)] = None,
    actor: Kind = None,
    start_time: Annotated[str | None, Query(alias="from", max_length=40, description="Occurred at or after.")] = None,
    end_time: Annotated[str | None, Query(alias="to", max_length=40, description="Occurred at or before.")] = None,
) -> EventFilter:
    filters = EventFilter(
        types=tuple(filter(None, types or ())),
        subjects=tuple(filter(None, subjects or ())),
        actor=actor or None,
        start_time=start_time or None,
        end_time=end_time or None,
    )
    filters.check()
    return filters


HolonQuery = Annotated[HolonFilter | None, Depends(_holons)]
RelationshipQuery = Annotated[RelationshipFilter | None, Depends(_relationships)]
EventQuery = Annotated[EventFilter, Depends(_events)]


def _id_page(ids: Sequence[str], after: str | None, limit: int) -> Response:
    """The ids beyond one of them. Raises BadData when that one is not there, as after the holon was created again."""
    if after is not None and after not in ids:
        raise BadData(f"after: no such modification: {after!r}")
    begin = 0 if after is None else ids.index(after) + 1
    shown = ids[begin : begin + limit]
    return answer({"items": shown, "next": shown[-1] if begin + limit < len(ids) else None})


async def _reached(reader: Client, holon_id: str) -> int:
    """Up to which log position the graph has the events of a holon, which need not exist."""
    stream = stream_of(HOLON, holon_id)
    return (await (await reader._fresh(None, None)).reached([stream]))[stream].position


@router.get("/holon", response_model=documents.HolonDocument, tags=["graph"])
async def get_holon(id: Id, reader: Reader, token: Token = None, deadline: Deadline = 2.0, at: At = None) -> Response:
    """A holon, of any status: through the cache, or as of an instant or a position from the log.

    A 404 says in `reached` up to which log position there is none.
    """
    holon = await reader.get_holon(id, at_least=token, deadline=deadline, at=_at(at))
    if holon is None:
        raise NotFound(f"holon {id!r}", await _reached(reader, id) if at is None else None)
    return answer(state_document(holon))


@router.get("/holon/relationships", response_model=documents.Relationships, tags=["graph"])
async def traverse_relationships(
    id: Id,
    reader: Reader,
    filters: RelationshipQuery,
    type: Kind = None,
    direction: Direction = "both",
    after: After = None,
    limit: Limit = 100,
    token: Token = None,
    deadline: Deadline = 2.0,
) -> Response:
    """The relationships of a holon, by id; without filters ended ones too."""
    found = await reader.traverse_relationships(
        id,
        type,
        direction,
        filters,
        after=after,
        limit=limit + 1,
        at_least=token,
        deadline=deadline,
    )
    return page(found, limit)


@router.get("/holon/neighbours", response_model=documents.Holons, tags=["graph"])
async def get_connected_holons(
    id: Id,
    reader: Reader,
    filters: RelationshipQuery,
    type: Kind = None,
    direction: Direction = "both",
    after: After = None,
    limit: Limit = 100,
    token: Token = None,
    deadline: Deadline = 2.0,
) -> Response:
    """The holons at the other end of these relationships, each once, as they are now."""
    found = await reader.get_connected_holons(
        id,
        type,
        direction,
        filters,
        after=after,
        limit=limit + 1,
        at_least=token,
        deadline=deadline,
    )
    return page(found, limit)


@router.get("/holon/modifications", response_model=documents.Modifications, tags=["graph"])
async def get_holon_modifications(
    id: Id, reader: Reader, at: At = None, after: AfterEvent = None, limit: Limit = 100
) -> Response:
    """The ids of the events that reached a holon, from its last create on, in log order; from the log."""
    return _id_page(await reader.get_holon_modifications(id, at=_at(at)), after, limit)


@router.get("/holons", response_model=documents.Holons, tags=["graph"])
async def query_holons(
    reader: Reader,
    filters: HolonQuery,
    type: Kind = None,
    after: After = None,
    limit: Limit = 100,
    token: Token = None,
    deadline: Deadline = 2.0,
) -> Response:
    """The holons of a type, by id; without a type all, and then no filter is taken."""
    if type is None and filters is not None:
        raise BadData("a filter of holons needs a type")
    more: dict[str, Any] = {"after": after, "limit": limit + 1, "at_least": token, "deadline": deadline}
    if type is None:
        return page(await reader.get_all_holons(**more), limit)
    return page(await reader.query_holons_by_type(type, filters, **more), limit)


@router.get("/relationship", response_model=documents.RelationshipDocument, tags=["graph"])
async def get_relationship(id: Id, reader: Reader, at: At = None) -> Response:
    """A relationship, ended or not; from the log, so never behind it."""
    found = await reader.get_relationship(id, at=_at(at))
    if found is None:
        raise NotFound(f"relationship {id!r}")
    return answer(state_document(found))


@router.get("/relationship/modifications", response_model=documents.Modifications, tags=["graph"])
async def get_relationship_modifications(
    id: Id, reader: Reader, at: At = None, after: AfterEvent = None, limit: Limit = 100
) -> Response:
    """The ids of the events that reached a relationship, as for holons."""
    return _id_page(await reader.get_relationship_modifications(id, at=_at(at)), after, limit)


@router.get("/relationships", response_model=documents.Relationships, tags=["graph"])
async def query_relationships(
    reader: Reader,
    filters: RelationshipQuery,
    type: Kind = None,
    after: After = None,
    limit: Limit = 100,
    token: Token = None,
    deadline: Deadline = 2.0,
) -> Response:
    """The relationships of a type, by id; without a type all, and then no filter is taken."""
    if type is None and filters is not None:
        raise BadData("a filter of relationships needs a type")
    more: dict[str, Any] = {"after": after, "limit": limit + 1, "at_least": token, "deadline": deadline}
    if type is None:
        return page(await reader.get_all_relationships(**more), limit)
    return page(await reader.query_relationships_by_type(type, filters, **more), limit)


@router.get("/traverse", response_model=documents.ReachedHolons, tags=["graph"])
async def traverse(
    id: Id,
    reader: Reader,
    filters: RelationshipQuery,
    types: Annotated[list[Name] | None, Query(alias="type", max_length=50)] = None,
    direction: Direction = "both",
    depth: Annotated[int, Query(ge=1, le=DEPTH)] = 2,
    limit: Limit = 100,
    token: Token = None,
    deadline: Deadline = 2.0,
) -> Response:
    """The holons within some hops, each once at its least depth, without the start."""
    reached = await reader.traverse(
        id,
        tuple(types) if types else None,
        direction,
        filters,
        max_depth=depth,
        limit=limit,
        at_least=token,
        deadline=deadline,
    )
    return answer({"items": [{"holon": state_document(r.holon), "depth": r.depth} for r in reached]})


@router.post("/match", response_model=documents.Matches, tags=["graph"])
async def match_pattern(
    reader: Reader,
    asked: Annotated[documents.PatternDocument, Body()],
    request: Request,
    limit: Limit = 100,
    token: Token = None,
    deadline: Deadline = 2.0,
) -> Response:
    """The ways to fit a pattern; its form is that of docs/domain.md, Queries."""
    wanted = pattern(jsontext.decode(await request.body()))
    found = await reader.match_pattern(wanted, limit=limit, at_least=token, deadline=deadline)
    return answer(
        {
            "items": [
                {
                    "holons": {alias: state_document(holon) for alias, holon in match.holons.items()},
                    "relationships": documents.documents(match.relationships),
                }
                for match in found
            ]
        }
    )


@router.get("/event", response_model=documents.EventDocument, tags=["events"])
async def get_event(
    id: Annotated[str, Query(json_schema_extra={"format": "uuid"}, max_length=40)], reader: Reader
) -> Response:
    """One event of the log."""
    event = await reader.get_event(id)
    if event is None:
        raise NotFound(f"event {id!r}")
    return answer(event_document(event))


@router.get("/events", response_model=documents.Events, tags=["events"])
async def get_events(
    shared: Shared, reader: Reader, filters: EventQuery, after: Position = 0, limit: Limit = 100
) -> Response:
    """Events that satisfy every filter given, in log order, as far as the log is gap-free.

    A page ends early when it has 8 MiB; `next` says whether there is more.
    """
    entries: list[Entry] = []
    size = 0
    more = True
    while more and len(entries) < limit and size < EVENTS_BYTES:
        asked = min(PAGE, limit - len(entries))
        found = await read_page(reader, filters, entries[-1].position if entries else after, asked)
        entries += found
        size += sum(len(entry.text) for entry in found)
        more = len(found) == asked
    items = b",".join(entry.text for entry in entries if entry.event is not None)
    faults = b",".join(entry.text for entry in entries if entry.event is None)
    following = b"%d" % entries[-1].position if more and entries else b"null"
    if not entries and after:
        await shared.feed.check(after)
    body = b'{"items":[%b],"unreadable":[%b],"next":%b}' % (items, faults, following)
    return Response(body, media_type="application/json")


@router.get("/events/stream", tags=["events"], response_class=StreamingResponse)
async def follow_events(
    shared: Shared,
    filters: EventQuery,
    after: Annotated[int | None, Query(ge=0, le=POSITION, description="Begin beyond it; without, from now on.")] = None,
    last: Annotated[
        str | None,
        Header(
            alias="Last-Event-ID",
            pattern="^[0-9]{0,19}$",
            description="Goes before `after`: a resumption. Empty counts as none.",
        ),
    ] = None,
) -> Response:
    """Events as server-sent events, without end: `id` is the position, `data` the event's JSON.

    An event that cannot be read is one of type `unreadable`. An `id` without data comes when it is quiet. A position
    beyond the end of the log is a 409: it is not of this log, or not any more.
    """
    start = min(int(last), POSITION) if last else after
    await shared.feed.check(start)

    async def lines() -> AsyncIterator[bytes]:
        async for news in shared.feed.follow(filters, start):
            if isinstance(news, int):
                yield b"id: %d\n\n" % news
                continue
            yield b"".join(
                b"id: %d\nevent: %b\ndata: %b\n\n"
                % (entry.position, b"unreadable" if entry.event is None else b"message", entry.text)
                for entry in news
            )

    return StreamingResponse(lines(), media_type="text/event-stream")


@router.get("/status", tags=["pipeline"])
async def status(shared: Shared) -> Response:
    """How far log, relay and groups are, as `holonstream status --json` prints them, and what is `stuck`.

    A few seconds old at most.
    """
    found = (await shared.watch.status()).document()
    return answer({**found, "stuck": [asdict(trouble) for trouble in shared.live.troubles()]})


@router.get("/health", tags=["pipeline"])
async def health() -> Response:
    """Whether the server lives; asks no store."""
    return answer({"status": "ok"})
