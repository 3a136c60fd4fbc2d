"""A collector of spans: takes OTLP over HTTP, as the processes of a pipeline send it."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest


@dataclass(frozen=True)
class CollectedSpan:
    """A span as it was sent."""

    service: str
    name: str
    trace_id: str
    links: frozenset[tuple[str, str]]
    """trace and span ids"""
    attributes: dict[str, str]


@dataclass
class Collector:
    """What came so far."""

    url: str = ""
    spans: list[CollectedSpan] = field(default_factory=list)

    def linked_to(self, trace_id: str, span_id: str) -> dict[str, CollectedSpan]:
        """The spans that are linked to one, by service."""
        return {span.service: span for span in list(self.spans) if (trace_id, span_id) in span.links}


@contextmanager
def trace_collector() -> Iterator[Collector]:
    """A collector on a free port of loopback."""
    collector = Collector()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            collector.spans += _spans(ExportTraceServiceRequest.FromString(body))
            self.send_response(200)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    collector.url = f"http://127.0.0.1:{server.server_port}"
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield collector
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _spans(request: ExportTraceServiceRequest) -> Iterator[CollectedSpan]:
    for resource in request.resource_spans:
        service = next(a.value.string_value for a in resource.resource.attributes if a.key == "service.name")
        for scope in resource.scope_spans:
            for span in scope.spans:
                links = frozenset((link.trace_id.hex(), link.span_id.hex()) for link in span.links)
                attributes = {a.key: a.value.string_value for a in span.attributes}
                yield CollectedSpan(service, span.name, span.trace_id.hex(), links, attributes)
