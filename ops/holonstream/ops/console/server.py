"""The ASGI app of the console, and how it is served."""

from __future__ import annotations

import signal
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version
from types import FrameType
from typing import Any
from urllib.parse import unquote

import uvicorn
from fastapi import Depends, FastAPI, Request
from fastapi.openapi.utils import get_openapi
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Receive, Scope, Send

from holonstream.ops.console import api, pages
from holonstream.ops.console.access import AccessMiddleware, Login
from holonstream.ops.console.documents import Problem
from holonstream.ops.console.limits import LimitsMiddleware
from holonstream.ops.console.problems import MEDIA_TYPE, handle_errors, shown
from holonstream.ops.console.rendering import FOLDER
from holonstream.ops.console.services import services
from holonstream.ops.observe.server import CannotServe
from holonstream.ops.observe.traces import continuing
from holonstream.ops.settings import Settings
from holonstream.schemas.errors import BadData

CLOSING = 2  # seconds that open pages may take to leave when the server stops
SECURITY = {"token": {"type": "http", "scheme": "bearer"}, "browser": {"type": "http", "scheme": "basic"}}
PROBLEMS = {
    "400": "The request is not valid.",
    "401": "The token is missing or wrong.",
    "409": "The view has not reached the token, an event of the entity does not fit, or the log ends before `after`.",
    "503": "A server is down, or too much is asked at once.",
    "504": "It took too long.",
}


def make_app(settings: Settings) -> FastAPI:
    """The app. Raises UnsafeConsole."""
    login = Login.of(settings)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with services(settings) as opened:
            app.state.services = opened
            yield

    app = FastAPI(
        lifespan=lifespan,
        openapi_url="/api/v1/openapi.json",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        dependencies=[Depends(_utf8)],
    )
    app.include_router(api.router)
    app.include_router(pages.router)
    app.mount("/static", StaticFiles(directory=FOLDER / "static"))
    handle_errors(app)
    app.add_middleware(HeadMiddleware)
    app.add_middleware(LimitsMiddleware)
    app.add_middleware(AccessMiddleware, login=login)
    described: dict[str, Any] = {}

    def openapi() -> dict[str, Any]:
        if not described:
            described.update(describe(app))
        return described

    app.openapi = openapi  # type: ignore[method-assign]
    return app


async def _utf8(request: Request) -> None:
    """Refuse a query whose percent-escapes are no UTF-8. They would be read as U+FFFD, and different ids as one."""
    for parameter in request.scope["query_string"].decode("latin-1").split("&"):
        try:
            unquote(parameter, errors="strict")
        except UnicodeDecodeError:
            raise BadData(f"Percent-escapes that are not UTF-8: {shown(parameter)}") from None


class HeadMiddleware:
    """Answers HEAD as GET: the server leaves the body out. Not for what is endless."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] == "HEAD" and not scope["path"].endswith("/stream"):
            scope = {**scope, "method": "GET"}
        await self._app(scope, receive, send)


def describe(app: FastAPI) -> dict[str, Any]:
    """The OpenAPI document: what FastAPI makes, with our errors in place of its own."""
    document = get_openapi(
        title="holonstream",
        version=version("holonstream"),
        summary="The graph and the log, read-only.",
        routes=api.router.routes,
    )
    schemas = document["components"]["schemas"]
    for foreign in ("HTTPValidationError", "ValidationError"):
        schemas.pop(foreign, None)
    schemas["Problem"] = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
    document["components"]["securitySchemes"] = SECURITY
    document["security"] = [{}, *({name: []} for name in SECURITY)]
    for path, operations in document["paths"].items():
        for operation in operations.values():
            operation["responses"].pop("422", None)
            for parameter in operation.get("parameters", ()):
                parameter["schema"] = _without_null(parameter["schema"])
            found = dict(PROBLEMS)
            if path.endswith(("/holon", "/relationship", "/event")):
                found["404"] = "There is none; `reached` says up to which position of the log."
            for status, meaning in sorted(found.items()):
                content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
                operation["responses"][status] = {"description": meaning, "content": content}
    return document


def _without_null(schema: dict[str, Any]) -> dict[str, Any]:
    """An optional parameter's schema: it can be left out, and never be null."""
    kinds: list[dict[str, Any]] = [kind for kind in schema.get("anyOf", ()) if kind != {"type": "null"}]
    if len(kinds) != 1:
        return schema
    return {**{name: value for name, value in schema.items() if name != "anyOf"}, **kinds[0]}


def serve(settings: Settings, opened: socket.socket) -> None:
    """Serve on a listening socket until SIGTERM or SIGINT. Raises UnsafeConsole."""
    config = uvicorn.Config(
        continuing(make_app(settings)) if settings.traces else make_app(settings),
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=CLOSING,
        h11_max_incomplete_event_size=256 << 10,
        http="h11",
        ws="none",
    )
    server = uvicorn.Server(config)

    def stop(number: int, frame: FrameType | None) -> None:
        server.should_exit = True

    # uvicorn raises the signal again when it has ended, and what comes after it, as the last spans, would be lost.
    signal.signal(signal.SIGTERM, stop)
    server.run(sockets=[opened])


def listen(host: str, port: int) -> socket.socket:
    """A listening socket. Raises CannotServe when the address is taken or not ours."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # with the protocol named, or asyncio leaves Nagle on, which costs a caller 40 ms
    opened = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        opened.bind((host, port))
        opened.listen(1024)
    except OSError as error:
        opened.close()
        raise CannotServe(f"Cannot serve the console on {host}:{port}: {error.strerror}") from error
    return opened
