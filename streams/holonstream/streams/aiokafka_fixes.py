"""What aiokafka does wrong, put right for every client of this process. Its version is pinned exactly."""

from __future__ import annotations

import asyncio
from functools import partial
from time import monotonic
from typing import Any, cast

import aiokafka.client
import aiokafka.conn
from aiokafka.client import AIOKafkaClient
from aiokafka.errors import SaslAuthenticationFailed
from aiokafka.protocol.metadata import MetadataRequest

METADATA_PAUSE = 0.1  # seconds between two questions who leads what

_update = AIOKafkaClient._metadata_update


class TokenAuthenticator(aiokafka.conn.OAuthAuthenticator):  # type: ignore[misc]
    """A login by token that notices a refusal. aiokafka's own takes it for success, and then finds an empty cluster."""

    async def step(self, payload: bytes | None) -> tuple[bytes, bool] | None:
        if payload:  # says why the brokers refuse the token; after a success there is nothing to say
            raise SaslAuthenticationFailed(payload.decode(errors="replace"))
        return cast("tuple[bytes, bool] | None", await super().step(payload))


async def _paced_update(self: Any, cluster: Any, topics: Any) -> Any:
    """A question who leads what, after a pause since the one before.

    While a partition has no leader, a consumer asks again as soon as it has an answer, or no broker gives one: hundreds
    of times a second. A broker that is stopped in order says that it leads nothing any more, and then it is gone.
    """
    await asyncio.sleep(max(0.0, getattr(self, "_asked_at", 0.0) + METADATA_PAUSE - monotonic()))
    self._asked_at = monotonic()
    return await _update(self, cluster, topics)


aiokafka.conn.OAuthAuthenticator = TokenAuthenticator
# Its own question has the brokers make a topic that is not there, where they may (`producers.kafka`).
aiokafka.client.MetadataRequest = partial(MetadataRequest, allow_auto_topic_creation=False)
AIOKafkaClient._metadata_update = _paced_update
