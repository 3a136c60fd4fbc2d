"""``holonstream import``: append a file of events to the log."""

from __future__ import annotations

from pathlib import Path

import click

from holonstream.client.connections import catalogue, event_store
from holonstream.ops.settings import Settings
from holonstream.ops.wiring import read_events
from holonstream.producers.log.postgres import connect, driver_errors

CALL = 1_000  # events per call


@click.command("import")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--events-key", default="events", show_default=True, help="Key of the list when FILE holds an object.")
@click.pass_obj
def import_(settings: Settings, file: Path, events_key: str) -> None:
    """Append the events of FILE to the log, all or none.

    FILE holds a JSON list of envelopes, or an object with one; their order is kept. Events that have an id are not
    appended a second time. Relay and workers do the rest: `holonstream status` shows how far they are.
    """
    known = catalogue(settings)
    events = read_events(file, events_key)
    for event in events:
        known.validate(event)
    with (
        event_store(settings, known) as store,
        connect(settings.log_dsn, "holonstream-import") as connection,
    ):
        before = store.head()
        with driver_errors(), connection.transaction():
            appended = [
                place
                for start in range(0, len(events), CALL)
                for place in store.append(events[start : start + CALL], connection=connection)
            ]
    new = sum(1 for place in appended if place.position > before)
    last = max((place.position for place in appended), default=0)
    click.echo(
        f"{new:,} of {len(events):,} events appended (the rest were in the log); last position {last:,}", err=True
    )
