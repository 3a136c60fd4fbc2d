"""A process's registry and server, when a port is set."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from importlib.metadata import version
from typing import TYPE_CHECKING

from holonstream.ops.settings import Settings

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

    from holonstream.ops.observe.health import ObservedProcess


@contextmanager
def observed(settings: Settings, make: Callable[[], ObservedProcess]) -> Iterator[None]:
    """Serve what `make` gives inside the block; nothing is made, hooked in or listened on when the port is 0.

    Raises CannotServe.
    """
    if not settings.metrics_port:
        yield
        return
    from holonstream.ops.observe.server import MetricsServer

    with (
        closing(make()) as process,
        MetricsServer(settings.metrics_host, settings.metrics_port, registry_of(process), process),
    ):
        yield


def registry_of(process: ObservedProcess) -> CollectorRegistry:
    """A registry of the process's own: its metrics, and those of the operating system and of Python."""
    from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector
    from prometheus_client.registry import Collector

    from holonstream.schemas.metrics import BUILD_INFO
    from holonstream.schemas.prometheus import Family, SourceCollector, family

    class BuildInfo(Collector):
        def collect(self) -> Iterator[Family]:
            yield family((BUILD_INFO, {(version("holonstream"), process.process): 1.0}))

    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    GCCollector(registry=registry)
    registry.register(BuildInfo())
    registry.register(SourceCollector(process))
    return registry
