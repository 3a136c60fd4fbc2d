"""What the live page computes: ages of the last hour, rates, and text that injects nothing. No servers."""

from __future__ import annotations

from socketserver import StreamRequestHandler, ThreadingTCPServer
from threading import Thread
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from holonstream.ops.console.explorer import EntityHistory, Step
from holonstream.ops.console.freshness import BOUNDS, FreshnessHour, addresses, cumulative, quantile, share_within
from holonstream.ops.console.live import chart
from holonstream.ops.console.rendering import link, render, seconds, stream_link, visible
from holonstream.schemas.metrics import Histogram, Sample, histogram
from holonstream.schemas.prometheus import family

NOW = 1_800_000_000.0
HOSTILE = '"><script>alert(1)</script>\u202e\u200b\x00'


def scraped(ages: Histogram) -> str:
    """The page of a worker that has seen these ages."""

    class Source:
        def collect(self) -> list[object]:
            sample: Sample = ("holonstream_freshness_seconds", {("graph",): ages})
            return [family(sample)]

    registry = CollectorRegistry()
    registry.register(Source())  # type: ignore[arg-type]
    return generate_latest(registry).decode()


def test_what_happened_between_two_scrapes_is_counted_by_the_minute() -> None:
    ages, hour = histogram("holonstream_freshness_seconds"), FreshnessHour()
    ages.observe(30.0, 1_000)  # before the console began
    hour.add("w", cumulative(scraped(ages)), NOW)
    ages.observe(0.04, 90)
    ages.observe(0.4, 10)
    hour.add("w", cumulative(scraped(ages)), NOW + 5)
    counts = hour.last("graph", 5, NOW + 5)
    assert counts[-1] == 100
    assert (share_within(counts, 0.1), share_within(counts, 1.0)) == (0.9, 1.0)
    assert 0.025 < (quantile(counts, 0.5) or 0) <= 0.05
    assert 0.25 < (quantile(counts, 0.99) or 0) <= 0.5
    assert hour.last("graph", 5, NOW + 3_600)[-1] == 0
    lines = chart(hour, NOW + 5)["lines"]
    assert lines["graph p50"]
    assert not lines["cache p50"]


def test_a_worker_that_was_started_again_counts_from_zero() -> None:
    hour = FreshnessHour()
    for ages in (50, 80, 7):  # 30 more, then 7 of the next one
        seen = histogram("holonstream_freshness_seconds")
        seen.observe(0.01, ages)
        hour.add("w", cumulative(scraped(seen)), NOW)
    assert hour.last("graph", 1, NOW)[-1] == 37


def test_without_events_there_is_no_age() -> None:
    assert quantile([0.0] * len(BOUNDS), 0.5) is None
    assert share_within([0.0] * len(BOUNDS), 0.1) is None
    assert cumulative("") == {}


def test_a_name_that_leads_nowhere_is_left_out() -> None:
    assert addresses("127.0.0.1:1, localhost:x,no.such.host.invalid:2,,[::1]:3") == ["127.0.0.1:1", "[::1]:3"]


@pytest.mark.parametrize(
    "answer",
    [
        b"-ERR unknown command 'GET'\r\n",
        b"",
        b"HTTP/1.0 200 OK\r\n\r\n\xff",
        b"HTTP/1.0 200 OK\r\n\r\n# TYPE holonstream_freshness_seconds histogram\n"
        b'holonstream_freshness_seconds_bucket{le="1"} 2\n',
        b"HTTP/1.0 200 OK\r\n\r\n{, =Ya\n",
    ],
)
def test_a_port_of_another_program_is_left_out(answer: bytes) -> None:
    class Handler(StreamRequestHandler):
        def handle(self) -> None:
            while self.rfile.readline().strip():
                pass
            self.wfile.write(answer)

    hour = FreshnessHour()
    with ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        hour.scrape(f"127.0.0.1:{server.server_address[1]}", NOW)
        server.shutdown()
    assert hour.last("graph", 1, NOW)[-1] == 0


def test_lists_that_are_cut_say_so() -> None:
    row = {"stream": "holon/a", "version": 1, "waiting": 0, "reason": "x"}
    assert "more" not in render("dead_letters.html", parked=[row], more=0)
    assert "And 1,234 more" in render("dead_letters.html", parked=[row], more=1_234)

    def page(events: int) -> str:
        entity = EntityHistory([Step(n, n, None, (), None) for n in range(1, events + 1)])
        shown: dict[str, Any] = {"step": None, "at": None, "fields": {}, "properties": {}}
        return render("entity.html", kind="holon", id="a", entity=entity, places=[], types=[], **shown)

    assert "The last" not in page(200)
    assert "The last 200 of 1,500 events" in page(1_500)
    assert page(1_500).count("<li>") == 200


def test_what_is_shown_injects_nothing() -> None:
    page = render("error.html", title=HOSTILE, detail=HOSTILE)
    assert "<script>alert" not in page
    assert not {"\u202e", "\u200b", "\x00"} & set(page)
    assert "\\u202e" in page
    assert visible("a\nb\tc") == "a\nb\tc"


@pytest.mark.parametrize("name", ["a/b", "?x=1&y", "#", "javascript:alert(1)", "//evil.example", HOSTILE, "ä"])
def test_links_lead_to_our_own_pages(name: str) -> None:
    for address in (link("/holon", id=name), stream_link(f"holon/{name}")):
        assert address is not None
        assert address.startswith("/holon?id=")
        assert not set(address.partition("=")[2]) & set("&?#<>\"' ")
    assert stream_link(name) is None


def test_durations_are_short() -> None:
    assert [seconds(s) for s in (None, 0.034, 1.5, 600, 9_000)] == ["\N{EN DASH}", "34 ms", "1.5 s", "10 min", "2.5 h"]
