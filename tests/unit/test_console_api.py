"""The read API holds the graph stores' contract; its errors, its limits, and who may ask. No servers."""

from __future__ import annotations

import asyncio
import threading
from base64 import b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import cache
from socketserver import StreamRequestHandler, ThreadingTCPServer
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from holonstream.client import Client
from holonstream.ops.console import feed
from holonstream.ops.console.access import UnsafeConsole
from holonstream.ops.console.feed import KEPT, EventFeed, EventFilter
from holonstream.ops.console.live import LivePage
from holonstream.ops.console.server import make_app
from holonstream.ops.console.services import Services
from holonstream.ops.console.watch import Watch
from holonstream.ops.settings import Settings
from holonstream.producers.log import postgres
from holonstream.schemas.event import Event
from holonstream.schemas.token import Token
from holonstream.sinks.graph.driver import GraphConnection
from holonstream.sinks.store import SemanticGraphStore
from holonstream.testing import MemoryEventStore, MemoryGraphStore
from tests.conformance.graph_store import (
    CATALOGUE,
    GraphStoreContract,
    event,
    in_loop,
    log_of,
    memory_graph,
    person,
    started,
)
from tests.support.http_graph import HttpGraphStore

BASE = "http://127.0.0.1:8620"


def configured_by(**settings: str) -> Settings:
    return Settings.of({f"HOLONSTREAM_CONSOLE_{name.upper()}": value for name, value in settings.items()})


@cache
def app_for(settings: tuple[tuple[str, str], ...]) -> FastAPI:
    """FastAPI takes long to make an app."""
    return make_app(configured_by(**dict(settings)))


@asynccontextmanager
async def asking(
    *events: Event, folded: bool = False, peer: str = "127.0.0.1", **settings: str
) -> AsyncIterator[httpx.AsyncClient]:
    """An HTTP client of the app over stores in memory that hold these events; `folded` without the log's checks."""
    configured = configured_by(**settings)
    app = app_for(tuple(sorted(settings.items())))
    log = MemoryEventStore(CATALOGUE)
    graph = memory_graph(log_of(*events)) if folded else MemoryGraphStore(log, CATALOGUE)
    if not folded:
        log.append(events)
    client = Client(graph, log, CATALOGUE)
    connection = GraphConnection(configured.neo4j_uri)
    watch = Watch(configured, connection)
    live = LivePage(configured, watch)
    app.state.services = Services(configured, CATALOGUE, client, EventFeed(client, log.head), watch, live, connection)
    transport = httpx.ASGITransport(app, client=(peer, 9))
    async with httpx.AsyncClient(transport=transport, base_url=BASE) as http:
        yield http


class TestHttpGraphStore(GraphStoreContract):
    unstorable = ("\0", "p\0")  # a client cannot send the others

    @asynccontextmanager
    async def holding(self, *events: Event) -> AsyncIterator[SemanticGraphStore]:
        async with asking(*events, folded=True) as http:
            yield HttpGraphStore(http)


# --- who may ask ---

TOKEN = "a-token-of-20-letters"
BASIC = "Basic " + b64encode(f"anybody:{TOKEN}".encode()).decode()


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Host": "localhost:8620"}, 200),
        ({"Host": "[::1]:8620"}, 200),
        ({"Host": "192.0.2.7"}, 200),
        ({"Host": "evil.example"}, 421),
        ({"Host": "localhost.evil.example"}, 421),
        ({"Host": "127.0.0.1.evil.example"}, 421),
        ({"Host": "127.0.0.1@evil.example"}, 421),
        ({"Host": "["}, 421),
        ({"Host": ""}, 421),
        ({"Origin": BASE}, 200),
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://127.0.0.1:1"}, 403),
        ({"Origin": "http://["}, 403),
        ({"Origin": "http://a]"}, 403),
    ],
)
@in_loop
async def test_foreign_pages_are_refused(headers: dict[str, str], status: int) -> None:
    async with asking() as http:
        assert (await http.get("/api/v1/health", headers=headers)).status_code == status


