"""The client whose reads are spans (docs/traces.md); appends are, whichever way they are made."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from contextlib import AbstractContextManager
from functools import wraps
from inspect import iscoroutinefunction
from typing import Any, Concatenate, ParamSpec, TypeVar

from holonstream.client.asynchronous import Client
from holonstream.schemas import tracing

P = ParamSpec("P")
R = TypeVar("R")


class TracedClient(Client):
    """`Client`, with a span for each read. Those that give an iterator have none: nobody knows when it is used up."""


def _traced(
    method: Callable[Concatenate[Client, P], Coroutine[Any, Any, R]],
) -> Callable[Concatenate[Client, P], Coroutine[Any, Any, R]]:
    @wraps(method)
    def call(self: Client, /, *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, R]:
        read = method(self, *args, **kwargs)
        span = tracing.span(method.__name__, "client")
        return read if span is tracing.NOTHING else _inside(span, read)  # most are not sampled, and pay for no more

    return call


async def _inside(span: AbstractContextManager[object], read: Coroutine[Any, Any, R]) -> R:
    with span:
        return await read


for _name in dir(Client):
    _method = getattr(Client, _name)
    if not _name.startswith("_") and _name != "append" and iscoroutinefunction(_method):
        setattr(TracedClient, _name, _traced(_method))
