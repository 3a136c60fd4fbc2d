"""``python -m tests.drill``: the recovery drill from the command line; docs/recovery.md explains its table."""

from __future__ import annotations

import json
import tempfile
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path

import click

from holonstream.local.temporary import temporary_stack
from tests.drill.backups import Backups, backup_folder
from tests.drill.drills import Drills
from tests.drill.site import Site
from tests.fix_signals import interrupt_on_sigterm


@click.command()
@click.option("--events", default=100_000, show_default=True, type=click.IntRange(1_000), help="Events in the log.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object at the end.")
def main(events: int, as_json: bool) -> None:
    """Lose the log in six ways, recover it, and say what was lost and how long each took."""
    interrupt_on_sigterm()
    with ExitStack() as closing:
        stack = closing.enter_context(temporary_stack())
        other = closing.enter_context(temporary_stack(services=["neo4j"]))
        backups = Backups(closing.enter_context(backup_folder()))
        folder = Path(closing.enter_context(tempfile.TemporaryDirectory(prefix="holonstream-drill-logs-")))
        site = Site(stack, other.env()["HOLONSTREAM_NEO4J_URI"], folder)
        replicas = closing.enter_context(ExitStack())
        closing.callback(site.stop)
        drills = Drills(site, backups, replicas)
        drills.run(events)
    if as_json:
        click.echo(json.dumps({"events": events, "drills": [asdict(o) for o in drills.outcomes], **drills.figures}))
        return
    click.echo("\n| drill | lost | append, s | published, s | read, s |\n|---|---|---|---|---|")
    for outcome in drills.outcomes:
        click.echo(outcome.row())
    for name, figure in drills.figures.items():
        click.echo(f"{name}: {figure:,.1f}")


if __name__ == "__main__":
    main()