@in_loop
async def test_a_name_in_the_settings_is_a_host() -> None:
    async with asking(names="holons.example, other.example") as http:
        for host, status in (("Holons.Example", 200), ("other.example:80", 200), ("example", 421)):
            assert (await http.get("/api/v1/health", headers={"Host": host})).status_code == status


@pytest.mark.parametrize(
    ("authorization", "status"),
    [
        (None, 401),
        (f"Bearer {TOKEN}", 200),
        (f"bearer  {TOKEN} ", 200),
        (BASIC, 200),
        (f"Bearer {TOKEN}x", 401),
        ("Bearer", 401),
        ("Basic not-base64", 401),
        ("Basic " + b64encode(TOKEN.encode()).decode(), 401),
        (TOKEN, 401),
        ("", 401),
        (f"Digest {TOKEN}", 401),
        (f"Bearer\t{TOKEN}", 401),
        (f"Bearer {TOKEN},Bearer {TOKEN}", 401),
        (f"Bearer {TOKEN}\u00e9", 401),
        ("Basic \u00e9", 401),
        ("Bearer " + "x" * 100_000, 401),
        ("Basic " + "A" * 100_000, 401),
    ],
)
@in_loop
async def test_a_token_is_asked_of_everybody(authorization: str | None, status: int) -> None:
    async with asking(token=TOKEN) as http:
        headers = [] if authorization is None else [(b"Authorization", authorization.encode("latin-1"))]
        answer = await http.get("/api/v1/health", headers=headers)
        assert answer.status_code == status
        assert ("Basic" in answer.headers.get("WWW-Authenticate", "")) == (status == 401)


@in_loop
async def test_two_tokens_are_none() -> None:
    async with asking(token=TOKEN) as http:
        for second in (TOKEN, "x" * len(TOKEN)):
            twice = [("Authorization", f"Bearer {TOKEN}"), ("Authorization", f"Bearer {second}")]
            assert (await http.get("/api/v1/health", headers=twice)).status_code == 401


@in_loop
async def test_a_users_header_counts_only_from_a_proxy() -> None:
    settings: dict[str, Any] = {"user_header": "X-User", "proxies": "10.0.0.0/8, ::1"}
    for peer, status in (("10.1.2.3", 200), ("::1", 200), ("127.0.0.1", 401), ("11.1.2.3", 401)):
        async with asking(peer=peer, **settings) as http:
            assert (await http.get("/api/v1/health", headers={"X-User": "ada"})).status_code == status
            assert (await http.get("/api/v1/health")).status_code == 401
            twice = [("X-User", "ada"), ("X-User", "root")]
            assert (await http.get("/api/v1/health", headers=twice)).status_code == 401


@pytest.mark.parametrize(
    "settings",
    [
        {"host": "0.0.0.0"},
        {"host": "::"},
        {"host": "192.0.2.7"},
        {"host": "holons.example"},
        {"host": "127.0.0.1", "token": "short"},
        {"user_header": "X-User", "proxies": "not-an-address"},
    ],
)
def test_an_open_console_does_not_start(settings: dict[str, str]) -> None:
    with pytest.raises(UnsafeConsole):
        make_app(configured_by(**settings))


@in_loop
async def test_every_answer_binds_the_browser() -> None:
    async with asking() as http:
        for path in ("/api/v1/health", "/nowhere", "/api/v1/holon"):
            headers = (await http.get(path)).headers
            assert "default-src 'none'" in headers["Content-Security-Policy"]
            assert "unsafe" not in headers["Content-Security-Policy"]
            assert headers["X-Frame-Options"] == "DENY"
            assert headers["X-Content-Type-Options"] == "nosniff"
            assert "Access-Control-Allow-Origin" not in headers


# --- errors ---


