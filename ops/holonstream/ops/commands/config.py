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
        if isinstance(value, Secret):
            value = ADDRESSES[field.name](value.reveal()) if field.name in ADDRESSES else HIDDEN
        shown = str(value) if isinstance(value, Path) else value
        rows.append({"variable": name, "value": shown, "from": place})
    return rows


def _masked_redis(address: str) -> str:
    """An address of Redis without what may be secret in it."""
    scheme, _, rest = address.partition("://")
    user, at, host = rest.rpartition("@")
    return f"{scheme}://{user.partition(':')[0] + ':' + HIDDEN if at else ''}{at}{host.partition('?')[0]}"


def _masked_dsn(dsn: str) -> str:
    """A libpq connection string without what may be secret in it."""
    from psycopg.conninfo import conninfo_to_dict

    plain = ("host", "hostaddr", "port", "dbname", "user", "sslmode", "target_session_attrs")
    return " ".join(f"{name}={value if name in plain else HIDDEN}" for name, value in conninfo_to_dict(dsn).items())


ADDRESSES = {"postgres_dsn": _masked_dsn, "redis_url": _masked_redis}
"""secrets of which a part may be shown; of any other one nothing is, whatever it looks like"""
