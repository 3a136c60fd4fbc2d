"""The read API against real servers: what OpenAPI promises, following, and what many pages cost."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from functools import partial
from time import monotonic
from typing import Any, TypeVar

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import positive_data_acceptance

from holonstream.client import Client
from holonstream.client.connections import graph_connection
from holonstream.ops.console import explorer
from holonstream.ops.console.explorer import Place
from holonstream.ops.console.feed import POLL, EventFeed, EventFilter
from holonstream.ops.console.live import LivePage
from holonstream.ops.console.services import read_frontier, services
from holonstream.ops.console.watch import WATCHED, Watch
from holonstream.ops.kafka import client
from holonstream.ops.settings import Settings
from holonstream.ops.status import TopicStatus
from holonstream.sinks.graph.read.store import Neo4jGraphStore
from holonstream.sinks.store import HolonRead
from tests.console.conftest import Console, fact
from tests.support.waiting import wait_until


@pytest.mark.parametrize("mode", GenerationMode)
def test_every_answer_is_what_openapi_says(console: Console, mode: GenerationMode) -> None:
    described = schemathesis.openapi.from_url(f"{console.url}/api/v1/openapi.json", timeout=60)
    endless = "/api/v1/events/stream"  # followed in the tests below
    operations: list[Any] = [found.ok() for found in described.get_all_operations() if isinstance(found, Ok)]
    assert len(operations) > 12
    for operation in operations:
        can_be_wrong = operation.body or list(operation.iter_parameters())
        if operation.path != endless and (can_be_wrong or mode is GenerationMode.POSITIVE):
            _check(operation, mode)


def _check(operation: Any, mode: GenerationMode) -> None:
    @given(case=operation.as_strategy(generation_mode=mode))
    @settings(max_examples=5, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
    def check(case: Any) -> None:
        # a text that the schema allows need not be an instant, a token or a pattern that makes sense
        answer = case.call(timeout=60)
        assert answer.status_code != 500  # 503 and 504 come on a machine that is busy
        case.validate_response(answer, excluded_checks=[positive_data_acceptance, not_a_server_error])

    check()


def test_a_follower_resumes_by_position(console: Console) -> None:
    first, second = console.append(fact("PersonCreated", "resumed-1"), fact("PersonCreated", "resumed-2"))
    follow = partial(httpx.stream, "GET", f"{console.url}/api/v1/events/stream?type=PersonCreated", timeout=60)

    def next_event(**headers: str) -> int:
        with follow(headers=headers) as answer:
            assert answer.headers["Content-Type"].startswith("text/event-stream")
            place = 0
            for line in answer.iter_lines():
                if line.startswith("id: "):
                    place = int(line[4:])
                if line.startswith("data: "):
                    return place
        raise AssertionError("the stream ended")

    assert next_event(**{"Last-Event-ID": str(first.position - 1)}) == first.position
    assert next_event(**{"Last-Event-ID": str(first.position)}) == second.position
    with follow(headers={"Last-Event-ID": ""}) as answer:  # as some clients say that they have none
        assert answer.status_code == 200


def test_a_stream_that_is_not_parked_any_more_is_not_found(console: Console) -> None:
    answer = httpx.get(f"{console.url}/dead-letter?stream=holon/resumed-1", timeout=60)
    assert answer.status_code == 404
    assert "Not parked: holon/resumed-1" in answer.text


def test_an_event_is_followed_live_and_read_with_its_token(console: Console) -> None:
    with httpx.stream("GET", f"{console.url}/api/v1/events/stream?subject=live", timeout=60) as answer:
        lines = answer.iter_lines()
        assert next(lines).startswith("id: ")
        (appended,) = console.append(fact("PersonCreated", "live", name="Live"))
        assert f"id: {appended.position}" in iter(lines.__next__, None)
    url, headers = f"{console.url}/api/v1/holon?id=live&deadline=5", {"Holonstream-Token": str(appended.token)}

    def read() -> httpx.Response | None:
        answer = httpx.get(url, headers=headers, timeout=60)
        assert answer.status_code in (200, 409)  # not yet visible: ask again
        return answer if answer.status_code == 200 else None

    assert wait_until(read, "the token's state").json()["properties"] == {"name": "Live"}


T = TypeVar("T")


async def _nth(updates: AsyncIterator[T], count: int) -> T:
    async for update in updates:
        count -= 1
        if not count:
            return update
    raise AssertionError("the updates ended")


def test_a_thousand_pages_ask_the_stores_as_often_as_ten(console: Console) -> None:
    async def ask(pages: int) -> None:
        connection = graph_connection(console.settings)
        watch = Watch(console.settings, connection)
        live = LivePage(console.settings, watch)
        polling = asyncio.create_task(watch.run())
        began = monotonic()
        try:
            await asyncio.gather(*(_nth(live.updates(), 4) for _ in range(pages)))
            assert watch.polls <= (monotonic() - began) / WATCHED + 2
            assert live.rendered <= watch.polls + 1
        finally:
            polling.cancel()
            await watch.close()
            await connection.close()

    for pages in (10, 1_000):
        asyncio.run(ask(pages))


def test_a_thousand_followers_read_the_log_as_often_as_ten(console: Console) -> None:
    async def follow(followers: int) -> None:
        async with Client.from_settings(console.settings) as reader:
            feed = EventFeed(reader, lambda: read_frontier(console.settings))
            began = monotonic()

            async def one() -> int:
                async for news in feed.follow(EventFilter(actor="tester"), None):
                    if not isinstance(news, int):
                        return news[0].position
                    waiting.release()
                raise AssertionError("the events ended")

            waiting = asyncio.Semaphore(0)
            following = [asyncio.create_task(one()) for _ in range(followers)]
            for _ in following:
                await waiting.acquire()
            (appended,) = await reader.append([fact("PersonCreated", f"for-{followers}")])
            assert set(await asyncio.gather(*following)) == {appended.position}
            assert feed.reads <= (monotonic() - began) / POLL + 2

    for followers in (10, 1_000):
        asyncio.run(follow(followers))


async def in_graph(settings: Settings, holon_id: str) -> Place:
    """What the page of a holon says of the graph."""
    async with services(settings) as opened:
        _, (_, graph, _) = await explorer.compared(opened, holon_id)
        return graph


def test_a_holon_of_whose_events_only_the_first_are_read_is_not_said_to_differ(
    console: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert asyncio.run(in_graph(console.settings, "hub")).remark == "as the log"
    monkeypatch.setattr(explorer.history, "__defaults__", (1,))
    graph = asyncio.run(in_graph(console.settings, "hub"))
    assert (graph.remark, graph.is_wrong) == (explorer.NOT_COMPARED, False)


def test_a_holon_that_changes_while_it_is_read_is_not_said_to_differ(
    console: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    read_holon = Neo4jGraphStore.read_holon

    async def change_and_read(store: Neo4jGraphStore, holon_id: str) -> HolonRead:
        (appended,) = await asyncio.to_thread(console.append, fact("PersonModified", holon_id, diff={"rank": "O-2"}))
        async with Client.from_settings(console.settings) as reader:
            await reader.get_holon_relationships(holon_id, at_least=appended.token, deadline=120)
        return await read_holon(store, holon_id)

    console.append(fact("PersonCreated", "busy"))
    monkeypatch.setattr(Neo4jGraphStore, "read_holon", change_and_read)
    graph = asyncio.run(in_graph(console.settings, "busy"))
    assert (graph.version, graph.remark) == (2, "as the log")


def test_offsets_that_move_while_they_are_asked_are_no_problem(console: Console) -> None:
    known = console.settings
    with TopicStatus(client(known), known.topic) as topic:
        stale = topic.group(known.group("graph"), dict.fromkeys(topic.ends(), 0))
        assert stale.partitions
        assert topic.problems(known.group("relay"), known.dead_letter_topic, [stale]) == []
