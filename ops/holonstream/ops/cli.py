"""The command ``holonstream``."""

from __future__ import annotations

import sys

import click

from holonstream.local.errors import LocalStackError
from holonstream.ops import logs
from holonstream.ops.commands import COMMANDS
from holonstream.ops.settings import Settings
from holonstream.schemas.errors import HolonstreamError
from holonstream.schemas.extras import extras_needed


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="holonstream")
def cli() -> None:
    """Events committed to PostgreSQL, streamed through Kafka, projected into Neo4j and kept fresh in Redis.

    Settings come from the environment (HOLONSTREAM_..., see docs/settings.md). Every command exits non-zero when it
    fails, with one line that says why on standard error.
    """


for command in COMMANDS:
    cli.add_command(command)


def main() -> None:
    """Run the command line and exit."""
    try:
        configured = Settings.load()
        with extras_needed():
            logs.configure(configured.log_level, configured.log_format)
            sys.exit(cli(standalone_mode=False, obj=configured) or 0)
    except click.exceptions.Exit as leaving:
        sys.exit(leaving.exit_code)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except click.Abort:
        sys.exit(130)
    except (HolonstreamError, LocalStackError) as error:
        click.echo(f"error: {' '.join(str(error).split())}", err=True)  # drivers' messages have several lines
        sys.exit(1)
