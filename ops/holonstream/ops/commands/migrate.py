"""``holonstream migrate``: the migrations of log and graph, and an upgrade of them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from holonstream.ops.command_line import CommandGroup, json_option, pass_settings
from holonstream.ops.output import print_json, print_text, say

if TYPE_CHECKING:
    from holonstream.ops.settings import Settings
    from holonstream.schemas.migration import SchemaStatus

STORES = ("log", "graph")


@click.group(cls=CommandGroup)
def migrate() -> None:
    """Show and apply the migrations of the log's schema and of the graph's constraints, indexes and checkpoints.

    `holonstream init` applies them too. They are numbered and go forward only; all of the log that are pending are
    applied in one transaction. Programs of the release before run on what was upgraded, so migrate first and then
    replace the processes. What a later release has upgraded is refused.
    """


def _only_option(command: Callable[..., None]) -> Callable[..., None]:
    return click.option("--only", type=click.Choice(STORES), help="Ask one of the two, by default both.")(command)


@migrate.command("status")
@json_option
@_only_option
@pass_settings
def status(settings: Settings, as_json: bool, only: str | None) -> None:
    """Print which migrations were applied, and which are pending."""
    found = _status(settings, only)
    if as_json:
        applied = [
            {
                "store": store,
                "number": step.number,
                "name": step.name,
                "release": step.release,
                "applied_at": step.applied_at.isoformat(),
            }
            for store, one in found.items()
            for step in one.applied
        ]
        print_json({"applied": applied, "pending": _pending(found)})
        return
    for store, one in found.items():
        for done in one.applied:
            say(f"{store:<5}  applied  {done.name}  by {done.release} at {done.applied_at:%Y-%m-%d %H:%M:%S %z}")
        for step in one.pending:
            say(f"{store:<5}  pending  {step.name}")


@migrate.command("plan")
@json_option
@_only_option
@pass_settings
def plan(settings: Settings, as_json: bool, only: str | None) -> None:
    """Print what `apply` would apply, in order.

    Nothing is printed when log and graph are current.
    """
    pending = _pending(_status(settings, only))
    if as_json:
        print_json(pending)
        return
    for step in pending:
        say(f"{step['store']:<5}  {step['name']}")


@migrate.command("apply")
@json_option
@_only_option
@click.option("--dry-run", is_flag=True, help="Print the SQL and the Cypher, and change nothing.")
@pass_settings
def apply(settings: Settings, as_json: bool, only: str | None, dry_run: bool) -> None:
    """Apply what is pending, and load the catalogue's event types."""
    from holonstream.client import connections
    from holonstream.ops import wiring
    from holonstream.producers.log.schema import apply_schema

    if dry_run:
        found = _status(settings, only)
        if as_json:
            print_json(_pending(found, text=True))
            return
        for store, comment in (("log", "--"), ("graph", "//")):
            for step in found[store].pending if store in found else ():
                print_text(f"{comment} {step.name}\n{step.text}\n")
        return
    known = connections.catalogue(settings)
    changed = {}
    if only != "graph":
        changed["log"] = apply_schema(settings.log_dsn, known)
        say(f"log: schema {'applied' if changed['log'] else 'was current'}, {len(known.types)} event types", err=True)
    if only != "log":
        changed["graph"] = asyncio.run(wiring.upgrade_graph(settings, known))
        say(f"graph: {'upgraded' if changed['graph'] else 'was current'}", err=True)
    if as_json:
        print_json({"changed": any(changed.values()), "stores": changed, "event_types": len(known.types)})


def _status(settings: Settings, only: str | None) -> dict[str, SchemaStatus]:
    from holonstream.client import connections
    from holonstream.ops import wiring
    from holonstream.producers.log.schema import schema_status

    found = {}
    if only != "graph":
        found["log"] = schema_status(settings.log_dsn)
    if only != "log":
        found["graph"] = asyncio.run(wiring.graph_status(settings, connections.catalogue(settings)))
    return found


def _pending(found: dict[str, SchemaStatus], *, text: bool = False) -> list[dict[str, Any]]:
    return [
        {"store": store, "number": step.number, "name": step.name} | ({"text": step.text} if text else {})
        for store, one in found.items()
        for step in one.pending
    ]
