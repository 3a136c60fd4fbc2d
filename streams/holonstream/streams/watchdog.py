"""Two watchdogs for what Faust does not notice itself."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING

import structlog

from holonstream.schemas.errors import HolonstreamError
from holonstream.schemas.incident import incident

if TYPE_CHECKING:
    from holonstream.streams.app import SinkApp

log = structlog.get_logger(__name__)

LOOK = 1.0  # seconds


class Stalled(HolonstreamError):
    """A worker lags, its store answers, and still nothing is written."""


async def watch_coordinator(app: SinkApp) -> None:
    """Ask the group coordinator for errors: one in a join or sync phase is parked until somebody asks, and the worker
    would stay alive, silent, without partitions."""
    while not app.should_stop:
        await app.sleep(LOOK)
        if app.should_stop or app._consumer is None:
            continue
        try:
            await app.consumer.check_coordinator()
        except Exception as error:
            thread = app.consumer._thread
            consumer = thread._consumer
            if consumer is not None and consumer._coordinator._coordination_task.done():
                await app.crash(error)
                return
            log.error("group.coordinator_error", group=app.settings.group, **incident(error))


async def watch_progress(app: SinkApp, stall_timeout: float) -> None:
    """Stop a worker whose position does not move while it lags, unless it waits for its store."""
    moved_at = monotonic()
    seen: object = None
    while not app.should_stop:
        await app.sleep(max(LOOK, stall_timeout / 10))
        if app.should_stop or app._consumer is None:
            continue
        state = (app.follower.writes, app.follower.retries, app.consumer_generation_id)
        if state != seen or app.follower.retrying_since is not None:
            seen, moved_at = state, monotonic()
            continue
        if monotonic() - moved_at < stall_timeout:
            continue
        try:
            lag = app.consumer.unwritten(await app.consumer.end_offsets())
        except Exception as error:  # the brokers do not answer, so nobody knows whether there is more to write
            log.warning("watchdog.blind", group=app.settings.group, **incident(error))
            continue
        if any(behind > 0 for behind in lag.values()):
            await app.crash(Stalled(f"nothing written for {stall_timeout:g} s while behind by {lag}"))
            return
        moved_at = monotonic()
