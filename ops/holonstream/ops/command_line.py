"""What all commands share: settings when they run, groups in ``--help``, suggestions, durations."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from difflib import get_close_matches
from functools import update_wrapper
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

import click

from holonstream.ops import output
from holonstream.schemas.errors import HolonstreamError

if TYPE_CHECKING:
    from holonstream.ops.settings import Settings

QUESTION = "question to "
"""begins the names of threads that may be left alone when a command ends"""

LONGEST = 20 * 86_400
"""seconds: clients of servers count milliseconds in 32 bits"""

P = ParamSpec("P")
R = TypeVar("R")


class Duration(click.ParamType):
    """Seconds, written as ``30``, ``30s`` or ``5m``."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """The seconds."""
        from holonstream.schemas import duration

        if isinstance(value, int | float):
            return float(value)
        try:
            seconds = float(duration.seconds(value))
        except ValueError as error:
            self.fail(f"{value!r} {error}", param, ctx)
        if seconds > LONGEST:
            self.fail(f"{value!r} is more than {duration.shown(LONGEST)}", param, ctx)
        return seconds


class Position(click.ParamType):
    """A number that a log may have as a position, or 0."""

    name = "position"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """The number."""
        if not is_position(str(value)):
            self.fail(f"{value!r} is no position: a number from 0 to {MAX_POSITION}", param, ctx)
        return int(value)


class Form(click.ParamType):
    """Text that a function checks, which raises BadData or ValueError: wrong usage then, before any server is asked."""

    def __init__(self, name: str, check: Callable[[str], object]) -> None:
        self.name, self._check = name, check

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The text itself."""
        from holonstream.schemas.errors import BadData

        try:
            self._check(value)
        except BadData as error:
            self.fail(str(error), param, ctx)
        except ValueError as error:
            self.fail(f"{value!r} {error}", param, ctx)
        return str(value)


def _check_instant(text: str) -> None:
    from holonstream.schemas import instant

    instant.parse(text)


def _check_event(text: str) -> None:
    from uuid import UUID

    if is_position(text):
        return
    try:
        UUID(text)
    except ValueError:
        raise ValueError("is neither the id of an event, which is a UUID, nor a position") from None


def _check_target(text: str) -> None:
    from holonstream.schemas.token import PREFIX, Token

    if text.startswith(PREFIX):
        Token.parse(text)
    elif not is_position(text):
        raise ValueError("is neither a token nor a position")


def _check_stream(text: str) -> None:
    from holonstream.schemas.state import HOLON, RELATIONSHIP

    kind, _, entity = text.partition("/")
    if kind not in (HOLON, RELATIONSHIP) or not entity:
        raise ValueError(f"is no stream, which is {HOLON}/<id> or {RELATIONSHIP}/<id>")


def _check_view(text: str) -> None:
    from holonstream.schemas import names

    if not names.is_view(text):
        raise ValueError(f"is none of {', '.join(names.VIEWS)}, {names.sink_view('NAME')}")


def _check_graph_address(text: str) -> None:
    from holonstream.client.settings import check_neo4j

    check_neo4j(text)


def is_position(text: str) -> bool:
    """Whether a text is a position that a log may have."""
    return text.isascii() and text.isdecimal() and len(text) < 20 and int(text) <= MAX_POSITION


MAX_POSITION = 2**63 - 1  # `schemas.token` has it too; its import would slow every --help
POSITION = Position()
INSTANT = Form("instant", _check_instant)
EVENT = Form("event", _check_event)
TARGET = Form("target", _check_target)
STREAM = Form("stream", _check_stream)
VIEW = Form("view", _check_view)
GRAPH_ADDRESS = Form("uri", _check_graph_address)

json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON document instead.")
json_always_option = click.option(
    "--json", "as_json", is_flag=True, hidden=True, expose_value=False, help="As without it: the output is JSON."
)
dry_run_option = click.option("--dry-run", is_flag=True, help="Only say what would be done.")
yes_option = click.option("--yes", is_flag=True, help="Do not ask.")
timeout_option = click.option(
    "--timeout",
    default="2.2s",
    show_default=True,
    type=Duration(),
    help="How long to wait for a server's first answer.",
)
F = TypeVar("F", bound=Callable[..., Any])


def watch_options(command: F) -> F:
    """The options ``--watch`` and ``--interval``."""
    every = click.option("--interval", default="2s", show_default=True, type=Duration(), help="Time between reports.")
    return click.option("--watch", is_flag=True, help="Report again and again, until Ctrl-C.")(every(command))


def pass_settings(command: Callable[Concatenate[Settings, P], R]) -> Callable[P, R]:
    """Give a command the settings, which are read when it runs: `--help` and completion work whatever they are.

    Raises InvalidSettings.
    """

    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        context = click.get_current_context()
        return command(context.obj if context.obj is not None else _load(), *args, **kwargs)

    return update_wrapper(run, command)


def _load() -> Settings:
    from holonstream.ops import logs
    from holonstream.ops.configuration import read_configuration

    configuration = read_configuration()
    try:
        settings = configuration.settings()
    except HolonstreamError:
        _warn(configuration.unknown)  # the reason, perhaps
        raise
    logs.configure(settings.log_level, settings.log_format)
    if settings.log_format == "console":
        _warn(configuration.unknown)
    else:  # each line must be JSON
        for line in configuration.unknown:
            logs.warn("settings.unknown", reason=line)
    return settings


def _warn(lines: list[str]) -> None:
    for line in lines:
        output.say(f"warning: {line}", err=True)


def ask(question: str, *, yes: bool) -> None:
    """Ask before what cannot be undone: at a terminal only, and not with ``--yes``. Raises click.Abort at a no."""
    if not yes and click.get_text_stream("stdin").isatty():
        click.confirm(output.printable(question), abort=True, err=True)


class CommandGroup(click.Group):
    """A group whose list cuts no summary, and that suggests a name for one that it does not have.

    `sections` names the commands that belong together; the others come last.
    """

    def __init__(self, *args: Any, sections: dict[str, Sequence[str]] | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.sections = sections or {}

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands, section by section."""
        listed = [name for names in self.sections.values() for name in names]
        rest = [name for name in self.list_commands(ctx) if name not in listed]
        longest = max(map(len, self.commands))
        for title, names in [*self.sections.items(), ("Commands", rest)]:
            shown = [(n.ljust(longest), self.commands[n].get_short_help_str(200)) for n in names if n in self.commands]
            if shown:
                with formatter.section(title):
                    formatter.write_dl(shown)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command that is meant; the error for an unknown one names those that are spelt alike."""
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            if not isinstance(error, click.NoSuchOption) and (close := get_close_matches(args[0], self.commands, 2)):
                error.message += f" Did you mean {' or '.join(close)}?"
            raise
