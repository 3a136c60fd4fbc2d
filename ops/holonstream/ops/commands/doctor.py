"""``holonstream doctor``: whether each server is as the pipeline needs it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from holonstream.ops.command_line import json_option, pass_settings, timeout_option
from holonstream.ops.output import print_json, say

if TYPE_CHECKING:
    from holonstream.ops.settings import Settings


@click.command()
@json_option
@timeout_option
@pass_settings
def doctor(settings: Settings, as_json: bool, timeout: float) -> None:
    """Check each server, and say what to do.

    Reachable, login, rights, version, encoding, clock, schema, event types, topic settings, offsets, constraints,
    limits, disk, open transactions. One line each; nothing is changed.

    For a gate before a deployment: exits with 0 when all is well or there are warnings only, with 1 for a fault, with 3
    when a server does not answer.
    """
    from holonstream.ops.doctor import documents, examine, exit_code

    checks = examine(settings, timeout)
    code = exit_code(checks)
    if as_json:
        print_json({"ready": code == 0, "checks": list(documents(checks))})
    else:
        for check in checks:
            say(check.line())
    raise click.exceptions.Exit(code)
