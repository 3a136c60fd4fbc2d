"""Metrics and health without servers: names and their page, histograms, the HTTP side, a relay's states."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.client import HTTPConnection
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from holonstream.client.metrics import ClientMetrics
from holonstream.local import ports
from holonstream.ops.commands.metrics import metrics
from holonstream.ops.observe.exporter import Exporter
from holonstream.ops.observe.page import page
from holonstream.ops.observe.process import registry_of
from holonstream.ops.observe.relay import ObservedRelay
from holonstream.ops.observe.server import CannotServe, MetricsServer
from holonstream.ops.observe.worker import SAMPLES, observe_ages
from holonstream.ops.settings import Settings
from holonstream.producers.relay.progress import RelayMonitor
from holonstream.schemas import instant
from holonstream.schemas.metrics import BUILD_INFO, METRICS, Histogram
from holonstream.schemas.prometheus import SourceCollector, family
from holonstream.testing.records import Record
from tests.support.scraping import Target, scrape
from tests.support.waiting import wait_until

ROOT = Path(__file__).parents[2]
NOWHERE = "postgresql://postgres@127.0.0.1:9/none"


def test_the_page_of_metrics_is_current() -> None:
    assert (ROOT / "docs" / "metrics.md").read_text() == page(), "run: holonstream metrics > docs/metrics.md"
    assert metrics.help


def test_names_follow_the_conventions_of_prometheus() -> None:
    for metric in METRICS.values():
        assert metric.name.startswith("holonstream_")
        assert metric.name.endswith("_total") == (metric.kind == "counter")
        assert bool(metric.buckets) == (metric.kind == "histogram")
        assert metric.help.endswith(".")
    for metric in METRICS.values():
        assert metric.name in page()
    assert {0.1, 1.0} <= set(METRICS["holonstream_freshness_seconds"].buckets)  # what is promised is counted


def test_what_is_not_in_the_catalogue_cannot_be_exported() -> None:
    with pytest.raises(KeyError):
        family(("holonstream_something", 1.0))


def test_a_histogram_counts_with_weights() -> None:
    found = Histogram((0.1, 1.0))
    found.observe(0.1)
    found.observe(0.5, 3)
    found.observe(7.0)
    assert found.counts == [1, 3, 1]
    assert found.sum == pytest.approx(8.6)


def _aged(seconds: float, now: datetime) -> Record:
    recorded = instant.render(now - timedelta(seconds=seconds))
    value = f'{{"subject":"holon/a","sequence":"7","streamversion":"1","recordedtime":"{recorded}"}}'
    return Record(0, None, value.encode())


@pytest.mark.parametrize("count", [1, 3, SAMPLES, SAMPLES + 1, 999, 5_000])
def test_freshness_counts_every_event_of_a_batch_and_puts_it_nearly_where_it_belongs(count: int) -> None:
    now = datetime.now(UTC)
    ages = [2.0 * (count - number) / count for number in range(count)]  # in the order of the log the oldest come first
    found = Histogram((0.1, 1.0))
    observe_ages(found, [_aged(age, now) for age in ages], now.timestamp())
    assert sum(found.counts) == count
    assert abs(sum(found.counts[:2]) - sum(age <= 1.0 for age in ages)) <= (count / SAMPLES if count > SAMPLES else 0)


def test_records_without_a_place_have_no_age() -> None:
    found = Histogram((1.0,))
    observe_ages(found, [Record(0, None, b"garbage"), Record(1, None, None)], 0.0)
    assert found.counts == [0, 0]


def test_a_client_counts_its_appends_and_shares_its_registry_with_no_other() -> None:
    registry = CollectorRegistry()
    first, second = ClientMetrics(), ClientMetrics()
    first.register(registry)
    first.appended(3, 0.02)
    first.cache.refused["tombstone"] += 1
    found = scrape(registry)
    assert found.value("holonstream_append_events_total") == 3
    assert found.value("holonstream_append_seconds_bucket", le="0.025") == 1
    assert found.value("holonstream_cache_fills_refused_total", cause="tombstone") == 1
    with pytest.raises(ValueError, match="Duplicated"):
        second.register(registry)


@pytest.fixture
def relay() -> Iterator[tuple[RelayMonitor, ObservedRelay]]:
    progress = RelayMonitor()
    observed = ObservedRelay(progress, NOWHERE, interval=60, stall=30)
    yield progress, observed
    observed.close()


def test_a_relay_is_ready_when_it_leads_or_stands_by(relay: tuple[RelayMonitor, ObservedRelay]) -> None:
    progress, observed = relay
    progress.change(state="connecting")
    assert observed.unready() == "connecting"
    for state in ("standby", "leader"):
        progress.change(state=state)
        assert observed.unready() is None
    progress.interrupted("Kafka does not answer", fenced=False)
    progress.interrupted("Fenced", fenced=True)
    assert observed.unready() == "backoff: Fenced"
    progress.change(state="connecting")
    assert observed.unready() == "connecting: Fenced"
    found = scrape(registry_of(observed))
    assert found.value("holonstream_relay_interruptions_total", cause="unavailable") == 1
    assert found.value("holonstream_relay_interruptions_total", cause="fenced") == 1
    assert found.value("holonstream_log_head_position") is None  # PostgreSQL does not answer


def test_a_relay_that_hangs_is_first_not_ready_and_then_not_alive(relay: tuple[RelayMonitor, ObservedRelay]) -> None:
    progress, observed = relay
    progress.change(state="leader")
    progress.turned_at -= 31
    assert "31.0 s ago, the limit is 30 s" in (observed.unready() or "")
    assert observed.dead() is None
    progress.turned_at -= 100
    assert observed.dead() is not None


def test_the_server_answers_and_refuses(relay: tuple[RelayMonitor, ObservedRelay]) -> None:
    progress, observed = relay
    port = ports.choose(["metrics"])["metrics"]
    target = Target(port)
    with MetricsServer("127.0.0.1", port, registry_of(observed), observed):
        assert target.get("/livez") == (200, "alive\n")
        assert target.get("/readyz") == (503, "not ready: stopped\n")
        progress.change(state="standby")
        assert target.get("/readyz") == (200, "ready\n")
        assert target.get("/readyz", "HEAD") == (200, "")
        assert target.get("/")[0] == 404
        assert target.get("/metrics?name[]=x")[0] == 200
        assert target.get("/metrics", "POST")[0] == 501
        with pytest.raises(CannotServe, match=str(port)):
            MetricsServer("127.0.0.1", port, registry_of(observed), observed)
        asked = HTTPConnection("127.0.0.1", port)
        asked.request("GET", "/metrics", headers={"Accept": "application/openmetrics-text; version=1.0.0"})
        body = asked.getresponse().read().decode()
        asked.close()
        assert body.endswith("# EOF\n")
    assert target.get("/livez")[0] == 0


class BlockedHealth:
    """Answers when the test says so; what it then says may be a bug."""

    def __init__(self, bug: bool) -> None:
        self.asked, self.answer = threading.Event(), threading.Event()
        self._bug = bug

    def dead(self) -> str | None:
        return None

    def unready(self) -> str | None:
        self.asked.set()
        self.answer.wait(60)
        if self._bug:
            raise KeyError("a bug")
        return None


@pytest.mark.parametrize("bug", [False, True])
def test_a_client_that_leaves_early_and_a_bug_print_no_traceback(capfd: pytest.CaptureFixture[str], bug: bool) -> None:
    port, health = ports.choose(["metrics"])["metrics"], BlockedHealth(bug)
    with MetricsServer("127.0.0.1", port, CollectorRegistry(), health), socket.socket() as client:
        serving = set(threading.enumerate())
        client.connect(("127.0.0.1", port))
        client.sendall(b"GET /readyz HTTP/1.1\r\nHost: here\r\n\r\n")
        assert health.asked.wait(60)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # so that a write of it fails
        client.close()
        health.answer.set()
        wait_until(lambda: set(threading.enumerate()) <= serving, "the request is over")
    printed = "".join(capfd.readouterr())
    assert "Traceback" not in printed
    assert ("metrics.request_failed" in printed) == bug


def test_an_exporter_that_has_not_polled_is_not_ready() -> None:
    assert Exporter(Settings()).unready() == "has not polled log and brokers yet"


def test_a_process_describes_its_metrics_before_there_are_values() -> None:
    described = {
        f.name + ("_total" if f.type == "counter" else "") for f in SourceCollector(ClientMetrics()).describe()
    }
    assert described == {m.name for m in METRICS.values() if "client" in m.processes} - {BUILD_INFO}
