"""The pipeline seen from outside: lags and positions, also when no worker and no relay is alive."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from time import monotonic
from typing import TypeVar

import structlog

from holonstream.ops.kafka import client
from holonstream.ops.observe.health import ObservedProcess, stale
from holonstream.ops.observe.relay import frontier_samples
from holonstream.ops.observe.sampler import Sampler
from holonstream.ops.pipeline import TopicReport, topic_report
from holonstream.ops.settings import Settings
from holonstream.ops.status import TopicStatus
from holonstream.producers.relay.status import LogAge, LogStatus, log_age, log_status
from holonstream.schemas.errors import HolonstreamError
from holonstream.schemas.incident import incident
from holonstream.schemas.metrics import Sample

log = structlog.get_logger(__name__)

T = TypeVar("T")

HANGS = 120.0  # seconds; longer than the time limits of one poll together


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The answers of one poll; None for what did not answer."""

    log: LogStatus | LogAge | None
    topic: TopicReport | None


class Exporter(ObservedProcess):
    """Asks brokers and log every `metrics_interval` seconds. Ready while both answer."""

    process = "exporter"

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._dsn = settings.log_dsn
        self._topic: TopicStatus | None = None
        self._failing: dict[str, str] = {}
        self._sampler = Sampler(self._poll, settings.metrics_interval)

    def run(self, stop: threading.Event) -> None:
        """Poll until `stop` is set."""
        try:
            self._sampler.run(stop)
        finally:
            self._leave_topic()

    def _poll(self) -> Snapshot:
        # In the order of flow, as `status` does: what is relayed meanwhile must not be missing from the ends.
        relayed = self._ask("kafka", self._relayed)
        place = self._ask("log", lambda: self._log_age(relayed))
        return Snapshot(place, None if relayed is None else self._ask("kafka", self._topic_report))

    def _ask(self, source: str, question: Callable[[], T]) -> T | None:
        """The answer, or None after an error; logs one line for each incident."""
        try:
            answer = question()
        except HolonstreamError as error:
            if source not in self._failing:
                log.warning("exporter.unavailable", source=source, **incident(error))
            self._failing[source] = str(error)
            if source == "kafka":
                self._leave_topic()
            return None
        if self._failing.pop(source, None) is not None:
            log.info("exporter.available", source=source)
        return answer

    def _relayed(self) -> int:
        if self._topic is None:
            self._topic = TopicStatus(client(self._settings), self._settings.topic)
        return self._topic.relayed(self._settings.group("relay"))

    def _topic_report(self) -> TopicReport:
        assert self._topic is not None
        return topic_report(self._settings, self._topic)

    def _log_age(self, relayed: int | None) -> LogStatus | LogAge:
        if relayed is None:
            return log_age(self._dsn, 0)
        return log_status(self._dsn, self._settings.namespace, relayed)

    def _leave_topic(self) -> None:
        topic, self._topic = self._topic, None
        if topic is not None:
            topic.close()

    def samples(self) -> Iterator[Sample]:
        snapshot = self._sampler.answer
        if snapshot is None:
            return
        up = {("log",): float(snapshot.log is not None), ("kafka",): float(snapshot.topic is not None)}
        yield "holonstream_exporter_source_up", up
        if snapshot.log is not None:
            yield from frontier_samples(snapshot.log.frontier)
        if isinstance(snapshot.log, LogStatus):
            yield "holonstream_relay_lag_events", snapshot.log.lag
            yield "holonstream_relay_lag_seconds", max(snapshot.log.lag_seconds, 0.0)
        if snapshot.topic is not None:
            yield "holonstream_problems", len(snapshot.topic.problems)
            yield "holonstream_topic_open_transaction_seconds", snapshot.topic.open_seconds
            groups = snapshot.topic.groups.items()
            yield "holonstream_consumer_group_lag", {(name,): group.lag for name, group in groups}
            yield "holonstream_consumer_group_lag_seconds", {(n,): group.lag_seconds for n, group in groups}
            yield "holonstream_consumer_group_members", {(name,): group.members for name, group in groups}

    def dead(self) -> str | None:
        return stale("last polled log and brokers", monotonic() - self._sampler.polled_at, HANGS)

    def unready(self) -> str | None:
        if self._sampler.answer is None:
            return "has not polled log and brokers yet"
        if failing := dict(self._failing):
            return "; ".join(f"{source} does not answer: {reason}" for source, reason in failing.items())
        return self.dead()
