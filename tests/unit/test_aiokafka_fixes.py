"""What aiokafka does wrong, put right."""

from __future__ import annotations

import asyncio
import socket
from time import monotonic

from aiokafka.client import AIOKafkaClient
from aiokafka.structs import BrokerMetadata

from holonstream.streams import aiokafka_fixes

QUESTIONS = 4


def test_a_client_without_brokers_asks_for_leaders_after_a_pause_only() -> None:
    async def ask() -> float:
        client = AIOKafkaClient(bootstrap_servers=f"127.0.0.1:{port}", metadata_max_age_ms=60_000)
        client.cluster._brokers = {1: BrokerMetadata(1, "127.0.0.1", port, None)}
        updating = asyncio.create_task(client._md_synchronizer())
        began = monotonic()
        for _ in range(QUESTIONS):  # as a consumer does whose partition has no leader
            assert await client.force_metadata_update() is False
        took = monotonic() - began
        updating.cancel()
        return took

    with socket.socket() as bound:  # nobody listens
        bound.bind(("127.0.0.1", 0))
        port = bound.getsockname()[1]
        assert asyncio.run(ask()) >= (QUESTIONS - 1) * aiokafka_fixes.METADATA_PAUSE * 0.99
