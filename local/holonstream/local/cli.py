"""The command group `local`."""

from __future__ import annotations

import json
import shlex
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from difflib import get_close_matches
from pathlib import Path

import click

from holonstream.local.errors import LocalStackError
from holonstream.local.stack import SERVICES, Stack, default_data_dir

json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON document instead.")


class _Group(click.Group):
    """Turns LocalStackError into one line on stderr and exit code 1; suggests a name for one that it does not have."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            if not isinstance(error, click.NoSuchOption) and (close := get_close_matches(args[0], self.commands, 2)):
                error.message += f" Did you mean {' or '.join(close)}?"
            raise

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except LocalStackError as error:
            raise click.ClickException(str(error)) from error


@click.group("local", cls=_Group)
@click.option(
    "--dir",
    "data_dir",
    type=click.Path(file_okay=False, path_type=Path),
    help="Data folder. Defaults to $HOLONSTREAM_LOCAL_DIR, else ./.local-stack.",
)
@click.pass_context
def local(context: click.Context, data_dir: Path | None) -> None:
    """Run the four servers on this machine, without Docker.

    PostgreSQL, Kafka, Neo4j and Redis, as child processes.
    """
    context.obj = data_dir or default_data_dir()


@local.command()
@click.option("--service", "services", multiple=True, type=click.Choice(SERVICES), help="Only this one; repeatable.")
@click.option("--fsync/--no-fsync", default=True, help="Whether PostgreSQL survives a crash of the machine.")
@click.option(
    "--brokers",
    type=click.Choice(["1", "3"]),
    help="Brokers of Kafka; three replicate, so that one may be lost. Chosen at the first start.  [default: 1]",
)
@json_option
@click.pass_obj
def up(data_dir: Path, services: tuple[str, ...], fsync: bool, brokers: str | None, as_json: bool) -> None:
    """Install what is missing, and start the servers.

    What is downloaded lies in $HOLONSTREAM_CACHE_DIR, by default ~/.cache/holonstream, for all stacks of a user. So do
    archives of Java classes: from the second start on, Kafka and Neo4j need a third less time.
    """
    began = time.monotonic()
    number = int(brokers) if brokers else None
    stack = Stack(data_dir, services=services or SERVICES, progress=_progress(), fsync=fsync, brokers=number)
    stack.up()
    if as_json:
        document = {"folder": str(stack.data_dir), "servers": list(map(asdict, stack.status()))}
        click.echo(json.dumps(document, indent=2))
    click.echo(f"up after {time.monotonic() - began:.1f} s in {stack.data_dir}", err=True)


@local.command()
@click.option("--wipe", is_flag=True, help="Also delete the data folder; asks first at a terminal.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--dry-run", is_flag=True, help="Only say what would be done.")
@json_option
@click.pass_obj
def down(data_dir: Path, wipe: bool, yes: bool, dry_run: bool, as_json: bool) -> None:
    """Stop the servers."""
    stack = Stack(data_dir, progress=_progress())
    if dry_run:
        _plan_down(stack, wipe, as_json)
        return
    if wipe and not yes and click.get_text_stream("stdin").isatty():
        click.confirm(f"Delete {data_dir} with all data in it?", abort=True, err=True)
    began = time.monotonic()
    stack.down(wipe=wipe)
    if as_json:
        click.echo(json.dumps({"folder": str(stack.data_dir), "deleted": wipe}, indent=2))
    click.echo(f"down after {time.monotonic() - began:.1f} s", err=True)


def _plan_down(stack: Stack, wipe: bool, as_json: bool) -> None:
    running = [row.name for row in Stack.found(stack.data_dir).status() if row.state != "stopped"]
    if as_json:
        click.echo(json.dumps({"folder": str(stack.data_dir), "stop": running, "delete": wipe}, indent=2))
        return
    click.echo(f"would stop {', '.join(running) or 'nothing'}{f', and delete {stack.data_dir}' if wipe else ''}")


@local.command()
@json_option
@click.pass_obj
def status(data_dir: Path, as_json: bool) -> None:
    """Show each server's state, pid, port and version."""
    rows = Stack.found(data_dir).status()
    if as_json:
        click.echo(json.dumps([asdict(row) for row in rows], indent=2))
        return
    for row in rows:
        pid = "-" if row.pid is None else str(row.pid)
        click.echo(f"{row.name:<9} {row.state:<10} pid {pid:<8} port {row.port:<6} {row.version or ''}".rstrip())


@local.command()
@click.option("--export", is_flag=True, help="Lines for eval in a shell.")
@json_option
@click.pass_obj
def env(data_dir: Path, export: bool, as_json: bool) -> None:
    """Print the settings with which to find the servers."""
    settings = Stack.found(data_dir).env()
    click.echo(json.dumps(settings, indent=2) if as_json else env_text(settings, export=export))


def env_text(settings: dict[str, str], *, export: bool) -> str:
    """NAME=value lines, quoted for a shell and prefixed with `export ` if so asked."""
    if export:
        return "\n".join(f"export {name}={shlex.quote(value)}" for name, value in settings.items())
    return "\n".join(f"{name}={value}" for name, value in settings.items())


def _progress() -> Callable[[str], None]:
    """Progress goes to stderr, with the seconds since the command began; stdout stays for results."""
    began = time.monotonic()

    def show(line: str) -> None:
        # One write a line: print writes the newline apart, and the servers start in threads.
        sys.stderr.write(f"[{time.monotonic() - began:5.1f} s] {line}\n")
        sys.stderr.flush()

    return show