@pytest.mark.parametrize(
    ("path", "status", "kind"),
    [
        ("/api/v1/holon?id=nobody", 404, "urn:holonstream:not-found"),
        ("/api/v1/holon?id=a&at=yesterday", 400, "urn:holonstream:invalid-event"),
        ("/api/v1/holon", 400, "urn:holonstream:invalid-request"),
        ("/api/v1/holon?id=", 400, "urn:holonstream:invalid-request"),
        ("/api/v1/holon?id=" + "x" * 1001, 400, "urn:holonstream:invalid-request"),
        ("/api/v1/holons?limit=501", 400, "urn:holonstream:invalid-request"),
        ("/api/v1/holons?status=active", 400, "urn:holonstream:bad-data"),
        ("/api/v1/holons?type=Person&properties=[]", 400, "urn:holonstream:bad-data"),
        ("/api/v1/holons?type=Person&properties={", 400, "urn:holonstream:bad-data"),
        ("/api/v1/holons?type=Person&createdAfter=x", 400, "urn:holonstream:bad-data"),
        ("/api/v1/traverse?id=a&depth=9", 400, "urn:holonstream:invalid-request"),
        ("/api/v1/traverse?id=a&direction=up", 400, "urn:holonstream:invalid-request"),
        ("/api/v1/holon?id=a&deadline=11", 400, "urn:holonstream:invalid-request"),
        ("/api/v1/event?id=x", 400, "urn:holonstream:invalid-event"),
        ("/api/v1/event?id=00000000-0000-4000-8000-000000000000", 404, "urn:holonstream:not-found"),
        ("/api/v1/holons?typ=Person", 400, "urn:holonstream:bad-data"),
        ("/api/v1/events?actor=a&actor=b", 400, "urn:holonstream:bad-data"),
        ("/api/v1/events?from=x", 400, "urn:holonstream:invalid-event"),
        ("/api/v1/events/stream?to=x", 400, "urn:holonstream:invalid-event"),
        ("/api/v1/events?after=2", 409, "urn:holonstream:beyond-log"),
        ("/api/v1/events/stream?after=2", 409, "urn:holonstream:beyond-log"),
        ("/api/v1/nowhere", 404, "about:blank"),
    ],
)
@in_loop
async def test_errors_are_problems(path: str, status: int, kind: str) -> None:
    async with asking(person("a")) as http:
        answer = await http.get(path)
        assert answer.headers["Content-Type"] == "application/problem+json"
        assert (answer.status_code, answer.json()["status"], answer.json()["type"]) == (status, status, kind)


@pytest.mark.parametrize(
    ("method", "path", "headers", "detail"),
    [
        ("GET", "/api/v1/holons/a", {}, "No such path: '/api/v1/holons/a'. /api/v1/openapi.json"),
        ("DELETE", "/api/v1/holon?id=a", {}, "No DELETE here: '/api/v1/holon'. "),
        ("GET", "/api/v1/events?limit=0", {}, "query.limit: '0': Input"),
        ("GET", "/api/v1/holon?id=" + "x" * 1001, {}, f"query.id: '{'x' * 79}…: String"),
        ("GET", "/api/v1/holon?id=a", {"Holonstream-Token": "zzz"}, "header.Holonstream-Token: 'zzz': String"),
        ("GET", "/api/v1/events/stream", {"Last-Event-ID": "-1"}, "header.Last-Event-ID: '-1': String"),
        ("GET", "/api/v1/events/stream", {"Last-Event-ID": "99"}, "Position 99 lies beyond the end of the log, 1"),
        ("GET", "/api/v1/holon", {}, "query.id: Field required"),
        ("GET", "/api/v1/holon?id=%ff", {}, "Percent-escapes that are not UTF-8: 'id=%ff'"),
        ("GET", "/api/v1/events?actor=a&subject=b%C3", {}, "Percent-escapes that are not UTF-8: 'subject=b%C3'"),
        ("GET", "/api/v1/holon?id=%EF%BF%BD", {}, "No such holon '\N{REPLACEMENT CHARACTER}'"),
    ],
)
@in_loop
async def test_an_error_names_the_value_or_the_path(
    method: str, path: str, headers: dict[str, str], detail: str
) -> None:
    async with asking(person("a")) as http:
        answer = await http.request(method, path, headers=headers)
        assert answer.json()["detail"].startswith(detail)


