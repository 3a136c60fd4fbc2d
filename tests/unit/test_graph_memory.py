"""The graph store in memory holds the contract."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from holonstream.schemas.event import Event
from holonstream.schemas.token import Token
from holonstream.sinks.memory import MemoryGraphStore
from holonstream.sinks.store import SemanticGraphStore
from tests.conformance.graph_store import GraphStoreContract, in_loop, log_of, person, states_of


class TestMemoryGraphStore(GraphStoreContract):
    @asynccontextmanager
    async def holding(self, *events: Event) -> AsyncIterator[SemanticGraphStore]:
        log = log_of(*events)
        yield MemoryGraphStore(states_of(log).values(), log[-1].position)

    @in_loop
    async def test_a_waiting_reader_sees_what_comes(self) -> None:
        log = log_of(person("a"), person("b"))
        store = MemoryGraphStore()
        waiting = asyncio.create_task(store.get_holon("b", at_least=Token({"holon/b": 2}), deadline=30))
        early = asyncio.create_task(store.get_holon("a", at_least=Token({"holon/a": 1}), deadline=30))
        store.put(states_of(log[:1]).values(), 1)
        assert await early is not None
        assert not waiting.done()
        store.put(states_of(log).values(), 2)
        holon = await waiting
        assert holon is not None
        assert holon.id == "b"
