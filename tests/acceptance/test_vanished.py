"""A broker or a store vanishes without closing its connections, and every part of the pipeline makes progress again.

Of three brokers one is frozen: its connections stay open and nobody answers. The stores are behind proxies that lose
them without a word: old connections stay open in silence, new ones reach the server.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from holonstream.client import ClientSettings, SyncClient
from tests.support.watched_pipeline import BROKERS, WatchedPipeline, watched_pipeline

pytestmark = pytest.mark.faults


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[WatchedPipeline]:
    with watched_pipeline(tmp_path / "logs") as made:
        yield made


def test_everything_continues_when_a_broker_or_a_store_vanishes(watched: WatchedPipeline) -> None:
    stack = watched.stack
    watched.start()
    with SyncClient.from_settings(ClientSettings.of(watched.pipeline.environment)) as reader:
        watched.recovers(reader, "all parts just started", 300)
        for broker in BROKERS:
            stack.pause(broker)
            try:
                watched.recovers(reader, f"{broker} frozen")
            finally:
                stack.resume(broker)
            watched.recovers(reader, f"{broker} back")
        stack.kill(BROKERS[0])
        watched.recovers(reader, f"{BROKERS[0]} killed")
        stack.start(BROKERS[0])
        for store, proxy in watched.proxies.items():
            proxy.replace_server()
            watched.recovers(reader, f"{store} replaced")
    watched.pipeline.processes.check()
    watched.pipeline.run("verify", "graph")
    watched.check_topic()
