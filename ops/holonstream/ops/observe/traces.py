"""Where the spans of relay and workers go: to a collector, by OTLP over HTTP, as the OTEL_* variables say."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from time import time_ns
from typing import TYPE_CHECKING

from holonstream.ops.settings import Settings
from holonstream.schemas import tracing
from holonstream.schemas.extras import extras_needed

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
    from opentelemetry.trace import Link
    from starlette.types import ASGIApp, Receive, Scope, Send

Attributes = dict[str, tracing.Attribute]
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
    processor = BatchSpanProcessor(OTLPSpanExporter(timeout=timeout))
    provider.add_span_processor(processor)
    trace.set_tracer_provider(provider)
    tracing.enable(settings.traces, batch_spans(provider, processor))
    try:
        yield
    finally:
        tracing.enable(0)
        provider.shutdown()


def batch_spans(provider: TracerProvider, processor: SpanProcessor) -> tracing.MakeBatchSpan:
    """What makes the spans of batches for a processor, in half of the time that the provider and the encoder take.

    At a thousand events a second every fifth small batch has a traced event: its span would cost more than all else
    that traces do. The SDK hands out a span that can be changed, behind locks, and copies it at its end; of a batch all
    is known. And its encoder takes the hash of the resource, of all its JSON, for each span.
    """
    from opentelemetry import context
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.sdk.trace.sampling import DEFAULT_ON, Decision
    from opentelemetry.sdk.util.instrumentation import InstrumentationScope
    from opentelemetry.trace import (
        NonRecordingSpan,
        NoOpTracer,
        SpanContext,
        SpanKind,
        Status,
        StatusCode,
        TraceFlags,
        set_span_in_context,
    )

    class HashedResource(Resource):
        def __init__(self, made: Resource) -> None:
            super().__init__(made.attributes, made.schema_url)
            self._hash = hash(made)

        def __hash__(self) -> int:
            return self._hash

    if isinstance(provider.get_tracer("holonstream"), NoOpTracer):  # OTEL_SDK_DISABLED
        return lambda name, attributes, links: tracing.NOTHING
    resource, scope = HashedResource(provider.resource), InstrumentationScope("holonstream")
    sampler, ids, kind = provider.sampler, provider.id_generator, SpanKind.CONSUMER
    sampled, unset, no_context = TraceFlags(TraceFlags.SAMPLED), Status(StatusCode.UNSET), context.Context()

    class BatchSpan:
        """Under way inside the block. A class, as a generator takes longer."""

        __slots__ = ("attributes", "began", "links", "name", "span", "token")

        def __init__(self, span: SpanContext, name: str, attributes: Attributes, links: list[Link]) -> None:
            self.span, self.name, self.attributes, self.links = span, name, attributes, links

        def __enter__(self) -> None:
            self.began = time_ns()
            self.token = context.attach(set_span_in_context(NonRecordingSpan(self.span)))

        def __exit__(self, kind_: object, error: BaseException | None, at: object) -> None:
            context.detach(self.token)
            # The message of an error may quote what an event carries.
            status = Status(StatusCode.ERROR, type(error).__name__) if isinstance(error, Exception) else unset
            made = ReadableSpan(
                self.name, self.span, None, resource, self.attributes, (), self.links, kind, None, status,
                self.began, time_ns(), scope,
            )  # fmt: skip
            processor.on_end(made)

    def make(name: str, attributes: Attributes, links: list[Link]) -> AbstractContextManager[object]:
        trace = ids.generate_trace_id()
        if sampler is not DEFAULT_ON:
            decided = sampler.should_sample(no_context, trace, name, kind, attributes, links)
            if decided.decision is not Decision.RECORD_AND_SAMPLE:
                return tracing.NOTHING
        return BatchSpan(SpanContext(trace, ids.generate_span_id(), False, sampled), name, attributes, links)

    return make


def continuing(app: ASGIApp) -> ASGIApp:
    """An ASGI application inside the trace that each request names by its header ``traceparent``."""

    async def call(scope: Scope, receive: Receive, send: Send) -> None:
        named = dict(scope.get("headers", ())).get(b"traceparent", b"")
        with tracing.continued(named.decode("latin-1")):
            await app(scope, receive, send)

    return call
