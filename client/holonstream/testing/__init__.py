"""The test kit: a log and a graph in memory behind the ordinary clients, and fixtures for pytest.

A service's unit tests append and query without a server. `memory_log` is the event log with the checks, versions,
positions and errors of the one in PostgreSQL; `memory_graph` folds a log, in memory or in PostgreSQL, and can be
made to lag on purpose. `plugin` has the pytest fixtures. How to use them is in
docs/testing.md. `sinks` has the tests that every sink must pass (docs/own-sink.md).

The names below are imported when they are first used: pytest loads the plugin in every session of an environment that
holonstream is installed in.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from holonstream.testing.memory_graph import MemoryGraphStore
    from holonstream.testing.memory_log import MemoryEventStore
    from holonstream.testing.sinks import SinkContract

__all__ = ["MemoryEventStore", "MemoryGraphStore", "SinkContract"]

_MODULES = {
    "MemoryEventStore": "holonstream.testing.memory_log",
    "MemoryGraphStore": "holonstream.testing.memory_graph",
    "SinkContract": "holonstream.testing.sinks",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_MODULES[name]), name)
