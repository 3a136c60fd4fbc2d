"""``holonstream settings``: every setting, as docs/settings.md has them."""

from __future__ import annotations

import click
from pydantic import SecretStr

from holonstream.ops.settings import PREFIX, SECRETS, Settings

HEAD = """\
# Settings

Environment variables, checked together when a process starts; a value that is wrong is named with all others that are.
Times are seconds, sizes bytes. Secrets never appear in a log. (This page is what `holonstream settings` prints.)

A secret may lie in a file instead, as Docker and Kubernetes hand them out: the variable with `_FILE` at its end, as
`HOLONSTREAM_KAFKA_PASSWORD_FILE=/run/secrets/kafka`, names the file; a line's end at its end is left out. That goes for
{secrets}.

| Variable | Default | Meaning |
|---|---|---|"""


@click.command()
def settings() -> None:
    """Print every setting with its default and meaning, in Markdown."""
    click.echo(page(), nl=False)


def page() -> str:
    """The page, made from the settings' own declarations."""
    rows = []
    secrets = ", ".join(f"`{PREFIX}{name.upper()}`" for name in SECRETS)
    for name, field in Settings.model_fields.items():
        default = field.default.get_secret_value() if isinstance(field.default, SecretStr) else field.default
        shown = "" if default in (None, "") else f"`{default}`"
        rows.append(f"| `{PREFIX}{name.upper()}` | {shown} | {field.description} |")
    return "\n".join([HEAD.format(secrets=secrets), *rows]) + "\n"
