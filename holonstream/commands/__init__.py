"""One module per command. What is slow to import is imported when the command runs."""

from __future__ import annotations

import click

from holonstream.commands.bench import bench
from holonstream.commands.dataset import dataset
from holonstream.commands.dead_letters import dead_letters
from holonstream.commands.demo import demo
from holonstream.commands.export import export
from holonstream.commands.exporter import exporter
from holonstream.commands.fold import fold
from holonstream.commands.import_ import import_
from holonstream.commands.init import init
from holonstream.commands.metrics import metrics
from holonstream.commands.relay import relay
from holonstream.commands.replay import replay
from holonstream.commands.schemas import schemas
from holonstream.commands.settings import settings
from holonstream.commands.status import status
from holonstream.commands.verify import verify
from holonstream.commands.worker import worker
from local.cli import local

COMMANDS: list[click.Command] = [
    local,
    init,
    relay,
    worker,
    exporter,
    import_,
    export,
    fold,
    status,
    verify,
    replay,
    dead_letters,
    schemas,
    settings,
    metrics,
    dataset,
    bench,
    demo,
]
