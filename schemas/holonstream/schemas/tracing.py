"""Spans of OpenTelemetry for appends, relay, sinks' batches and reads (docs/traces.md). Off until `enable` is called.

Nothing of OpenTelemetry is imported before that, and while it is off a span costs a comparison. An append gives its
events the trace context (``traceparent``), which travels in the log and on Kafka. What handles many events at once is a
span of its own, linked to the spans of those that are traced: one of a batch without such an event is never made.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import Token, copy_context
from functools import partial
from itertools import islice
from types import TracebackType
from typing import TYPE_CHECKING

from holonstream.schemas.extras import extras_needed
from holonstream.schemas.wire import decode_traceparent

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.trace import Link, Span, SpanContext, SpanKind

LINKS = 128  # of a batch's first events: what the SDK keeps of a span, and what bounds the cost of a large batch
FIELD = b'"traceparent"'
SAMPLED = re.compile("00-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f][13579bdf]")  # of version 0, the only one so far
Attribute = str | int
MakeBatchSpan = Callable[[str, dict[str, Attribute], "list[Link]"], AbstractContextManager[object]]

_tracing: _Tracing | None = None
NOTHING: AbstractContextManager[None] = nullcontext()
"""what `span` and `batch_span` give where there is no span"""


def enable(share: float, batches: MakeBatchSpan | None = None) -> None:
    """Make spans from now on, with the tracer provider of this process.

    `share` of the appends and reads begin a trace when none is under way; 0 disables all. `batches` makes the spans of
    batches in the provider's place. Raises MissingExtra.
    """
    global _tracing
    _tracing = _Tracing(share, batches) if share > 0 else None


def span(name: str, kind: str = "internal", **attributes: Attribute) -> AbstractContextManager[object]:
    """A span in the trace that is under way, or at the beginning of a new one; nothing in one that is not sampled."""
    if _tracing is None or not (_tracing.under_way() or random.random() < _tracing.share):
        return NOTHING
    return _tracing.span(name, kind, attributes)


def batch_span(name: str, values: Iterable[bytes | None], **attributes: Attribute) -> AbstractContextManager[object]:
    """A span for what is done with records, linked to the spans that appended them; nothing without a traced one."""
    return NOTHING if _tracing is None else _tracing.batch_span(name, values, attributes)


def continued(traceparent: str) -> AbstractContextManager[None]:
    """Inside it the trace that a caller names is under way, or none, when the text names none."""
    return NOTHING if _tracing is None else _tracing.continued(traceparent)


def traceparent() -> str | None:
    """The context of the span under way, as W3C writes it, for others to continue; None without a sampled one."""
    return None if _tracing is None else _tracing.traceparent()


def trace_id() -> str | None:
    """The id of the trace under way, for log lines."""
    found = traceparent()
    return None if found is None else found.split("-")[1]


class _Tracing:
    """Everything that needs the package."""

    def __init__(self, share: float, batches: MakeBatchSpan | None) -> None:
        with extras_needed():
            from opentelemetry import trace
            from opentelemetry.context import Context, attach, detach, get_current
            from opentelemetry.trace.propagation import tracecontext
        self._api = trace
        self._tracer = trace.get_tracer("holonstream")
        self._propagator = tracecontext.TraceContextTextMapPropagator()
        self._empty, self._attach, self._detach = Context(), attach, detach
        self.under_way, self._current = self._context_variable() or get_current, trace.get_current_span
        self._sampled = trace.TraceFlags(trace.TraceFlags.SAMPLED)
        self.share = share
        self._batch: MakeBatchSpan = batches or partial(self._recorded, trace.SpanKind.CONSUMER)

    def _context_variable(self) -> Callable[[], object] | None:
        """What gives the context under way in one step; None when the package keeps it in no variable of Python's.

        A request that is not sampled must cost next to nothing, and code that is seldom run must be fetched from memory
        each time: with the package's own functions an append took 3 % more.
        """
        probe = self._api.set_span_in_context(self._api.INVALID_SPAN, self._empty)
        token = self._attach(probe)
        found = next((variable for variable, value in copy_context().items() if value is probe), None)
        self._detach(token)
        return None if found is None else partial(found.get, None)

    def span(self, name: str, kind: str, attributes: dict[str, Attribute]) -> AbstractContextManager[object]:
        """A span at the beginning of a trace or, with a context under way, as the trace in it decides."""
        if self.under_way():
            parent = self._parent()  # None: the context has something else, such as baggage
            if not (random.random() < self.share if parent is None else parent.trace_flags.sampled):
                return NOTHING
        return self._recorded(self._api.SpanKind[kind.upper()], name, _named(attributes))

    def _parent(self) -> SpanContext | None:
        """The span under way, sampled or not."""
        context = self._current().get_span_context()
        return context if context.is_valid else None

    def batch_span(
        self, name: str, values: Iterable[bytes | None], attributes: dict[str, Attribute]
    ) -> AbstractContextManager[object]:
        # Most batches have none, and each pays for the search: one in all of them takes a third of the time of one in
        # each. `rfind` takes a quarter of that of `in` here, which stops at every quotation mark.
        first = list(filter(None, islice(values, LINKS)))
        if b"".join(first).rfind(FIELD) < 0:
            return NOTHING
        links = [link for value in first if value.rfind(FIELD) >= 0 and (link := self._link(value)) is not None]
        return self._batch(name, _named(attributes), links) if links else NOTHING

    def _link(self, value: bytes) -> Link | None:
        # By a pattern of our own: the propagator, which requests' headers go through, takes ten times as long.
        found = SAMPLED.fullmatch(decode_traceparent(value) or "")
        if found is None:
            return None
        trace_id, span_id = int(found[1], 16), int(found[2], 16)
        appended = self._api.SpanContext(trace_id, span_id, is_remote=True, trace_flags=self._sampled)
        return self._api.Link(appended) if appended.is_valid else None

    def _context(self, traceparent: str) -> Context:
        # Of the empty context, not that of this process: the text may name no trace.
        return self._propagator.extract({"traceparent": traceparent}, self._empty)

    @contextmanager
    def continued(self, traceparent: str) -> Iterator[None]:
        token = self._attach(self._context(traceparent))
        try:
            yield
        finally:
            self._detach(token)

    def _recorded(
        self, kind: SpanKind, name: str, attributes: dict[str, Attribute], links: list[Link] | None = None
    ) -> _Recorded:
        return _Recorded(self, self._tracer.start_span(name, kind=kind, attributes=attributes, links=links))

    def enter(self, span: Span) -> Token[Context]:
        """Make a span the one under way."""
        return self._attach(self._api.set_span_in_context(span))

    def leave(self, span: Span, token: Token[Context], error: BaseException | None) -> None:
        """End it, as failed when there is an error, whose message may quote what an event carries."""
        if isinstance(error, Exception):
            span.set_status(self._api.StatusCode.ERROR, type(error).__name__)
        self._detach(token)
        span.end()

    def traceparent(self) -> str | None:
        context = self._parent() if self.under_way() else None
        if context is None or not context.trace_flags.sampled:
            return None
        return f"00-{context.trace_id:032x}-{context.span_id:016x}-01"


def _named(attributes: dict[str, Attribute]) -> dict[str, Attribute]:
    return {f"holonstream.{key}": value for key, value in attributes.items()}


class _Recorded:
    """A span that is under way inside the block: a tenth of what the SDK's two nested generators for it cost."""

    __slots__ = ("_span", "_token", "_tracing")

    def __init__(self, tracing: _Tracing, span: Span) -> None:
        self._tracing, self._span = tracing, span

    def __enter__(self) -> Span:
        self._token = self._tracing.enter(self._span)
        return self._span

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._tracing.leave(self._span, self._token, error)
