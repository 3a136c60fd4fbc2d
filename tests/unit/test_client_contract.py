"""Both clients answer every query of the graph stores' contract, the examples' queries among them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, cast

from holonstream.client import Client, SyncClient
from holonstream.schemas.event import Event
from holonstream.schemas.state import State
from holonstream.sinks.store import SemanticGraphStore
from holonstream.testing import MemoryGraphStore
from tests.conformance.graph_store import CATALOGUE, GraphStoreContract, RecordedLog, log_of


@asynccontextmanager
async def client_of(*events: Event) -> AsyncIterator[Client]:
    log = RecordedLog(log_of(*events))
    yield Client(MemoryGraphStore(log, CATALOGUE), log, CATALOGUE)


class FromALoop:
    """A blocking client, called from a loop."""

    def __init__(self, client: SyncClient) -> None:
        self._client = client

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._client, name)

        async def call(*args: Any, **kwargs: Any) -> Any:
            return await asyncio.to_thread(method, *args, **kwargs)

        return call

    async def export(self) -> AsyncIterator[State]:
        for state in self._client.export():
            yield state


class TestClient(GraphStoreContract):
    def holding(self, *events: Event) -> AbstractAsyncContextManager[SemanticGraphStore]:
        return client_of(*events)


class TestSyncClient(GraphStoreContract):
    @asynccontextmanager
    async def holding(self, *events: Event) -> AsyncIterator[SemanticGraphStore]:
        with SyncClient.over(client_of(*events)) as client:
            yield cast(SemanticGraphStore, FromALoop(client))


def test_the_blocking_client_has_every_method_of_the_other_with_its_docstring() -> None:
    methods = {name for name in dir(Client) if not name.startswith("_")}
    assert methods == {name for name in dir(SyncClient) if not name.startswith("_")} - {"over"}
    for name in methods - {"from_settings"}:
        assert getattr(SyncClient, name).__doc__ == getattr(Client, name).__doc__
        assert getattr(Client, name).__doc__
