"""One request, followed by its trace through every process: service, relay, both sinks, and the read after it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from holonstream.client import Event, SyncClient
from holonstream.client.settings import ClientSettings
from holonstream.schemas import tracing
from holonstream.schemas.event import parse_events
from tests.fix_pipeline import Pipeline
from tests.support.poison import poisoned
from tests.support.trace_collector import Collector, trace_collector
from tests.support.waiting import FIRST_BATCH, wait_until

FACT = Event(
    type="PersonCreated",
    occurred_at="2026-11-24T08:00:00Z",
    actor="shop",
    subjects=("ada",),
    payload={"name": "Ada"},
    source_system="shop",
)
SERVICES = {"holonstream-relay", "holonstream-graph", "holonstream-cache"}


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    """To be asked for before the pipeline, whose processes send their spans here."""
    with trace_collector() as made:
        monkeypatch.setenv("HOLONSTREAM_TRACES", "1")
        monkeypatch.setenv("HOLONSTREAM_LOG_FORMAT", "json")
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", made.url)
        monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "200")
        yield made


@pytest.fixture
def exporter() -> Iterator[InMemorySpanExporter]:
    """The spans of this process, which is the service."""
    exporter = InMemorySpanExporter()
    provider = trace.get_tracer_provider()
    if not isinstance(provider, TracerProvider):  # one for all tests of a process
        provider = TracerProvider()
        trace.set_tracer_provider(provider)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    yield exporter
    tracing.enable(0)


def test_a_request_is_followed_through_all_processes(
    collector: Collector, pipeline: Pipeline, exporter: InMemorySpanExporter, tmp_path: Path
) -> None:
    pipeline.start("relay", "graph", "cache")
    with (
        SyncClient.from_settings(ClientSettings.of({**pipeline.environment, "HOLONSTREAM_TRACES": "1"})) as client,
        trace.get_tracer("shop").start_as_current_span("request") as request,
    ):
        (appended,) = client.append([FACT])
        holon = client.get_holon("ada", at_least=appended.token, deadline=FIRST_BATCH)
        assert holon is not None
        client.append(parse_events(json.dumps(poisoned("poor"))))
    of_request = request.get_span_context()
    made = {span.name: span for span in exporter.get_finished_spans()}
    trace_id = f"{of_request.trace_id:032x}"
    for name in ("append", "get_holon"):
        assert made[name].context.trace_id == of_request.trace_id
        assert made[name].parent == of_request
    first = next(span for span in exporter.get_finished_spans() if span.name == "append")
    append_id = f"{first.context.span_id:016x}"

    # the event carries the span that appended it, and each process links the span of its batch to that
    records = [event for events in pipeline.records().values() for event in events]
    (record,) = [event for event in records if event.type == "PersonCreated"]
    assert record.traceparent == f"00-{trace_id}-{append_id}-01"
    linked = wait_until(
        lambda: found if (found := collector.linked_to(trace_id, append_id)).keys() >= SERVICES else None,
        "relay and sinks have sent their spans",
    )
    assert linked["holonstream-relay"].name == "relay publish"
    assert {linked[f"holonstream-{view}"].name for view in ("graph", "cache")} == {"sink write"}
    assert linked["holonstream-graph"].attributes["holonstream.group"] == f"{pipeline.namespace}-graph"

    # a log line names the trace of its batch, and the event's own
    log = tmp_path / "logs" / "graph.log"
    parked = wait_until(
        lambda: next((line for line in log.read_text().splitlines() if '"graph.stream.parked"' in line), None),
        "the stream is parked",
    )
    line = json.loads(parked)
    assert line["traceparent"].startswith(f"00-{trace_id}-")
    wait_until(
        lambda: any(span.trace_id == line["trace_id"] for span in list(collector.spans)), "the batch's span was sent"
    )
