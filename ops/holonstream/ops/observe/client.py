"""What an application that reads and appends shows in its own registry."""

from __future__ import annotations

import threading
from collections.abc import Iterator

from prometheus_client import REGISTRY, CollectorRegistry

from holonstream.ops.observe.families import Family, Shown, buckets, family
from holonstream.sinks.cache.counters import CacheCounters


class ClientMetrics(Shown):
    """The metrics of one client."""

    process = "client"

    def __init__(self) -> None:
        self.cache = CacheCounters()
        self._lock = threading.Lock()
        self._appended = 0
        self._append_seconds = buckets("holonstream_append_seconds")

    def appended(self, events: int, seconds: float) -> None:
        """Take note of an append; from any thread."""
        with self._lock:
            self._appended += events
            self._append_seconds.observe(seconds)

    def register(self, registry: CollectorRegistry = REGISTRY) -> None:
        """Export them. Raises ValueError when the registry has those of another client."""
        registry.register(self)

    def collect(self) -> Iterator[Family]:
        cache = self.cache
        yield family("holonstream_append_events_total", self._appended)
        yield family("holonstream_append_seconds", self._append_seconds)
        yield family("holonstream_cache_hits_total", cache.hits)
        yield family("holonstream_cache_misses_total", cache.misses)
        yield family("holonstream_cache_fills_total", cache.fills)
        refused = {(cause,): count for cause, count in dict(cache.refused).items()}
        yield family("holonstream_cache_fills_refused_total", refused)
        yield family("holonstream_cache_errors_total", cache.errors)
        yield family("holonstream_graph_reads_total", cache.graph_reads)
        yield family("holonstream_token_waits_total", cache.waits)
