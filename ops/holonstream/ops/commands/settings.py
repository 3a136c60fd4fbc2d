"""``holonstream settings``: print docs/settings.md."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from holonstream.ops.command_line import json_option
from holonstream.ops.output import print_json, print_text

if TYPE_CHECKING:
    from msgspec.structs import FieldInfo

HEAD = """\
# Settings

Environment variables, checked together when a process or client starts; the error names every value that is wrong.
Times are seconds, and may be written as `500ms`, `30s`, `5m`, `2h` or `7d`; sizes are bytes. Secrets never appear in a
log. (This page is what `holonstream settings` prints.)

Commands read them from files, too. Of two places that give the same setting, the first one here wins:

1. the environment;
2. `.env` in the working folder: lines like `HOLONSTREAM_NAMESPACE=shop`; variables of others in it are left alone;
3. one configuration file: the one that `HOLONSTREAM_CONFIG` names, else `holonstream.toml` in the working folder, else
   `holonstream/config.toml` in `$XDG_CONFIG_HOME` or `~/.config`. It has lines like `namespace = "shop"`: the names
   below without `HOLONSTREAM_`, in lower case.

`holonstream config show` prints the values that hold and where each comes from. A name that is no setting is a warning.

A secret may lie in a file instead, as Docker and Kubernetes provide them: the variable with `_FILE` at its end, as
`HOLONSTREAM_KAFKA_PASSWORD_FILE=/run/secrets/kafka`, names the file; a line end at its end is left out. That goes for
{secrets}.

A program gives them in code with `ClientSettings.of({{"HOLONSTREAM_POSTGRES_DSN": "postgresql://..."}})`, which makes
the same checks, and passes the result to `Client.from_settings`.
"""
TABLE = "| Variable | Default | Meaning |\n|---|---|---|"


@click.command()
@json_option
def settings(as_json: bool) -> None:
    """Print the page of all settings, in Markdown."""
    if not as_json:
        print_text(page())
        return
    rows = [
        {"variable": variable(field), "default": default(field), "description": description(field)}
        for field in fields()
    ]
    print_json(rows)


def page() -> str:
    """The page, made from the settings' own declarations."""
    from msgspec import structs

    from holonstream.client.settings import ClientSettings
    from holonstream.ops.settings import Settings

    secrets = ", ".join(f"`HOLONSTREAM_{name.upper()}`" for name in Settings.secrets())
    of_client = len(structs.fields(ClientSettings))
    return "\n".join(
        [
            HEAD.format(secrets=secrets),
            "## What a client needs, and every other process\n",
            TABLE,
            *map(_row, fields()[:of_client]),
            "\n## What the operator's processes need besides\n",
            TABLE,
            *map(_row, fields()[of_client:]),
            "",
        ]
    )


def fields() -> tuple[FieldInfo, ...]:
    """All settings, as they are declared."""
    from msgspec import structs

    from holonstream.ops.settings import Settings

    return structs.fields(Settings)


def variable(field: FieldInfo) -> str:
    """The environment variable of a setting."""
    return f"HOLONSTREAM_{field.name.upper()}"


def default(field: FieldInfo) -> Any:
    """The value of a setting that nobody gave; those of secrets are none."""
    from holonstream.client.settings import Secret

    return field.default.reveal() if isinstance(field.default, Secret) else field.default


def description(field: FieldInfo) -> str:
    """What a setting means."""
    return str(field.type.__metadata__[0].description)


def _row(field: FieldInfo) -> str:
    value = default(field)
    shown = "" if value in (None, "") else f"`{value}`"
    return f"| `{variable(field)}` | {shown} | {description(field)} |"