@in_loop
async def test_a_body_of_another_type_is_told_which_is_right() -> None:
    async with asking() as http:
        for kind, told in (("text/plain", True), ("application/json", False), ("application/problem+json", False)):
            answer = await http.post("/api/v1/match", content="[]", headers={"Content-Type": kind})
            assert (answer.status_code, "Content-Type: application/json" in answer.json()["detail"]) == (400, told)


@in_loop
async def test_an_answer_without_a_holon_says_how_far_the_graph_is() -> None:
    async with asking(person("a"), person("b")) as http:
        assert (await http.get("/api/v1/holon?id=nobody")).json()["reached"] == 2
        behind = {"Holonstream-Token": str(Token({"holon/a": 9}))}
        answer = await http.get("/api/v1/holon?id=a&deadline=0", headers=behind)
        assert answer.status_code == 409
        assert (answer.json()["wanted"], answer.json()["reached"], answer.json()["parked"]) == (9, 2, False)
        broken = await http.get("/api/v1/holon?id=a", headers={"Holonstream-Token": "h1.e30x"})
        assert broken.status_code == 400


@in_loop
async def test_an_answer_says_that_the_stream_is_parked() -> None:
    parks = event("MeasureEmitted", ["a"], value=1)
    async with asking(person("a", measurements="none"), parks) as http:
        headers = {"Holonstream-Token": str(Token({"holon/a": 2}))}
        answer = await http.get("/api/v1/holon?id=a&deadline=10", headers=headers)
        assert answer.status_code == 409
        assert (answer.json()["reached"], answer.json()["parked"]) == (1, True)


@in_loop
async def test_only_reading_is_possible_and_bodies_are_small() -> None:
    async with asking(person("a")) as http:
        for method in ("POST", "PUT", "PATCH", "DELETE"):
            assert (await http.request(method, "/api/v1/holon?id=a")).status_code == 405
        for path in ("/api/v1/health", "/api/v1/holon?id=a", "/api/v1/openapi.json"):
            asked, got = await http.head(path), await http.get(path)
            assert (asked.status_code, asked.headers) == (200, got.headers)
        assert (await http.head("/api/v1/events/stream")).status_code == 405, "it would not end"
        json = {"Content-Type": "application/json"}
        assert (await http.post("/api/v1/match", content=b" " * 65_537, headers=json)).status_code == 413

        async def chunks() -> AsyncIterator[bytes]:
            yield b"{}"

        assert (await http.post("/api/v1/match", content=chunks(), headers=json)).status_code == 411
        for body in ("{", "[]", '{"holonPattern": []}', '{"holonPatterns": [' + ",".join(["{}"] * 9) + "]}"):
            assert (await http.post("/api/v1/match", content=body, headers=json)).status_code == 400, body


# --- the past and the events ---


@in_loop
async def test_states_of_the_past_come_from_the_log() -> None:
    promoted = event("PersonModified", ["a"], "2025-01-01T00:00:00.000Z", diff={"rank": "O-4"})
    async with asking(person("a", rank="O-3"), promoted, started("r", "a", "b")) as http:

        async def rank(at: str) -> Any:
            answer = await http.get("/api/v1/holon", params={"id": "a", "at": at})
            assert answer.status_code == 200, answer.text
            return answer.json()["properties"]["rank"]

        assert [await rank(at) for at in ("1", "2", "2024-12-31", "2025-01-01")] == ["O-3", "O-4", "O-3", "O-4"]
        assert (await http.get("/api/v1/holon?id=a&at=0")).status_code == 404
        assert (await http.get("/api/v1/relationship?id=r&at=3")).json()["target"] == "b"
        first = (await http.get("/api/v1/holon/modifications?id=a&limit=1")).json()
        assert first["next"] == first["items"][0]
        second = (await http.get("/api/v1/holon/modifications", params={"id": "a", "after": first["next"]})).json()
        assert (len(second["items"]), second["next"]) == (1, None)
        assert second["items"] != first["items"]
        assert (await http.get("/api/v1/holon/modifications?id=a&after=none")).status_code == 400
        assert (await http.get("/api/v1/relationship/modifications?id=r")).json()["next"] is None


