"""``holonstream exporter``: the pipeline's lags, seen from outside."""

from __future__ import annotations

import click

from holonstream.ops.settings import Settings
from holonstream.ops.stopping import stop_on_signals


@click.command()
@click.pass_obj
def exporter(settings: Settings) -> None:
    """Serve the lag of each group and of the relay, and who holds the frontier, until SIGTERM.

    It asks brokers and log every HOLONSTREAM_METRICS_INTERVAL seconds, so that lag is seen also when no worker lives.
    One is enough. Needs HOLONSTREAM_METRICS_PORT; docs/metrics.md has the metrics.
    """
    from holonstream.ops.observe.exporter import Exporter
    from holonstream.ops.observe.process import observed

    if not settings.metrics_port:
        raise click.ClickException("HOLONSTREAM_METRICS_PORT is 0: an exporter without a port exports nothing")
    stop = stop_on_signals()
    exporter = Exporter(settings)
    with observed(settings, lambda: exporter):
        exporter.run(stop)
