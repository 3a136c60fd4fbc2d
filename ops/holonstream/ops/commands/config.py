"""``holonstream config``: the settings that hold, and where each comes from."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from holonstream.ops.command_line import CommandGroup, json_option
from holonstream.ops.output import print_json, print_table, say

if TYPE_CHECKING:
    from holonstream.ops.configuration import Configuration

HIDDEN = "***"


@click.group(cls=CommandGroup)
def config() -> None:
    """Show the settings that hold."""


@config.command()
@json_option
def show(as_json: bool) -> None:
    """Print every setting, its value, and where that comes from.

    Places are the environment, .env, a configuration file and the default; docs/settings.md says which one wins.
    Secrets are masked. Exits with 2 when a setting is wrong.
    """
    from holonstream.ops.configuration import read_configuration

    configuration = read_configuration()
    rows = effective(configuration)
    if as_json:
        print_json({"settings": rows, "unknown": configuration.unknown})
    else:
        print_table("", ["variable", "value", "from"], [[r["variable"], _text(r["value"]), r["from"]] for r in rows])
        for line in configuration.unknown:
            say(f"warning: {line}", err=True)


def _text(value: Any) -> str | None:
    """A value as it is, without the separators of thousands of a table."""
    return None if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def effective(configuration: Configuration) -> list[dict[str, Any]]:
    """Each setting with its value, which is masked if it may hold a secret, and the place. Raises InvalidSettings."""
    from holonstream.client.settings import Secret
    from holonstream.ops.commands.settings import fields, variable

    settings = configuration.settings()
    rows = []
    for field in fields():
        name, value = variable(field), getattr(settings, field.name)
        place = configuration.origins.get(name) or configuration.origins.get(f"{name}_FILE") or "default"
        if f"{name}_FILE" in configuration.origins:
            place = f"{configuration.variables[f'{name}_FILE']}, named by {place}"
        shown = _masked(value) if isinstance(value, Secret) else str(value) if isinstance(value, Path) else value
        rows.append({"variable": name, "value": shown, "from": place})
    return rows


def _masked(secret: Any) -> str:
    """A secret without what is secret: an address keeps host and database, a password nothing."""
    from psycopg import ProgrammingError
    from psycopg.conninfo import conninfo_to_dict

    text = secret.reveal()
    if text.startswith("redis"):
        scheme, _, rest = text.partition("://")
        user, at, host = rest.rpartition("@")
        return f"{scheme}://{user.partition(':')[0] + ':' + HIDDEN if at else ''}{at}{host.partition('?')[0]}"
    try:
        parts = conninfo_to_dict(text)
    except ProgrammingError:
        return HIDDEN
    plain = ("host", "hostaddr", "port", "dbname", "user", "sslmode", "target_session_attrs")
    return " ".join(f"{name}={value if name in plain else HIDDEN}" for name, value in parts.items())
