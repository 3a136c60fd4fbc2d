"""One chaos run: servers, processes, load, faults, and the checks at the end."""

from __future__ import annotations

import json
import random
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from time import monotonic
from zlib import crc32

import psycopg
import structlog

from holonstream.local.kafka_server import BROKERS
from holonstream.ops.settings import Settings
from tests.chaos import oracle
from tests.chaos.faults import Faults
from tests.chaos.ledger import AcknowledgedEvent, Ledger
from tests.chaos.losses import Losses
from tests.chaos.readers import Readers
from tests.chaos.recovery import Recoveries
from tests.chaos.report import Report
from tests.chaos.schedule import FEWEST, GROUPS, Fault, make_schedule
from tests.chaos.supervisor import Supervisor
from tests.chaos.topic import TopicObserver
from tests.chaos.violations import Violations
from tests.chaos.workload import Workload
from tests.chaos.world import NAMESPACE, PARTITIONS, World, world
from tests.chaos.writers import Writer
from tests.support.event_log import append

log = structlog.get_logger(__name__)

WRITERS = 6
WARM_UP = 300  # events
AFTER_LOSS = 5.0  # seconds of load
PAUSE = 0.02  # seconds that a writer waits inside a transaction, at most
QUIET = 180.0  # seconds within which everything must have caught up when faults, or load, have ended
REPORT_EVERY = 10.0  # seconds between two log lines while a condition is awaited
VARIANT_QUIET = 5.0  # seconds for a relay that loses events to deliver those that it does not lose


