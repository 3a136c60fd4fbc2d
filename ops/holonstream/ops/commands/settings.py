"""``holonstream settings``: print docs/settings.md."""

from __future__ import annotations

import click
from msgspec import structs

from holonstream.client.settings import PREFIX, ClientSettings, Secret
from holonstream.ops.settings import Settings

HEAD = """\
# Settings

Environment variables, checked together when a process or client starts; the error names every value that is wrong.
Times are seconds, sizes bytes. Secrets never appear in a log. (This page is what `holonstream settings` prints.)

A secret may lie in a file instead, as Docker and Kubernetes provide them: the variable with `_FILE` at its end, as
`HOLONSTREAM_KAFKA_PASSWORD_FILE=/run/secrets/kafka`, names the file; a line end at its end is left out. That goes for
{secrets}.

A program gives them in code with `ClientSettings.of({{"HOLONSTREAM_POSTGRES_DSN": "postgresql://..."}})`, which makes
the same checks, and passes the result to `Client.from_settings`.
"""
TABLE = "| Variable | Default | Meaning |\n|---|---|---|"


@click.command()
def settings() -> None:
    """Print the page of all settings, in Markdown."""
    click.echo(page(), nl=False)


def page() -> str:
    """The page, made from the settings' own declarations."""
    secrets = ", ".join(f"`{PREFIX}{name.upper()}`" for name in Settings.secrets())
    of_client = structs.fields(ClientSettings)
    of_operator = structs.fields(Settings)[len(of_client) :]
    return "\n".join(
        [
            HEAD.format(secrets=secrets),
            "## What a client needs, and every other process\n",
            TABLE,
            *map(_row, of_client),
            "\n## What the operator's processes need besides\n",
            TABLE,
            *map(_row, of_operator),
            "",
        ]
    )


def _row(field: structs.FieldInfo) -> str:
    default = field.default.reveal() if isinstance(field.default, Secret) else field.default
    shown = "" if default in (None, "") else f"`{default}`"
    return f"| `{PREFIX}{field.name.upper()}` | {shown} | {field.type.__metadata__[0].description} |"
