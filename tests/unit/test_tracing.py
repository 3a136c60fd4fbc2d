"""Spans of appends, batches and reads, with the SDK's exporter in memory."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import structlog
from msgspec.structs import replace
from opentelemetry import context, trace
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF

from holonstream.client.traced import TracedClient
from holonstream.ops import logs
from holonstream.ops.observe.traces import batch_spans, continuing
from holonstream.producers.log.append import encode_events
from holonstream.schemas import jsontext, tracing
from holonstream.schemas.catalogue import Catalogue
from holonstream.schemas.errors import InvalidEvent
from holonstream.testing import MemoryEventStore, MemoryGraphStore
from holonstream.testing.records import wire_value
from holonstream.testing.sinks import history
from tests.support.event_log import person

CATALOGUE = Catalogue.load()
EXPORTER = InMemorySpanExporter()
PROVIDER, PROCESSOR = TracerProvider(), SimpleSpanProcessor(EXPORTER)
SAMPLED = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.fixture(scope="module", autouse=True)
def _provider() -> Iterator[None]:
    """The provider of a service: there is one in a process, and it cannot be replaced."""
    PROVIDER.add_span_processor(PROCESSOR)
    trace.set_tracer_provider(PROVIDER)
    yield
    PROVIDER.shutdown()


@pytest.fixture(autouse=True)
def _enabled() -> Iterator[None]:
    EXPORTER.clear()
    tracing.enable(1)
    yield
    tracing.enable(0)


@pytest.fixture(params=["the provider", "our processes"])
def makes_batch_spans(request: pytest.FixtureRequest) -> None:
    """Spans of batches as the provider makes them, and as relay and workers do."""
    if request.param == "our processes":
        tracing.enable(1, batch_spans(PROVIDER, PROCESSOR))


def spans() -> dict[str, ReadableSpan]:
    return {span.name: span for span in EXPORTER.get_finished_spans()}


def written(*traceparents: str | None) -> list[bytes]:
    """Records of events with these trace contexts."""
    log = history(len(traceparents), 1)
    return [wire_value(replace(event, traceparent=text)) for event, text in zip(log, traceparents, strict=True)]


def test_nothing_is_imported_while_it_is_off() -> None:
    script = """
import sys
import holonstream.client, holonstream.ops.wiring, holonstream.streams.app, holonstream.producers.relay.relay
from holonstream.schemas import tracing
with tracing.span("append"), tracing.batch_span("write", [b"x"]):
    assert tracing.traceparent() is None
print([name for name in sys.modules if name.startswith("opentelemetry")])
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_an_event_gets_the_trace_under_way_unless_it_has_one() -> None:
    with tracing.span("append"):
        events = jsontext.decode(encode_events([person(), person(traceparent=SAMPLED)], CATALOGUE).encode())
    made = spans()["append"].context
    assert [event["traceparent"] for event in events] == [f"00-{made.trace_id:032x}-{made.span_id:016x}-01", SAMPLED]
    assert "traceparent" not in encode_events([person()], CATALOGUE)


@pytest.mark.parametrize("baggage", [{}, {"customer": "ada"}])
@pytest.mark.parametrize("share", [0.25, 1.0])
def test_the_share_decides_where_no_trace_is_under_way(share: float, baggage: dict[str, object]) -> None:
    tracing.enable(share)
    token = context.attach(context.Context(baggage))
    for _ in range(1000):
        with tracing.span("append"):
            pass
    context.detach(token)
    assert share * 1000 - 100 < len(EXPORTER.get_finished_spans()) < share * 1000 + 100


def test_a_trace_under_way_decides_itself() -> None:
    tracing.enable(1e-9)
    tracer = trace.get_tracer("service")
    with tracer.start_as_current_span("request") as request, tracing.span("append"):
        pass
    appended = spans()["append"]
    assert appended.parent == request.get_span_context()
    tracing.enable(1)
    EXPORTER.clear()
    unsampled = trace.NonRecordingSpan(trace.SpanContext(1, 2, False, trace.TraceFlags(0)))
    with trace.use_span(unsampled), tracing.span("append"):
        assert tracing.traceparent() is None
    assert not EXPORTER.get_finished_spans()