class Run:
    """One seed on servers of its own. `folder` gets the logs of all processes and, on a violation, the evidence.

    `rate` is in events a second. With a variant of the relay there are no sinks, no readers and no faults: the writers
    alone must make it break. `loss` is what happens after the checks (`tests.chaos.losses`).
    """

    def __init__(
        self,
        seed: int,
        duration: float,
        rate: float,
        variant: str | None,
        folder: Path,
        brokers: int = 1,
        loss: str | None = None,
    ) -> None:
        self._seed, self._duration, self._rate, self._variant, self._folder = seed, duration, rate, variant, folder
        self._loss = loss
        self._violations = Violations()
        self.report = Report(seed, variant, self._violations)
        self._brokers = brokers
        names = [broker.name for broker in BROKERS[:brokers]]
        self._schedule: list[Fault] = [] if variant else make_schedule(seed, duration, brokers=names)
        self._ledger = Ledger(PARTITIONS)

    def perform(self) -> Report:
        """The whole run. An error of the harness itself counts as a violation too."""
        began = monotonic()
        with world(self._variant, self._brokers) as made:
            logs = self._folder / "processes"
            supervisor = Supervisor(made.proxied, logs, self._violations, made.brokers_troubled, self._variant)
            try:
                with supervisor:
                    self._observed(made, supervisor)
            except Exception as error:
                self._violations.add("the run itself failed", error=repr(error), trace=traceback.format_exc())
            self.report.duration = monotonic() - began
            self.report.restarts = supervisor.restarts
            self.report.stop_seconds = supervisor.stop_seconds
            self.report.transactions = dict(sorted(self._ledger.transactions.items()))
            if self._violations.total:
                self._keep_evidence(made)
        return self.report

    def _observed(self, made: World, supervisor: Supervisor) -> None:
        settings = made.settings
        groups = () if self._variant else GROUPS
        topic = TopicObserver(settings.kafka_bootstrap, settings.topic, PARTITIONS, self._violations)
        recoveries = Recoveries(settings.kafka_bootstrap, NAMESPACE, PARTITIONS, self._ledger, topic, groups)
        names = ["relay-1"] if self._variant else ["relay-1", "relay-2"]
        for name in names + [f"{group}-{number}" for group in groups for number in range(1, FEWEST + 1)]:
            supervisor.start(name)
        with ExitStack() as stack:
            for observer in (topic, recoveries):
                stack.callback(observer.stop)
                observer.start()
            self._append_seeds(made)
            seeded = self._ledger.latest()[1]
            if not self._await("warm", lambda: recoveries.reached(seeded), recoveries):
                raise RuntimeError("the pipeline did not come up")
            if self._variant is not None:
                self._with_variant(made, topic)
            else:
                self._with_faults(made, supervisor, topic, recoveries)
        self.report.recoveries = recoveries.done

    def _with_variant(self, made: World, topic: TopicObserver) -> None:
        with self._writing(made):
            _never.wait(self._duration)
        log_ = oracle.read_log(made.dsn)
        topic.catch_up(log_.ends, VARIANT_QUIET)
        topic.stop()
        self._check_log(log_, topic)

    def _with_faults(self, made: World, supervisor: Supervisor, topic: TopicObserver, recoveries: Recoveries) -> None:
        acknowledged = recoveries.acknowledged["cache"]
        readers = Readers(
            Settings.of(made.proxied), self._ledger, topic, acknowledged, self._violations, self._seed
        )  # fmt: skip
        faults = Faults(made, supervisor, recoveries, self._seed)
        began = monotonic()
        with ExitStack() as stack:
            stack.callback(readers.stop)
            readers.start()
            with self._writing(made) as ending:
                faults.run(self._schedule)
                _never.wait(max(0.0, began + self._duration - monotonic()))
                ending.set()
                self._await("recovery", lambda: recoveries.waiting == 0, recoveries)
            ends = oracle.read_ends(made.dsn)
            if not self._await("caught up", lambda: recoveries.reached(ends), recoveries):
                self._violations.add(
                    "not caught up", ends=ends, **recoveries.state(), postgres=oracle.activity(made.dsn)
                )
        topic.catch_up(ends, QUIET)
        topic.stop()
        log.info("chaos.checking")
        log_ = oracle.read_log(made.dsn)
        self._check_log(log_, topic)
        oracle.check_reads(log_, readers.shown, readers.hits, self._violations)
        oracle.check_offsets(made, log_, topic, self._violations)
        oracle.check_dead_letters(made, faults.garbage, self._violations)
        graph = oracle.check_graph(made, log_, set(faults.poisoned), self._violations)
        cache = oracle.check_cache(made, self._violations)
        self.report.checks |= {**graph, **cache, "states read": len(readers.shown), "garbage": len(faults.garbage)}
        self.report.reads = dict(sorted(readers.counts.items()))
        self.report.skipped.update(fault.name for fault in faults.skipped)
        self.report.recoveries = recoveries.done
        if self._loss is not None and not self._violations.total:
            self._with_loss(made, supervisor, set(faults.poisoned), self._loss)

    def _with_loss(self, made: World, supervisor: Supervisor, poisoned: set[str], loss: str) -> None:
        """Lose something, and compare everything with the log once more when the views are made again."""
        with ExitStack() as stack:
            losses = Losses(made, supervisor, self._ledger, self._violations, partial(self._write, made))
            stack.enter_context(losses).perform(loss)
            topic = TopicObserver(made.settings.kafka_bootstrap, made.settings.topic, PARTITIONS, self._violations)
            recoveries = Recoveries(
                made.settings.kafka_bootstrap, NAMESPACE, PARTITIONS, self._ledger, topic, GROUPS
            )  # fmt: skip
            for observer in (topic, recoveries):
                stack.callback(observer.stop)
                observer.start()
            self._write(made, "late", AFTER_LOSS)
            ends = oracle.read_ends(made.dsn)
            if not self._await("caught up after the loss", lambda: recoveries.reached(ends), recoveries):
                self._violations.add("not caught up after the loss", ends=ends, **recoveries.state())
            topic.catch_up(ends, QUIET)
            log_ = oracle.read_log(made.dsn)
            self._check_log(log_, topic)
            oracle.check_offsets(made, log_, topic, self._violations)
            found = {
                **oracle.check_graph(made, log_, poisoned, self._violations),
                **oracle.check_cache(made, self._violations),
            }
        self.report.checks |= {f"{name} after {loss}": count for name, count in found.items()}

    def _write(self, made: World, name: str, seconds: float) -> None:
        """The load for some seconds."""
        with self._writing(made, name):
            _never.wait(seconds)

    def _check_log(self, log_: oracle.Log, topic: TopicObserver) -> None:
        oracle.check_writers(log_, self._ledger, self._violations)
        oracle.check_topic(log_, topic, self._violations)
        self.report.events = {
            "appended": self._ledger.appended,
            "committed": len(log_.places),
            "rolled back": len(self._ledger.rolled_back),
            "of unknown outcome": len(self._ledger.uncertain),
            "on the topic": len(topic.seen),
        }

    def _append_seeds(self, made: World) -> None:
        """Append the entities that writers change, and some events of each kind, so that the servers are warm."""
        work = Workload("seed", random.Random(self._seed))
        seeds = work.seeds() + [work.event() for _ in range(WARM_UP)]
        with psycopg.connect(made.dsn, autocommit=True) as connection:
            for start in range(0, len(seeds), 100):
                part = seeds[start : start + 100]
                self._ledger.append(len(part))
                self._ledger.commit("seed", part, [AcknowledgedEvent.of(row) for row in append(connection, part)])

    def _await(self, what: str, condition: Callable[[], bool], recoveries: Recoveries) -> bool:
        """Whether the condition came true in time."""
        began = reported = monotonic()
        while not condition():
            now = monotonic()
            if now - began > QUIET:
                return False
            if now - reported > REPORT_EVERY:
                reported = now
                behind = {group: recoveries.behind(group) for group in GROUPS}
                events = self._ledger.latest()[0]
                log.info("chaos.waiting", what=what, events=events, relayed=recoveries.relayed, behind=behind)
            _never.wait(0.1)
        log.info("chaos.reached", what=what, seconds=round(monotonic() - began, 1))
        return True

    @contextmanager
    def _writing(self, made: World, name: str = "writer") -> Iterator[threading.Event]:
        """The load, from writers of a name that is used once. Set the event that this gives to reduce it to a trickle.
        Every other writer uses the proxy."""
        dsns = (made.dsn, made.proxied["HOLONSTREAM_POSTGRES_DSN"])
        writers = [
            Writer(
                f"{name}-{number}",
                self._seed * 1_000 + number + crc32(name.encode()),
                dsns[number % 2],
                self._ledger,
                self._violations,
                rate=self._rate / WRITERS,
                pause=PAUSE,
            )
            for number in range(WRITERS)
        ]
        stop, ending = threading.Event(), threading.Event()
        threads = [threading.Thread(target=writer.run, args=(stop, ending), name="writer") for writer in writers]
        for thread in threads:
            thread.start()
        try:
            yield ending
        finally:
            stop.set()
            for thread in threads:
                thread.join()

    def _keep_evidence(self, made: World) -> None:
        made.keep_logs(self._folder / "servers")
        self.report.evidence = str(self._folder)
        documents = {
            "schedule": [fault.document() for fault in self._schedule],
            "violations": self._violations.kept,
            "report": self.report.document(),
        }
        for name, document in documents.items():
            text = json.dumps(document, indent=1, default=repr, ensure_ascii=False)
            (self._folder / f"{name}.json").write_text(text)


_never = threading.Event()