@in_loop
async def test_events_come_in_pages_and_by_filter() -> None:
    events = [person(f"p{n}") for n in range(7)]
    async with asking(*events) as http:
        page = (await http.get("/api/v1/events?limit=3")).json()
        assert [found["position"] for found in page["items"]] == [1, 2, 3]
        rest = (await http.get(f"/api/v1/events?after={page['next']}")).json()
        assert ([found["position"] for found in rest["items"]], rest["next"]) == ([4, 5, 6, 7], None)
        first = page["items"][0]
        assert (first["subjects"], first["stream"], first["version"]) == (["p0"], "holon/p0", 1)
        assert (await http.get("/api/v1/event", params={"id": first["id"].upper()})).json() == first
        found = (await http.get("/api/v1/events?subject=p2&subject=p4&type=PersonCreated")).json()
        assert [one["stream"] for one in found["items"]] == ["holon/p2", "holon/p4"]
        assert (await http.get("/api/v1/events?actor=nobody")).json()["items"] == []


# --- following ---


@in_loop
async def test_followers_get_every_event_once_from_where_they_were() -> None:
    log = MemoryEventStore(CATALOGUE)
    log.append([person("p0")])
    feed = EventFeed(Client(memory_graph([]), log, CATALOGUE), log.head)

    async def follow(after: int | None, filters: EventFilter, until: int) -> list[int]:
        seen: list[int] = []
        async for news in feed.follow(filters, after):
            if isinstance(news, int):
                began.set()
            else:
                seen += [entry.position for entry in news]
                if seen[-1] >= until:
                    break
        return seen

    began = asyncio.Event()
    last = KEPT + 100  # more than the feed keeps
    everything = asyncio.create_task(follow(0, EventFilter(), last))
    await began.wait()
    new = asyncio.create_task(follow(None, EventFilter(subjects=("p7",)), 8))
    for n in range(1, last):
        await asyncio.to_thread(log.append, [person(f"p{n}")])
    late = asyncio.create_task(follow(40, EventFilter(types=("PersonCreated",)), last))
    assert await everything == list(range(1, last + 1))
    assert await new == [8]
    assert await late == list(range(41, last + 1))


@in_loop
async def test_a_bug_while_the_log_is_read_ends_no_follower(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed, "RETRY", 0.0)
    log = MemoryEventStore(CATALOGUE)
    log.append([person("a")])
    bugs = [KeyError("a bug")]

    def frontier() -> int:
        if bugs:
            raise bugs.pop()
        return log.head()

    following = EventFeed(Client(memory_graph([]), log, CATALOGUE), frontier)
    async with asyncio.timeout(60):
        async for news in following.follow(EventFilter(), 0):
            if not isinstance(news, int):
                assert [entry.position for entry in news] == [1]
                break
    assert not bugs


@in_loop
async def test_a_page_that_waits_for_the_log_holds_up_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(postgres.SESSION, "connect_timeout", 60)
    asked, answered = threading.Event(), threading.Event()
    in_time: list[bool] = []

    class SilentPostgres(StreamRequestHandler):
        def handle(self) -> None:
            asked.set()
            in_time.append(answered.wait(50))

    with ThreadingTCPServer(("127.0.0.1", 0), SilentPostgres) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        dsn = f"postgresql://u@127.0.0.1:{server.server_address[1]}/d"
        async with asking() as http:
            state = app_for(()).state
            state.services = replace(state.services, settings=Settings.of({"HOLONSTREAM_POSTGRES_DSN": dsn}))
            page = asyncio.create_task(http.get("/dead-letters"))
            assert await asyncio.to_thread(asked.wait, 60)
            assert (await http.get("/api/v1/health")).status_code == 200
            answered.set()
            assert (await page).status_code == 503
        server.shutdown()
    assert in_time == [True]
