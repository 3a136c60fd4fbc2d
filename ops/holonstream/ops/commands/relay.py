"""``holonstream relay``: publish the log on Kafka."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from holonstream.ops.command_line import pass_settings

if TYPE_CHECKING:
    from holonstream.ops.settings import Settings


@click.command()
@click.option(
    "--trust-topic", is_flag=True, help="Continue from the end of the topic, although more was published before."
)
@click.option(
    "--trust-log", is_flag=True, help="Publish this log, although another database was published from before."
)
@pass_settings
def relay(settings: Settings, trust_topic: bool, trust_log: bool) -> None:
    """Publish the log's events on Kafka.

    Each event once and in order, until SIGTERM. Start a second relay as a standby: it waits for the leader's lock and
    takes over when the leader's session ends.
    """
    import structlog

    from holonstream.ops import wiring
    from holonstream.ops.observe.process import observed
    from holonstream.ops.observe.relay import ObservedRelay
    from holonstream.ops.observe.traces import traced
    from holonstream.ops.stopping import stop_on_signals
    from holonstream.schemas.incident import incident

    stop = stop_on_signals()
    relay = wiring.relay(settings, trust_topic=trust_topic, trust_log=trust_log)
    with (
        traced(settings, "relay"),
        observed(
            settings,
            lambda: ObservedRelay(
                relay.progress, settings.log_dsn, interval=settings.metrics_interval, stall=settings.ready_stall
            ),
        ),
    ):
        try:
            relay.run(stop)
        except Exception as error:  # what a retry cannot help, or a bug
            log = structlog.get_logger(__name__)
            log.error("relay.failed", position=relay.progress.now.position, **incident(error))
            sys.exit(1)
