"""Where the spans of relay and workers go: to a collector, by OTLP over HTTP, as the OTEL_* variables say."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from holonstream.ops.settings import Settings
from holonstream.schemas import tracing
from holonstream.schemas.extras import extras_needed

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

EXPORT_TIMEOUT = 2.0  # seconds for the collector's answer, unless OTEL_EXPORTER_OTLP_TIMEOUT says otherwise


@contextmanager
def traced(settings: Settings, process: str) -> Iterator[None]:
    """Make spans inside the block, if the settings say so; `process` names the service. Raises MissingExtra."""
    if not settings.traces:
        yield
        return
    with extras_needed():
        from opentelemetry import trace
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    timeout = None if "OTEL_EXPORTER_OTLP_TIMEOUT" in os.environ else EXPORT_TIMEOUT
    named = {} if "OTEL_SERVICE_NAME" in os.environ else {"service.name": f"holonstream-{process}"}
    provider = TracerProvider(resource=Resource.create(named))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(timeout=timeout)))
    trace.set_tracer_provider(provider)
    tracing.enable(settings.traces)
    try:
        yield
    finally:
        tracing.enable(0)
        provider.shutdown()


def continuing(app: ASGIApp) -> ASGIApp:
    """An ASGI application inside the trace that each request names by its header ``traceparent``."""

    async def call(scope: Scope, receive: Receive, send: Send) -> None:
        named = dict(scope.get("headers", ())).get(b"traceparent", b"")
        with tracing.continued(named.decode("latin-1")):
            await app(scope, receive, send)

    return call
