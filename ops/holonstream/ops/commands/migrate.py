"""``holonstream migrate``: the schema of the event log, its migrations, and an upgrade of it."""

from __future__ import annotations

import click

from holonstream.ops.output import print_json
from holonstream.ops.settings import Settings


@click.group()
def migrate() -> None:
    """Show and apply the migrations of the event log's schema.

    `holonstream init` applies them too. They are numbered and go forward only; all that are pending are applied in one
    transaction. Programs of the release before run on the new schema, so migrate first and then replace the processes.
    A database that a later release has upgraded is refused.
    """


@migrate.command("status")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of lines.")
@click.pass_obj
def status(settings: Settings, as_json: bool) -> None:
    """Print which migrations the database has had, and which are pending."""
    from holonstream.producers.log.schema import schema_status

    found = schema_status(settings.log_dsn)
    if as_json:
        applied = [
            {"number": m.number, "name": m.name, "release": m.release, "appliedAt": m.applied_at.isoformat()}
            for m in found.applied
        ]
        print_json({"applied": applied, "pending": [{"number": m.number, "name": m.name} for m in found.pending]})
        return
    for done in found.applied:
        click.echo(f"applied  {done.name}  by {done.release} at {done.applied_at:%Y-%m-%d %H:%M:%S %z}")
    for step in found.pending:
        click.echo(f"pending  {step.name}")


@migrate.command("plan")
@click.pass_obj
def plan(settings: Settings) -> None:
    """Print the names of the steps that `apply` would take, in order; nothing when the schema is current."""
    from holonstream.producers.log.schema import schema_status

    for step in schema_status(settings.log_dsn).pending:
        click.echo(step.name)


@migrate.command("apply")
@click.option("--dry-run", is_flag=True, help="Print the SQL, and change nothing.")
@click.pass_obj
def apply(settings: Settings, dry_run: bool) -> None:
    """Apply what is pending, and load the catalogue's event types."""
    from holonstream.client import connections
    from holonstream.producers.log.schema import apply_schema, schema_status

    if dry_run:
        for step in schema_status(settings.log_dsn).pending:
            click.echo(f"-- {step.name}\n{step.sql}")
        return
    known = connections.catalogue(settings)
    changed = apply_schema(settings.log_dsn, known)
    click.echo(f"log: schema {'applied' if changed else 'was current'}, {len(known.types)} event types", err=True)
