"""The command ``holonstream``, and how every command ends: the exit code, and one line on standard error that says why.

- 0: done, and nothing found.
- 1: a finding (a difference, a refusal, bad data, a parked stream).
- 2: usage: a wrong option, argument or setting; nothing was done.
- 3: outage: a server cannot be reached or asks for a retry.
- 70: a bug in holonstream.
- 130: interrupted by Ctrl-C, or a question was not answered with yes. 141: the reader of standard output has gone.
"""

from __future__ import annotations

import os
import sys
import threading
import traceback
from contextlib import suppress

import click

from holonstream.local.errors import LocalStackError
from holonstream.ops import output
from holonstream.ops.command_line import QUESTION, CommandGroup
from holonstream.ops.commands import COMMANDS, SECTIONS
from holonstream.schemas.errors import HolonstreamError, Unavailable
from holonstream.schemas.extras import extras_needed

FINDING, USAGE, OUTAGE, BUG, INTERRUPTED, CLOSED = 1, 2, 3, 70, 130, 141


@click.group(cls=CommandGroup, sections=SECTIONS, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="holonstream")
def cli() -> None:
    """Events committed to PostgreSQL, streamed through Kafka, projected into Neo4j and kept fresh in Redis.

    Settings come from the environment (HOLONSTREAM_..., see docs/settings.md), from .env and from holonstream.toml.
    Exit codes: 0 done, 1 finding, 2 wrong usage or setting, 3 outage; one line on standard error says why
    (docs/cli.md).
    """


for command in COMMANDS:
    cli.add_command(command)


def main() -> None:
    """Run the command line and exit."""
    _prepare_streams()
    code = run()
    try:
        output.flush()
    except (output.OutputClosed, output.OutputFailed) as error:
        code = _ending(error)
    if any(thread.name.startswith(QUESTION) for thread in threading.enumerate()):
        os._exit(code)  # nobody answers it, and Python would wait
    sys.exit(code)


def run() -> int:
    """Run the command that the arguments name, and return the exit code."""
    try:
        with extras_needed():
            return int(cli(prog_name="holonstream", standalone_mode=False) or 0)
    except SystemExit as leaving:
        return leaving.code if isinstance(leaving.code, int) else int(leaving.code is not None)
    except BaseException as error:
        return _ending(error)


def _ending(error: BaseException) -> int:
    """Say why a command ends, and return its exit code."""
    match error:
        case click.Abort() if not isinstance(error.__context__, KeyboardInterrupt):
            output.say("error: not confirmed, so nothing was done", err=True)
            return INTERRUPTED
        case click.Abort() | KeyboardInterrupt():
            return INTERRUPTED
        case click.ClickException():
            return _usage(error)
        case output.OutputClosed():
            output.release()
            return CLOSED
        case output.OutputFailed():
            output.release()
        case HolonstreamError() if type(error).__name__ == "InvalidSettings":  # without its import, which is slow
            for fault in getattr(error, "faults", ()):
                _say_error(fault)
            return USAGE
        case HolonstreamError() | LocalStackError():
            pass
        case OSError() if error.filename is not None:  # a file of the user's, as one to write
            _say_error(f"{error.filename}: {error.strerror}")
            return FINDING
        case _:
            for line in traceback.format_exception(error):
                for part in line.splitlines():
                    output.say(part, err=True)
            return BUG
    if (refused := _refused_login(error)) is not None:
        _say_error(refused)
        return FINDING
    _say_error(str(error))
    return OUTAGE if isinstance(error, Unavailable) else FINDING


def _refused_login(error: BaseException) -> str | None:
    """What the brokers say of a login that they refuse: librdkafka reports it as an outage."""
    from holonstream.producers.errors import KafkaUnavailable

    if not isinstance(error, KafkaUnavailable):
        return None
    from holonstream.ops.configuration import read_configuration
    from holonstream.ops.kafka import login_fault

    fault = login_fault(read_configuration().settings())
    return None if fault is None else str(fault)


def _usage(error: click.ClickException) -> int:
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        for line in error.format_message().splitlines():
            output.say(line, err=True)
        return error.exit_code
    if isinstance(error, click.UsageError) and error.ctx is not None:
        for line in error.ctx.get_usage().splitlines():
            output.say(line, err=True)
    _say_error(error.format_message())
    return error.exit_code


def _say_error(text: str) -> None:
    output.say(f"error: {' '.join(text.split())}", err=True)  # drivers' messages have several lines


def _prepare_streams() -> None:
    """Standard streams that are closed or have another encoding must not end a command."""
    for number in range(3):  # else the next file or socket would take its place
        try:
            os.fstat(number)
        except OSError:
            with suppress(OSError):
                os.open(os.devnull, os.O_RDWR)
    for stream in (sys.stdout, sys.stderr):
        if stream is not None and hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
