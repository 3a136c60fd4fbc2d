"""``holonstream metrics``: print docs/metrics.md."""

from __future__ import annotations

import click


@click.command()
def metrics() -> None:
    """Print the page of all metrics, in Markdown."""
    from holonstream.ops.observe.page import page

    click.echo(page(), nl=False)
