"""``holonstream metrics``: every metric, as docs/metrics.md has them."""

from __future__ import annotations

import click


@click.command()
def metrics() -> None:
    """Print every metric with its type, labels and meaning, in Markdown."""
    from holonstream.ops.observe.page import page

    click.echo(page(), nl=False)
