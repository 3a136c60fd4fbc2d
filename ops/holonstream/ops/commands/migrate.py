"""``holonstream migrate``: the schema of the event log, its migrations, and an upgrade of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from holonstream.ops.command_line import CommandGroup, json_option, pass_settings
from holonstream.ops.output import print_json, print_text, say

if TYPE_CHECKING:
    from holonstream.ops.settings import Settings


@click.group(cls=CommandGroup)
def migrate() -> None:
    """Show and apply the migrations of the log's schema.

    `holonstream init` applies them too. They are numbered and go forward only; all that are pending are applied in one
    transaction. Programs of the release before run on the new schema, so migrate first and then replace the processes.
    A database that a later release has upgraded is refused.
    """


@migrate.command("status")
@json_option
@pass_settings
def status(settings: Settings, as_json: bool) -> None:
    """Print which migrations were applied, and which are pending."""
    from holonstream.producers.log.schema import schema_status

    found = schema_status(settings.log_dsn)
    if as_json:
        applied = [
            {"number": m.number, "name": m.name, "release": m.release, "applied_at": m.applied_at.isoformat()}
            for m in found.applied
        ]
        print_json({"applied": applied, "pending": [{"number": m.number, "name": m.name} for m in found.pending]})
        return
    for done in found.applied:
        say(f"applied  {done.name}  by {done.release} at {done.applied_at:%Y-%m-%d %H:%M:%S %z}")
    for step in found.pending:
        say(f"pending  {step.name}")


@migrate.command("plan")
@json_option
@pass_settings
def plan(settings: Settings, as_json: bool) -> None:
    """Print what `apply` would apply, in order.

    Nothing is printed when the schema is current.
    """
    from holonstream.producers.log.schema import schema_status

    pending = schema_status(settings.log_dsn).pending
    if as_json:
        print_json([{"number": step.number, "name": step.name} for step in pending])
        return
    for step in pending:
        say(step.name)


@migrate.command("apply")
@json_option
@click.option("--dry-run", is_flag=True, help="Print the SQL, and change nothing.")
@pass_settings
def apply(settings: Settings, as_json: bool, dry_run: bool) -> None:
    """Apply what is pending, and load the catalogue's event types."""
    from holonstream.client import connections
    from holonstream.producers.log.schema import apply_schema, schema_status

    if dry_run:
        pending = schema_status(settings.log_dsn).pending
        if as_json:
            print_json([{"number": step.number, "name": step.name, "sql": step.sql} for step in pending])
        for step in () if as_json else pending:
            print_text(f"-- {step.name}\n{step.sql}\n")
        return
    known = connections.catalogue(settings)
    changed = apply_schema(settings.log_dsn, known)
    if as_json:
        print_json({"changed": changed, "event_types": len(known.types)})
    say(f"log: schema {'applied' if changed else 'was current'}, {len(known.types)} event types", err=True)
