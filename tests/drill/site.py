"""An installation that the drill breaks and brings back, with the operator's steps timed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import Any, LiteralString

import psycopg

from holonstream import local
from holonstream.client import ClientSettings, NotYetVisible, SyncClient, Token, Unavailable
from holonstream.ops.kafka import client
from holonstream.ops.processes import Processes
from holonstream.ops.settings import Settings
from holonstream.ops.status import TopicStatus
from holonstream.schemas.errors import HolonstreamError
from tests.drill.backups import PATIENCE
from tests.drill.service import Acknowledged, Service
from tests.support.event_log import append, envelope
from tests.support.waiting import wait_until

CHUNK = 1_000  # events of one append
RELAYS = ("relay", "relay-2")
PARTS = {"relay": ["relay"], "relay-2": ["relay"], "graph": ["worker", "graph"], "cache": ["worker", "cache"]}


def say(line: str) -> None:
    """Tell how far the drill is."""
    print(line, file=sys.stderr, flush=True)


@dataclass
class Outcome:
    """What a drill has shown. Times in seconds since the loss."""

    name: str
    lost: int = 0
    """acknowledged events that the log does not have any more"""
    appends: float = 0.0
    """until a service's append was acknowledged"""
    published: float = 0.0
    """until an event appended after it was on the topic"""
    read: float = 0.0
    """until a reader got one with its token"""
    steps: dict[str, float] = field(default_factory=dict)
    """how long each of the operator's steps took"""

    def line(self) -> str:
        """In words."""
        return (
            f"{self.lost} acknowledged events lost; after {self.appends:.1f} s one is appended, after "
            f"{self.published:.1f} s one is published, after {self.read:.1f} s one is read"
        )

    def row(self) -> str:
        """As a row of a table."""
        return f"| {self.name} | {self.lost} | {self.appends:.1f} | {self.published:.1f} | {self.read:.1f} |"

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Time a step."""
        began = monotonic()
        yield
        self.steps[name] = monotonic() - began
        say(f"    {name}: {self.steps[name]:.1f} s")


class Site:
    """The servers, the processes on them, and the address of the log, which a drill may change."""

    def __init__(self, stack: local.Stack, other_graph: str, folder: Path) -> None:
        self.stack, self.other_graph, self._folder = stack, other_graph, folder
        self.primary = stack.env()["HOLONSTREAM_POSTGRES_DSN"]
        self.environment = {
            **stack.env(),
            "HOLONSTREAM_NAMESPACE": "drill",
            "HOLONSTREAM_SESSION_TIMEOUT": "4",
            "HOLONSTREAM_METRICS_INTERVAL": "1",
        }
        self._processes = Processes(self.environment, folder)
        self.mark()

    @property
    def settings(self) -> Settings:
        return Settings.of(self.environment)

    def follow(self, *dsns: str) -> None:
        """Start all processes, with an address of the log that names all its servers."""
        places = [psycopg.conninfo.conninfo_to_dict(dsn) for dsn in dsns or (self.primary,)]
        hosts = ",".join(f"{place['host']}:{place['port']}" for place in places)
        self.environment["HOLONSTREAM_POSTGRES_DSN"] = f"postgresql://postgres@{hosts}/holonstream"
        self._processes = Processes(self.environment, self._folder)
        self.start(*PARTS)

    def start(self, *names: str, options: Sequence[str] = ()) -> None:
        for name in names:
            self._processes.start(name, *PARTS[name], *options)

    def stop(self) -> None:
        """Stop all processes; some may have ended by themselves."""
        for child in self._processes.running.values():
            if child.poll() is None:
                child.send_signal(signal.SIGTERM)
        for child in self._processes.running.values():
            child.wait(60)
        self._processes.running.clear()

    def run(self, *words: str) -> str:
        """The output of a command."""
        done = subprocess.run(
            [sys.executable, "-m", "holonstream", *words],
            env={**os.environ, **self.environment},
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )
        assert done.returncode == 0, f"{words}: {done.stdout[-1000:]}{done.stderr[-3000:]}"
        return done.stdout

    # --- the log -----------------------------------------------------------------------------------------------------

    @property
    def log(self) -> str:
        """The address by which the processes know the log."""
        return self.environment["HOLONSTREAM_POSTGRES_DSN"]

    def load(self, first: int, beyond: int) -> None:
        """Append many events: three of four make a holon, the others change one."""
        with psycopg.connect(self.primary, autocommit=True) as connection:
            for start in range(first, beyond, CHUNK):
                numbers = range(start, min(start + CHUNK, beyond))
                append(connection, [_event(number) for number in numbers])

    def moment(self) -> str:
        """What the log's server takes the time to be."""
        return str(self._ask("SELECT clock_timestamp()"))

    def count_missing(self, acknowledged: Sequence[Acknowledged]) -> int:
        """How many of these events the log lacks."""
        ids = [one.id for one in acknowledged]
        there = self._ask("SELECT count(*) FROM holonstream.events WHERE id = ANY(%s::uuid[])", ids)
        return len(ids) - int(there)

    def _ask(self, question: LiteralString, *arguments: object) -> Any:
        with psycopg.connect(self.primary, autocommit=True) as connection:
            row = connection.execute(question, arguments or None).fetchone()
        assert row is not None
        return row[0]

    # --- what depends on it ------------------------------------------------------------------------------------------

    def wait_until_caught_up(self) -> None:
        self.run("wait", "--timeout", f"{PATIENCE:.0f}s")

    def mark(self) -> None:
        """From here on `relay_refuses` reads what relays say."""
        self._said = {name: len(self._text(name)) for name in RELAYS}

    def _text(self, relay: str) -> str:
        log = self._folder / f"{relay}.log"
        return log.read_text() if log.exists() else ""

    def relay_refuses(self) -> bool:
        """Wait until a relay leads again, or has ended since the log is behind the topic, which this says."""

        def ended_or_leads() -> str | None:
            for name in RELAYS:
                said = self._text(name)[self._said[name] :]
                if self._processes.running[name].poll() is not None:
                    assert "LogBehind" in said, said
                    assert "holonstream replay topic" in said, said
                    return "refuses"
                if "relay.leading" in said:
                    return "leads"
            return None

        return wait_until(ended_or_leads, "a relay leads or refuses", 300, every=0.1) == "refuses"

    def _relayed(self) -> int:
        try:
            with TopicStatus(client(self.settings), self.settings.topic) as topic:
                return topic.relayed(self.settings.group("relay"))
        except HolonstreamError:
            return 0

    def proves_itself(self, outcome: Outcome, service: Service, began: float) -> None:
        """Measure until an event that is appended now is published and read."""
        if not outcome.published:
            self.wait_until_published(outcome, service, began)
        service.appends(1)
        event = service.acknowledged[-1]
        with SyncClient.from_settings(ClientSettings.of(self.environment)) as reader:
            wait_until(lambda: self.is_read(reader, event), "read", PATIENCE, every=0.1)
        outcome.read = monotonic() - began

    def wait_until_published(self, outcome: Outcome, service: Service, began: float) -> None:
        """Wait until the first event that was appended since then is published, and all before it."""
        first = service.first_after(began)
        outcome.appends = first.at - began
        wait_until(lambda: self._relayed() >= first.position, "published", PATIENCE, every=0.1)
        outcome.published = monotonic() - began

    def is_read(self, reader: SyncClient, event: Acknowledged) -> bool:
        """Whether a reader gets an event's holon with its token."""
        try:
            return reader.get_holon(event.name, at_least=Token.parse(event.token), deadline=5.0) is not None
        except (Unavailable, NotYetVisible):
            return False

    def reconcile(self, outcome: Outcome, service: Service, began: float, *, beside: bool) -> None:
        """What docs/recovery.md says is to be done when the log has lost events that were published."""
        self.stop()
        with outcome.step("init"):
            self.run("init")
        with outcome.step("replay topic"):
            self.run("replay", "topic", "--yes")
        self.start(*RELAYS)
        with outcome.step("publish the log again"):
            self.wait_until_published(outcome, service, began)
        with outcome.step("replay graph, beside" if beside else "replay graph, in place"):
            target = ("--to-uri", self.other_graph) if beside else ("--in-place",)
            made = json.loads(self.run("replay", "graph", *target, "--yes", "--json"))
        if beside:
            self.environment |= made["environment"]
            self.stop()
            self._processes = Processes(self.environment, self._folder)
            self.start(*RELAYS)
        with outcome.step("replay cache"):
            self.run("replay", "cache")
        self.start("graph", "cache")

    def verify(self) -> None:
        """The topic has each event of the log once, and the graph is the log's fold."""
        self.wait_until_caught_up()
        self.run("verify", "graph")


def _event(number: int) -> dict[str, object]:
    if number % 4 == 3:
        return envelope(f"p-{number - 3}", type="PersonModified", payload={"properties": {"number": number}})
    return envelope(f"p-{number}")
