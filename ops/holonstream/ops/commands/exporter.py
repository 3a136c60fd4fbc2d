"""``holonstream exporter``: metrics of the whole pipeline, for Prometheus."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from holonstream.ops.command_line import pass_settings

if TYPE_CHECKING:
    from holonstream.ops.settings import Settings


@click.command()
@pass_settings
def exporter(settings: Settings) -> None:
    """Serve the lags of the pipeline to Prometheus.

    Runs until SIGTERM. Polls brokers and log every HOLONSTREAM_METRICS_INTERVAL seconds for the lag of the relay and of
    each consumer group and for the transaction that holds the frontier, so lag is seen even when no worker runs. One
    exporter is enough. Needs HOLONSTREAM_METRICS_PORT; docs/metrics.md lists the metrics.
    """
    from holonstream.client.settings import InvalidSettings
    from holonstream.ops.observe.exporter import Exporter
    from holonstream.ops.observe.process import observed
    from holonstream.ops.stopping import stop_on_signals

    if not settings.metrics_port:
        raise InvalidSettings(["HOLONSTREAM_METRICS_PORT is 0: set it to the port on which the exporter listens"])
    stop = stop_on_signals()
    exporter = Exporter(settings)
    with observed(settings, lambda: exporter):
        exporter.run(stop)
