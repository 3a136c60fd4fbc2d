"""How many requests are under way, how long each may take, and how large it may be.

Requests beyond AT_ONCE wait, and are refused when too many do. An endless answer (`/stream`) counts against STREAMS
instead and has no time limit.
"""

from __future__ import annotations

import asyncio
from collections.abc import MutableMapping
from typing import Any

from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from holonstream.ops.console.problems import RETRY, Overloaded, of_error, problem

AT_ONCE = 32  # requests that ask the stores
WAITING = 1_000  # requests that wait for their turn
STREAMS = 2_000  # endless answers
SECONDS = 20.0  # for a request, waiting included
BODY = 64 << 10  # bytes of a request


class LimitsMiddleware:
    """Holds the limits; see the module's docstring."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._turns = asyncio.Semaphore(AT_ONCE)
        self._waiting = 0
        self._streams = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"].startswith("/static/"):
            await self._app(scope, receive, send)
        elif scope["path"].endswith("/stream"):
            await self._stream(scope, receive, send)
        else:
            await self._answer(scope, receive, send)

    async def _stream(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._streams >= STREAMS:
            await of_error(Overloaded(f"{STREAMS} streams are open"))(scope, receive, send)
            return
        self._streams += 1
        try:
            await self._app(scope, receive, send)
        finally:
            self._streams -= 1

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._waiting >= WAITING:
            await of_error(Overloaded(f"{WAITING} requests wait for an answer"))(scope, receive, send)
            return
        if refused := _body_fault(scope):
            await refused(scope, receive, send)
            return
        began = False

        async def noted(message: MutableMapping[str, Any]) -> None:
            nonlocal began
            began = True
            await send(message)

        self._waiting += 1
        waiting = True
        try:
            async with asyncio.timeout(SECONDS), self._turns:
                self._waiting -= 1
                waiting = False
                await self._app(scope, receive, noted)
        except TimeoutError:
            if not began:
                late = problem(504, "Too slow", f"No answer within {SECONDS:g} s: ask for less", headers=RETRY)
                await late(scope, receive, send)
        except Exception:
            if not began:
                raise
            # it was logged, and answered as far as it could be (`problems.handle_errors`)
        finally:
            if waiting:
                self._waiting -= 1


def _body_fault(scope: Scope) -> Response | None:
    """What to answer when a body is too large, or does not say how large it is."""
    headers = Headers(scope=scope)
    length = headers.get("content-length", "0")
    if "transfer-encoding" in headers or not length.isdecimal():
        return problem(411, "Length needed", "Say Content-Length")
    if int(length) > BODY:
        return problem(413, "Request too large", f"At most {BODY} bytes are taken")
    return None
