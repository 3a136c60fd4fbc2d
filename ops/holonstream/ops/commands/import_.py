"""``holonstream import``: append a file of events to the log."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from holonstream.ops.command_line import json_option, pass_settings
from holonstream.ops.output import counted, print_json, say

if TYPE_CHECKING:
    from holonstream.ops.settings import Settings
    from holonstream.producers.log.append import Appended
    from holonstream.schemas.catalogue import Catalogue
    from holonstream.schemas.event import Event

CALL = 1_000  # events per call


@click.command("import")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path))
@click.option("--events-key", default="events", show_default=True, help="Key of the list when FILE holds an object.")
@json_option
@click.option("--dry-run", is_flag=True, help="Only check the events against the catalogue; no server is asked.")
@pass_settings
def import_(settings: Settings, file: Path, events_key: str, as_json: bool, dry_run: bool) -> None:
    """Append the events of FILE to the log, all or none.

    FILE holds a JSON list of envelopes, or an object with one; their order is kept. `-` is standard input. Events that
    have an id are not appended a second time. Relay and workers do the rest: `holonstream wait` returns when the views
    have all of it.
    """
    from holonstream.client.connections import catalogue
    from holonstream.ops.wiring import read_events

    known = catalogue(settings)
    events = read_events(file, events_key, known)
    if dry_run:
        if as_json:
            print_json({"events": len(events), "valid": True})
        else:
            say(f"{counted(len(events), 'valid event')}; nothing was appended", err=True)
        return
    before, appended = _append(settings, known, events)
    new = sum(1 for place in appended if place.position > before)
    last = max((place.position for place in appended), default=0)
    if as_json:
        print_json({"events": len(events), "appended": new, "position": last})
    known_before = f", {len(events) - new:,} were in the log already" if new < len(events) else ""
    say(f"{counted(new, 'event')} appended{known_before}; last position {last:,}", err=True)


def _append(settings: Settings, known: Catalogue, events: list[Event]) -> tuple[int, list[Appended]]:
    """Append in one transaction; the head of the log before, and where the events are."""
    from holonstream.client.connections import event_store
    from holonstream.ops.progress import progress_bar
    from holonstream.producers.log.postgres import connect, driver_errors

    appended: list[Any] = []
    with (
        event_store(settings, known) as store,
        connect(settings.log_dsn, "holonstream-import") as connection,
        progress_bar("appended", len(events)) as show,
    ):
        before = store.head()
        with driver_errors(), connection.transaction():
            for start in range(0, len(events), CALL):
                appended += store.append(events[start : start + CALL], connection=connection)
                show(len(appended))
    return before, appended
