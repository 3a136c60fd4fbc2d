"""``holonstream dataset``: example events as JSON, to import or to fold."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from holonstream.demo.datasets import PERSONS
from holonstream.ops.command_line import CommandGroup, json_always_option
from holonstream.ops.output import print_text

if TYPE_CHECKING:
    from holonstream.schemas.event import Event


@click.group(cls=CommandGroup)
def dataset() -> None:
    """Print example events, to import or to fold."""


@dataset.command("congress")
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@json_always_option
def print_congress(folder: Path) -> None:
    """Print the United States Congress as events.

    Members, seats, terms and committees, from the three files in FOLDER.
    """
    from holonstream.demo.datasets import congress

    _print(congress.read(folder))


@dataset.command("organisation")
@click.option(
    "--persons",
    default=PERSONS,
    show_default=True,
    type=click.IntRange(1),
    help="About how many persons serve at a time.",
)
@click.option("--seed", default=1, show_default=True, help="The same seed gives the same events.")
@json_always_option
def print_organisation(persons: int, seed: int) -> None:
    """Print the made-up Coastal Rescue Service as events.

    Its units, posts, people, boats, missions and plans from 2005 to 2026: events of every type, about 60 for each
    person.
    """
    from holonstream.demo.datasets import organisation

    _print(organisation.generate(persons, seed))


def _print(events: Iterable[Event]) -> None:
    import msgspec

    from holonstream.schemas import jsontext

    separator = "[\n"
    for event in events:
        print_text(separator + jsontext.encode(msgspec.to_builtins(event)).decode())
        separator = ",\n"
    print_text("\n]\n")
