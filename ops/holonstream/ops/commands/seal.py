"""``holonstream seal``: make and export seals over the log."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from holonstream.ops.command_line import CommandGroup, dry_run_option, json_always_option, json_option, pass_settings
from holonstream.ops.output import counted, print_json, print_text, say

if TYPE_CHECKING:
    from holonstream.ops.settings import Settings


@click.group(cls=CommandGroup)
def seal() -> None:
    """Seal the log, so that a change of its rows is found.

    An append does nothing for them: run `make` as a job, as the owner of the log, and keep what `export` prints where
    nobody who can write to the database can write. `holonstream verify log` compares the log with them (docs/seals.md).
    """


@seal.command("make")
@click.option(
    "--events", default=100_000, show_default=True, type=click.IntRange(1, 1_000_000), help="Most events of one seal."
)
@json_option
@dry_run_option
@pass_settings
def make(settings: Settings, events: int, as_json: bool, dry_run: bool) -> None:
    """Seal what lies beyond the last seal, up to the gap-free position.

    A seal is never taken back.
    """
    from holonstream.producers.log.seals import make_seals, unsealed_range

    if dry_run:
        after, until = unsealed_range(settings.log_dsn)
        if as_json:
            print_json({"after": after, "until": until})
        elif after == until:
            say(f"everything up to position {until:,} is sealed", err=True)
        else:
            say(f"positions beyond {after:,} and up to {until:,} would be sealed", err=True)
        return
    made = make_seals(settings.log_dsn, events)
    sealed = sum(one.events for one in made)
    if as_json:
        print_json({"seals": [one.document() for one in made], "events": sealed})
    say(f"log: {counted(len(made), 'seal')} made over {counted(sealed, 'event')}", err=True)


@seal.command("export")
@click.option(
    "--key",
    required=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Ed25519 private key (PEM) that signs them: openssl genpkey -algorithm ed25519.",
)
@click.option("--after", default=0, type=click.IntRange(0), help="Leave out seals up to this number.")
@json_always_option
@pass_settings
def export(settings: Settings, key: Path, after: int) -> None:
    """Print the seals, one signed JSON document a line."""
    from holonstream.ops.verify.signature import private_key, signed_line
    from holonstream.producers.log.postgres import connect, driver_errors
    from holonstream.producers.log.seals import read_seals

    signer = private_key(key)
    with connect(settings.log_dsn, "holonstream-seals") as connection, driver_errors():
        for one in read_seals(connection):
            if one.number > after:
                print_text(signed_line(one, signer) + "\n")
