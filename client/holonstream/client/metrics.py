"""What a client counts, for the registry of the application that uses it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING

from holonstream.schemas.fork import forget_after_fork
from holonstream.schemas.metrics import Sample, histogram
from holonstream.sinks.cache.counters import CacheCounters

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry


class ClientMetrics:
    """The metrics of one client. Only `register` needs the package prometheus_client."""

    process = "client"

    def __init__(self) -> None:
        self.cache = CacheCounters()
        self._lock = threading.Lock()
        forget_after_fork(self)
        self._appended = 0
        self._append_seconds = histogram("holonstream_append_seconds")

    def appended(self, events: int, seconds: float) -> None:
        """Count an append; may be called from any thread."""
        with self._lock:
            self._appended += events
            self._append_seconds.observe(seconds)

    def _forget(self) -> object:
        """Start with a free lock in a child that was forked."""
        dropped, self._lock = self._lock, threading.Lock()
        return dropped

    def register(self, registry: CollectorRegistry | None = None) -> None:
        """Export them, in prometheus_client's global registry unless another is given.

        Raises ValueError when the registry has those of another client.
        """
        from prometheus_client import REGISTRY

        from holonstream.schemas.prometheus import SourceCollector

        (REGISTRY if registry is None else registry).register(SourceCollector(self))

    def samples(self) -> Iterator[Sample]:
        """The present values."""
        cache = self.cache
        yield "holonstream_append_events_total", self._appended
        yield "holonstream_append_seconds", self._append_seconds
        yield "holonstream_cache_hits_total", cache.hits
        yield "holonstream_cache_misses_total", cache.misses
        yield "holonstream_cache_fills_total", cache.fills
        yield (
            "holonstream_cache_fills_refused_total",
            {(cause,): count for cause, count in dict(cache.refused).items()},
        )
        yield "holonstream_cache_errors_total", cache.errors
        yield "holonstream_graph_reads_total", cache.graph_reads
        yield "holonstream_token_waits_total", cache.waits
