"""``holonstream metrics``: print docs/metrics.md."""

from __future__ import annotations

from dataclasses import asdict

import click

from holonstream.ops.command_line import json_option
from holonstream.ops.output import print_json, print_text


@click.command()
@json_option
def metrics(as_json: bool) -> None:
    """Print the page of all metrics, in Markdown."""
    from holonstream.ops.observe.page import page
    from holonstream.schemas.metrics import METRICS

    if as_json:
        print_json({name: asdict(metric) for name, metric in METRICS.items()})
    else:
        print_text(page())
