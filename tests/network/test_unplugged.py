"""A host loses its network: no packet comes from it any more, and every part of the pipeline makes progress again.

Brokers are switched off one after the other. Stores are replaced by another host at the same address: what was
connected to the old one hears nothing more.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from holonstream.client import ClientSettings, SyncClient
from tests.network.links import lose_connections, require_own_network, unplugged
from tests.support.watched_pipeline import BROKERS, WatchedPipeline, watched_pipeline


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[WatchedPipeline]:
    require_own_network()
    with watched_pipeline(tmp_path / "logs") as made:
        yield made


def test_everything_continues_when_a_host_loses_its_network(watched: WatchedPipeline) -> None:
    stack = watched.stack
    watched.start()
    with SyncClient.from_settings(ClientSettings.of(watched.pipeline.environment)) as reader:
        watched.recovers(reader, "all parts just started", 300)
        for broker in BROKERS:
            pid = next(status.pid for status in stack.status() if status.name == broker)
            assert pid is not None
            with unplugged(pid):
                stack.kill(broker)
                watched.recovers(reader, f"{broker} switched off")
            stack.start(broker)
            watched.recovers(reader, f"{broker} back")
        for store, proxy in watched.proxies.items():
            lose_connections(proxy.port)
            proxy.replace_server()
            watched.recovers(reader, f"another host for {store}")
    watched.pipeline.processes.check()
    watched.pipeline.run("verify", "graph")
    watched.check_topic()
