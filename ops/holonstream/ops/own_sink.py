"""From ``MODULE:FACTORY`` to a sink of one's own, with an error that says what is wrong."""

from __future__ import annotations

import sys
from collections.abc import Callable
from difflib import get_close_matches
from importlib import import_module
from inspect import iscoroutinefunction
from typing import Any

import click

from holonstream.schemas import names
from holonstream.sinks.own import EventSink

METHODS = ("open", "close", "assign", "write")


def load_sink(spec: str) -> EventSink:
    """The sink that a factory makes. Raises click.BadParameter when there is none; what module and factory raise."""
    module_name, colon, path = spec.partition(":")
    if not (module_name and colon and path):
        near = get_close_matches(spec, ("graph", "cache"), 1)
        meant = f"; did you mean {near[0]}?" if near else ""
        raise click.BadParameter(f"{spec!r} is neither graph, cache nor MODULE:FACTORY{meant}")
    factory = _factory(module_name, path)
    if iscoroutinefunction(factory):
        raise click.BadParameter(f"{spec} is an async def: it must be a plain function, and open() may wait")
    sink = factory()
    if faults := _faults(sink):
        raise click.BadParameter(
            f"{spec} gives {_kind(sink)}, which is no sink: {'; '.join(faults)} (docs/own-sink.md, The protocol)"
        )
    return sink  # type: ignore[no-any-return]


def _factory(module_name: str, path: str) -> Callable[[], Any]:
    if "" not in sys.path:
        sys.path.insert(0, "")  # as ``python -m`` has it
    try:
        found: Any = import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module_name}.".startswith(f"{error.name}."):
            raise click.BadParameter(f"{module_name} cannot be imported: it needs {error.name}, not found") from error
        raise click.BadParameter(f"There is no module {error.name}, here or where Python is installed") from error
    except (TypeError, ValueError) as error:
        if not module_name.strip(".") or module_name.startswith("."):
            raise click.BadParameter(f"{module_name!r} is no name of a module") from error
        raise
    for name in path.split("."):
        if not hasattr(found, name):
            near = get_close_matches(name, dir(found), 1)
            meant = f"; did you mean {near[0]}?" if near else ""
            raise click.BadParameter(f"{module_name} has no {name!r}{meant}")
        found = getattr(found, name)
    if not callable(found):
        raise click.BadParameter(f"{module_name}:{path} is {_kind(found)}, not a function that makes a sink")
    return found  # type: ignore[no-any-return]


def _faults(sink: object) -> list[str]:
    if isinstance(sink, type):
        return [f"name {sink.__name__} itself as the factory"]
    name = getattr(sink, "name", None)
    faults = []
    if not isinstance(name, str) or not names.is_sink_name(name):
        faults.append(
            f"its name, {name!r}, must begin with a to z, have only these, digits and '_', "
            f"and not be {', '.join(names.RESERVED)}"
        )
    optional = ("ping",) if hasattr(sink, "ping") else ()
    for method in (*METHODS, *optional):
        if not hasattr(sink, method):
            faults.append(f"it has no {method}()")
        elif not iscoroutinefunction(getattr(sink, method)):
            faults.append(f"its {method} must be an async def")
    return faults


def _kind(thing: object) -> str:
    return "None" if thing is None else f"a {type(thing).__name__}"
