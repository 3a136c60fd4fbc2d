"""One module per command. Slow imports happen when the command runs, so that `--help` is quick."""

from __future__ import annotations

from importlib.util import find_spec

import click

from holonstream.local.cli import local
from holonstream.ops.commands.config import config
from holonstream.ops.commands.console import console
from holonstream.ops.commands.dead_letters import dead_letters
from holonstream.ops.commands.doctor import doctor
from holonstream.ops.commands.events import events
from holonstream.ops.commands.export import export
from holonstream.ops.commands.exporter import exporter
from holonstream.ops.commands.fold import fold
from holonstream.ops.commands.import_ import import_
from holonstream.ops.commands.init import init
from holonstream.ops.commands.metrics import metrics
from holonstream.ops.commands.migrate import migrate
from holonstream.ops.commands.relay import relay
from holonstream.ops.commands.replay import replay
from holonstream.ops.commands.schemas import schemas
from holonstream.ops.commands.seal import seal
from holonstream.ops.commands.settings import settings
from holonstream.ops.commands.status import status
from holonstream.ops.commands.top import top
from holonstream.ops.commands.verify import verify
from holonstream.ops.commands.wait import wait
from holonstream.ops.commands.worker import worker

SECTIONS = {
    "Run": ("init", "migrate", "relay", "worker", "exporter", "import"),
    "Look": ("status", "top", "doctor", "wait", "events", "console", "export", "config"),
    "Repair": ("verify", "seal", "dead-letters", "replay"),
    "Develop": ("local", "schemas", "fold", "demo", "dataset", "settings", "metrics"),
}
"""the list of `holonstream --help`"""

COMMANDS: list[click.Command] = [
    local,
    init,
    migrate,
    relay,
    worker,
    exporter,
    console,
    import_,
    export,
    fold,
    status,
    verify,
    seal,
    replay,
    dead_letters,
    schemas,
    settings,
    metrics,
    config,
    top,
    doctor,
    wait,
    events,
]

if find_spec("holonstream.demo"):  # only in a checkout
    from holonstream.demo.command import demo
    from holonstream.demo.dataset import dataset

    COMMANDS += [dataset, demo]
