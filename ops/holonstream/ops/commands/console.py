"""``holonstream console``: pages for operators, and the read API."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from holonstream.ops.command_line import pass_settings
from holonstream.ops.output import say

if TYPE_CHECKING:
    from holonstream.ops.settings import Settings


@click.command()
@click.option("--port", type=click.IntRange(0, 65_535), help="Instead of HOLONSTREAM_CONSOLE_PORT; 0 takes a free one.")
@pass_settings
def console(settings: Settings, port: int | None) -> None:
    """Serve the console and the read API, read-only.

    Runs until SIGTERM. The pages show the pipeline live, the graph with its history, events and dead letters; the API
    under /api/v1 is for services in any language (docs/http-api.md).

    On a loopback address, the default, nobody need log in. On any other HOLONSTREAM_CONSOLE_HOST it does not start
    without HOLONSTREAM_CONSOLE_TOKEN or HOLONSTREAM_CONSOLE_USER_HEADER (docs/console.md).
    """
    from msgspec import structs

    from holonstream.ops.console.access import Login
    from holonstream.ops.console.server import listen, serve
    from holonstream.ops.observe.traces import traced

    if port is not None:
        settings = structs.replace(settings, console_port=port)
    Login.of(settings)
    opened = listen(settings.console_host, settings.console_port)
    host, bound = opened.getsockname()[:2]
    say(f"console on http://{f'[{host}]' if ':' in host else host}:{bound}", err=True)
    with traced(settings, "console"):
        serve(settings, opened)
