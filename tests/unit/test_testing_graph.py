"""The graph in memory holds the contract of graph stores, follows its log, and lags when it is asked to."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from holonstream.schemas.event import Event
from holonstream.schemas.token import Token
from holonstream.sinks.errors import NotYetVisible
from holonstream.sinks.store import SemanticGraphStore
from holonstream.testing import MemoryEventStore, MemoryGraphStore
from tests.conformance.graph_store import CATALOGUE, GraphStoreContract, event, in_loop, log_of, memory_graph, person


class TestMemoryGraphStore(GraphStoreContract):
    @asynccontextmanager
    async def holding(self, *events: Event) -> AsyncIterator[SemanticGraphStore]:
        yield memory_graph(log_of(*events))


@in_loop
async def test_a_waiting_reader_sees_what_comes() -> None:
    log = MemoryEventStore(CATALOGUE)
    store = MemoryGraphStore(log, CATALOGUE)
    waiting = asyncio.create_task(store.get_holon("b", at_least=Token({"holon/b": 2}), deadline=30))
    early = asyncio.create_task(store.get_holon("a", at_least=Token({"holon/a": 1}), deadline=30))
    log.append([person("a")])
    assert await early is not None
    assert not waiting.done()
    log.append([person("b")])
    holon = await waiting
    assert holon is not None
    assert holon.id == "b"


@in_loop
async def test_a_graph_that_lags_shows_what_was_there_before_and_no_more() -> None:
    log = MemoryEventStore(CATALOGUE)
    store = MemoryGraphStore(log, CATALOGUE)
    (before,) = log.append([person("before")])
    with store.lagging():
        (after,) = log.append([person("after")])
        assert await store.get_holon("before", at_least=before.token) is not None
        assert await store.get_holon("after") is None
        with pytest.raises(NotYetVisible, match="holon/after at position 2; the view has reached 1") as raised:
            await store.get_holon("after", at_least=after.token, deadline=60)
        assert raised.value.waited < 10
    assert await store.get_holon("after", at_least=after.token) is not None


@in_loop
async def test_an_event_that_cannot_be_applied_parks_its_stream_and_no_other() -> None:
    log = MemoryEventStore(CATALOGUE)
    store = MemoryGraphStore(log, CATALOGUE)
    _, guilty, later, other = log.append(
        [
            person("a", measurements="none"),
            event("MeasureEmitted", ["a"], value=1),
            event("PersonModified", ["a"], diff={"rank": "O-4"}),
            person("b"),
        ]
    )
    assert await store.get_holon("b", at_least=other.token) is not None
    holon = await store.get_holon("a")
    assert holon is not None
    assert (holon.version, holon.properties) == (1, {"measurements": "none"})
    for appended in (guilty, later):
        with pytest.raises(NotYetVisible) as late:
            await store.get_holon("a", at_least=appended.token, deadline=600)
        assert late.value.parked
    with pytest.raises(NotYetVisible):
        await store.get_holon("b", at_least=Token({"holon/b": 99}), deadline=float("nan"))
    (stream,) = store.dead_letters
    assert stream == "holon/a"
    assert guilty.id in str(store.dead_letters[stream])
