"""Losses: the topic or the log loses what it had, so that views must be made again.

The promise is the named alarm: the processes that would go on wrongly end with the error, and nothing else breaks. Then
come the steps of docs/recovery.md (The topic again), and everything is compared with the log once more.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import ExitStack
from time import monotonic

import structlog
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient
from psycopg.conninfo import conninfo_to_dict

from holonstream.ops.kafka import client
from holonstream.ops.replay.group import members
from holonstream.ops.status import TopicStatus
from holonstream.ops.topics import make_topics
from holonstream.producers.log.reader import LogReader
from holonstream.schemas.errors import HolonstreamError
from tests.chaos.ledger import Ledger
from tests.chaos.schedule import FEWEST, GROUPS
from tests.chaos.supervisor import Supervisor
from tests.chaos.violations import Violations
from tests.chaos.world import World
from tests.support.standby import standby_of
from tests.support.waiting import wait_until

log = structlog.get_logger(__name__)

ALARM = 120.0  # seconds within which every alarm must have come
REBUILT = 300.0  # seconds for the views to be made again

# Who must end with which error.
ALARMS = {
    "topic-replaced": {"relay: TopicReplaced", "graph: TopicReplaced"},
    "beginning-cut": {"graph: TopicCut", "cache: TopicCut"},
    "promoted-replica": {"relay: LogBehind"},
}
LOSSES = tuple(ALARMS)
# What else a process may end with meanwhile: the topic is missing for a moment, and comes back shorter.
EXPECTED = frozenset({"TopicReplaced", "TopicCut", "TopicBehind", "LogBehind", "NotInitialised"})


class Losses:
    """Performs one loss and the way back. `write` appends for some seconds, under a name that is not used again."""

    def __init__(
        self,
        world: World,
        supervisor: Supervisor,
        ledger: Ledger,
        violations: Violations,
        write: Callable[[str, float], None],
    ) -> None:
        self._world, self._supervisor, self._ledger, self._violations = world, supervisor, ledger, violations
        self._write = write
        self._admin = AdminClient({"bootstrap.servers": world.direct["HOLONSTREAM_KAFKA_BOOTSTRAP"]})
        self._topic = world.settings.topic
        self._held = ExitStack()
        self._kinds = {
            "topic-replaced": self._replace_topic,
            "beginning-cut": self._cut_beginning,
            "promoted-replica": self._promote_replica,
        }

    def __enter__(self) -> Losses:
        return self

    def __exit__(self, *_: object) -> None:
        self._held.close()

    def perform(self, kind: str) -> None:
        """Lose, wait for the alarms, and make the views again; the processes run again then."""
        log.info("loss", kind=kind)
        names, began = self._supervisor.names(), monotonic()
        self._supervisor.expected = EXPECTED
        self._kinds[kind]()
        while (missing := ALARMS[kind] - self._supervisor.restarts.keys()) and monotonic() - began < ALARM:
            _never.wait(0.2)
        for alarm in missing:
            self._violations.add("a loss without its alarm", loss=kind, alarm=alarm)
        for name in self._supervisor.names():
            self._supervisor.remove(name)
        self._supervisor.expected = frozenset()
        log.info("loss.noticed", kind=kind, ended=dict(self._supervisor.restarts))
        self._rebuild()
        for name in names:
            if name != "relay-1":
                self._supervisor.start(name)

    # --- what is lost ------------------------------------------------------------------------------------------------

    def _replace_topic(self) -> None:
        """Delete the topic and make it again by hand, under the running pipeline."""
        self._admin.delete_topics([self._topic])[self._topic].result(30)
        wait_until(lambda: self._topic not in self._admin.list_topics(timeout=10).topics, "the topic is gone")
        make_topics(self._world.settings)

    def _cut_beginning(self) -> None:
        """Delete records that no worker has handled."""
        for name in [name for group in GROUPS for name in self._supervisor.names(group)]:
            self._supervisor.remove(name)
        self._append("cut")
        with TopicStatus(client(self._world.settings), self._topic) as status:
            places = [TopicPartition(self._topic, p, end) for p, end in status.ends().items()]
        for deleted in self._admin.delete_records(places).values():
            deleted.result(30)
        for name in [f"{group}-{number}" for group in GROUPS for number in range(1, FEWEST + 1)]:
            self._supervisor.start(name)

    def _promote_replica(self) -> None:
        """Fail over to a replica that lacks the last commits, which are on the topic and in the views."""
        database = str(conninfo_to_dict(self._world.dsn)["dbname"])
        standby = self._held.enter_context(standby_of(self._world.dsn))
        standby.wait_until_caught_up()
        standby.cut_off()
        kept = set(self._ledger.committed)
        self._append("lost")
        self._ledger.forget(self._ledger.committed.keys() - kept)
        self._world.direct["HOLONSTREAM_POSTGRES_DSN"] = standby.promote(database)
        self._world.proxies["postgres"].lead_to(standby.port)
        self._world.proxies["postgres"].break_once()

    def _append(self, name: str) -> None:
        """Append, and wait until it is on the topic."""
        self._write(name, 3.0)
        self._await_relayed()

    # --- the way back ------------------------------------------------------------------------------------------------

    def _rebuild(self) -> None:
        settings = self._world.settings
        groups = [settings.group(name) for name in GROUPS]
        # A worker that has failed stays a member until its session ends.
        wait_until(lambda: not any(members(client(settings), group) for group in groups), "no worker reads", 60)
        self._run("replay", "topic", "--yes")
        self._supervisor.start("relay-1")
        self._await_relayed()
        self._run("replay", "graph", "--in-place", "--yes")
        self._run("replay", "cache")

    def _await_relayed(self) -> None:
        """Wait until the topic has what the log has."""
        settings = self._world.settings
        with LogReader(settings.log_dsn, "chaos") as reader:
            last = reader.last_position(reader.frontier().head)

        def relayed() -> bool:
            try:
                with TopicStatus(client(settings), self._topic) as status:
                    return status.relayed(settings.group("relay")) >= last
            except HolonstreamError:
                return False

        wait_until(relayed, f"position {last} is on the topic", REBUILT, every=0.3)

    def _run(self, *arguments: str) -> None:
        done = subprocess.run(
            [sys.executable, "-m", "holonstream", *arguments],
            env={**os.environ, **self._world.direct},
            capture_output=True,
            text=True,
            timeout=REBUILT,
        )
        if done.returncode != 0:
            raise RuntimeError(f"holonstream {' '.join(arguments)}: code {done.returncode}: {done.stderr[-2000:]}")


_never = threading.Event()
