"""A relay's metrics and health."""

from __future__ import annotations

from collections.abc import Iterator
from time import monotonic

from holonstream.ops.observe.health import ObservedProcess, stale
from holonstream.ops.observe.sampler import Sampler
from holonstream.producers.log.frontier import FrontierStatus
from holonstream.producers.relay.progress import RelayMonitor
from holonstream.producers.relay.status import LogAge, log_age
from holonstream.schemas.metrics import Sample

HANGS = 120.0  # seconds; longer than every time limit of the relay's own calls


class ObservedRelay(ObservedProcess):
    """Reads a relay's progress, and asks the log every `interval` seconds how far it is.

    A standby is ready, and so is a leader whose thread makes a step within `stall` seconds: it polls the log all along.
    """

    process = "relay"

    def __init__(self, progress: RelayMonitor, dsn: str, *, interval: float, stall: float) -> None:
        self._progress = progress
        self._dsn = dsn
        self._stall = stall
        self._log = Sampler(self._poll, interval)
        self._log.start()

    def _poll(self) -> tuple[LogAge, bool]:
        now = self._progress.now
        return log_age(self._dsn, now.position), now.state == "leader"

    def close(self) -> None:
        self._log.close()

    def samples(self) -> Iterator[Sample]:
        now = self._progress.now
        yield "holonstream_relay_leading", float(now.state == "leader")
        yield "holonstream_relay_events_total", now.relayed
        yield "holonstream_relay_transactions_total", now.transactions
        yield "holonstream_relay_bytes_total", now.bytes
        yield "holonstream_relay_position", now.position
        causes = {("unavailable",): now.unavailable, ("fenced",): now.fenced}
        yield "holonstream_relay_interruptions_total", causes
        if (answer := self._log.answer) is not None:
            place, leading = answer
            yield from frontier_samples(place.frontier)
            if leading:  # a standby does not know what is published
                yield "holonstream_relay_lag_seconds", place.lag_seconds

    def dead(self) -> str | None:
        return stale("the relay's thread last made a step", self._age(), HANGS)

    def unready(self) -> str | None:
        now = self._progress.now
        if now.state not in ("leader", "standby"):
            return f"{now.state}: {now.error}" if now.error else now.state
        return stale(f"{now.state}: the relay's thread last made a step", self._age(), self._stall)

    def _age(self) -> float:
        return monotonic() - self._progress.turned_at


def frontier_samples(frontier: FrontierStatus) -> Iterator[Sample]:
    """Head, frontier and its holder, as a relay and the exporter have them."""
    yield "holonstream_log_head_position", frontier.head
    yield "holonstream_log_frontier_position", frontier.frontier
    age = 0.0 if frontier.holder is None else frontier.holder.age_seconds
    if age is not None:
        yield "holonstream_log_frontier_holder_seconds", age