@pytest.mark.usefixtures("makes_batch_spans")
def test_a_batch_is_linked_to_the_spans_of_its_traced_events() -> None:
    values = [*written(SAMPLED, None, SAMPLED.replace("c-b", "d-b"), SAMPLED[:-1] + "0"), None, b"\xff", b"[]"]
    with tracing.batch_span("sink write", values, group="g"):
        inside = tracing.trace_id()
    assert tracing.trace_id() is None
    batch = spans()["sink write"]
    assert inside == f"{batch.context.trace_id:032x}"
    assert batch.parent is None
    assert batch.kind == trace.SpanKind.CONSUMER
    assert batch.resource == PROVIDER.resource
    assert batch.instrumentation_scope is not None
    assert batch.instrumentation_scope.name == "holonstream"
    assert 0 < (batch.start_time or 0) <= (batch.end_time or 0)
    assert batch.status.is_unset
    encode_spans([batch]).SerializeToString()
    assert [f"{link.context.trace_id:032x}" for link in batch.links] == [
        "0af7651916cd43dd8448eb211c80319c",
        "0af7651916cd43dd8448eb211c80319d",
    ]
    assert batch.attributes == {"holonstream.group": "g"}


@pytest.mark.usefixtures("makes_batch_spans")
@pytest.mark.parametrize("text", [None, "", "x", "00-0-0-01", SAMPLED[:-1] + "0", "ff" + SAMPLED[2:], SAMPLED * 2])
def test_a_batch_without_a_traced_event_makes_no_span(text: str | None) -> None:
    other = trace.get_tracer("service").start_as_current_span("other")  # not to be taken for the event's
    with other, tracing.batch_span("sink write", written(text)):
        pass
    assert "sink write" not in spans()


@pytest.mark.usefixtures("makes_batch_spans")
def test_a_large_batch_costs_no_more_than_its_first_events() -> None:
    seen = []

    def values() -> Iterator[bytes]:
        for value in written(*[SAMPLED] * 300):
            seen.append(value)
            yield value

    with tracing.batch_span("sink write", values()):
        pass
    assert len(seen) == len(spans()["sink write"].links) == tracing.LINKS


def test_a_failure_is_named_by_its_class_alone() -> None:
    with pytest.raises(InvalidEvent), tracing.span("append"):
        raise InvalidEvent("a secret of the payload")
    failed = spans()["append"]
    assert (failed.status.status_code, failed.status.description) == (trace.StatusCode.ERROR, "InvalidEvent")
    assert "secret" not in failed.to_json()


@pytest.mark.usefixtures("makes_batch_spans")
def test_a_batch_that_fails_is_named_by_its_class_alone() -> None:
    with pytest.raises(InvalidEvent), tracing.batch_span("sink write", written(SAMPLED)):
        raise InvalidEvent("a secret of the payload")
    failed = spans()["sink write"]
    assert (failed.status.status_code, failed.status.description) == (trace.StatusCode.ERROR, "InvalidEvent")
    assert "secret" not in failed.to_json()


def test_the_sampler_and_the_switch_of_the_sdk_decide_for_batches_too(monkeypatch: pytest.MonkeyPatch) -> None:
    unsampled = TracerProvider(sampler=ALWAYS_OFF)
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    for provider in (unsampled, TracerProvider()):
        tracing.enable(1, batch_spans(provider, PROCESSOR))
        with tracing.batch_span("sink write", written(SAMPLED)):
            assert tracing.trace_id() is None
    assert not spans()


def test_reads_are_spans_of_the_request() -> None:
    log = MemoryEventStore(CATALOGUE)
    client = TracedClient(MemoryGraphStore(log, CATALOGUE), log, CATALOGUE)

    async def request() -> None:
        with trace.get_tracer("service").start_as_current_span("request"):
            await client.get_holon("ada")
            await client.traverse("ada", max_depth=2)

    asyncio.run(request())
    found = spans()
    assert found["get_holon"].parent == found["traverse"].parent == found["request"].context


@pytest.mark.parametrize(
    ("header", "parent"), [(SAMPLED.encode(), SAMPLED.split("-")[2]), (b"\xff", None), (None, None)]
)
def test_a_request_over_http_continues_the_trace_that_it_names(header: bytes | None, parent: str | None) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        with tracing.span("get_holon", "client"):
            pass

    async def unused(*_: Any) -> Any:
        raise AssertionError

    headers = [] if header is None else [(b"traceparent", header)]

    async def request() -> None:
        await continuing(app)({"type": "http", "headers": headers}, unused, unused)

    asyncio.run(request())
    found = spans()["get_holon"].parent
    assert (found and f"{found.span_id:016x}") == parent


def test_log_lines_name_the_trace(capsys: pytest.CaptureFixture[str], logging_restored: None) -> None:
    logs.configure("info", "json")
    with tracing.span("append"):
        structlog.get_logger().info("inside")
    structlog.get_logger().info("outside")
    inside, outside = (jsontext.decode(line.encode()) for line in capsys.readouterr().err.splitlines())
    assert inside["trace_id"] == f"{spans()['append'].context.trace_id:032x}"
    assert "trace_id" not in outside
