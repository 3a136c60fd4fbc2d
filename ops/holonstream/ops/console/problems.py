"""Errors as problem+json (RFC 9457). A type is ``urn:holonstream:`` and the name of the error's class."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from holonstream.ops.console.rendering import html
from holonstream.producers.errors import BeyondLog, UnreadableEvents
from holonstream.schemas import jsontext
from holonstream.schemas.errors import BadData, CannotApply, HolonstreamError, InvalidEvent, InvalidToken, Unavailable
from holonstream.schemas.incident import incident
from holonstream.sinks.errors import NotYetVisible
from holonstream.sinks.parked import NotParked

log = structlog.get_logger(__name__)

JSON = r"application/([\w.-]+\+)?json\b"
SHOWN = 80  # characters of a wrong value
MEDIA_TYPE = "application/problem+json"
RETRY = {"Retry-After": "1"}
STATUS: dict[type[HolonstreamError], int] = {
    NotYetVisible: 409,  # the view is behind the token: ask again, unless the stream is parked
    CannotApply: 409,  # an event of the entity does not fit
    UnreadableEvents: 409,
    BeyondLog: 409,  # the log is not the one that the follower knows
    NotParked: 404,
    InvalidToken: 400,
    InvalidEvent: 400,
    BadData: 400,
    Unavailable: 503,
}


class NotFound(HolonstreamError):
    """There is no such entity, as far as the view has come."""

    def __init__(self, what: str, reached: int | None = None) -> None:
        super().__init__(f"No such {what}")
        self.reached = reached
        """position up to which the answer holds"""


class Overloaded(Unavailable):
    """Too many requests are under way."""


def problem(
    status: int, title: str, detail: str, *, kind: str = "", headers: Mapping[str, str] | None = None, **more: Any
) -> Response:
    """A response that says what went wrong."""
    document: dict[str, Any] = {"type": f"urn:holonstream:{kind}" if kind else "about:blank", "title": title}
    document["status"] = status
    document |= {"detail": detail, **more}
    return Response(jsontext.encode(document), status, headers, MEDIA_TYPE)


def of_error(error: HolonstreamError) -> Response:
    """The response to an error of ours."""
    kind = type(error)
    status = next((code for known, code in STATUS.items() if isinstance(error, known)), 503)
    more: dict[str, Any] = {}
    if isinstance(error, NotFound):
        status, more = 404, {} if error.reached is None else {"reached": error.reached}
    if isinstance(error, NotYetVisible):
        more = {"stream": error.stream, "wanted": error.wanted, "reached": error.reached, "parked": error.parked}
    if isinstance(error, BeyondLog):
        more = {"reached": error.reached}
    if status == 503:
        log.warning("console.unavailable", **incident(error))
    name = re.sub(r"(?<!^)(?=[A-Z])", "-", kind.__name__).lower()
    return problem(status, title_of(error), str(error), kind=name, headers=RETRY if status == 503 else None, **more)


def title_of(error: HolonstreamError) -> str:
    """What kind of error it is, in words."""
    return (type(error).__doc__ or type(error).__name__).splitlines()[0].rstrip(".")


def described(fault: Mapping[str, Any]) -> str:
    """What is wrong with a parameter or a body, with the value where it is one."""
    given, where = fault.get("input"), ".".join(str(part) for part in fault["loc"])
    if not isinstance(given, str | int | float) or fault["type"] == "missing":
        return f"{where}: {fault['msg']}"
    return f"{where}: {shown(given)}: {fault['msg']}"


def shown(value: Any) -> str:
    """A wrong value in a message, cut when it is long."""
    text = repr(value)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}…"


def handle_errors(app: FastAPI) -> None:
    """Answer every error of an app's routes with a problem, or a page's with a page."""

    def explained(request: Request, status: int, title: str, detail: str, answer: Response) -> Response:
        if request.url.path.startswith("/api/"):
            return answer
        template = "error_part.html" if "hx-request" in request.headers else "error.html"
        return html(template, status, title=title, detail=detail)

    @app.exception_handler(HolonstreamError)
    async def ours(request: Request, error: HolonstreamError) -> Response:
        answer = of_error(error)
        return explained(request, answer.status_code, title_of(error), str(error), answer)

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> Response:
        detail, title = "; ".join(described(fault) for fault in error.errors()[:10]), "Invalid request"
        if detail.startswith("body: ") and not re.match(JSON, request.headers.get("content-type", ""), re.IGNORECASE):
            detail += ". A body is JSON, with the header Content-Type: application/json"
        return explained(request, 400, title, detail, problem(400, title, detail, kind="invalid-request"))

    @app.exception_handler(HTTPException)
    async def http(request: Request, error: HTTPException) -> Response:
        title = detail = str(error.detail)
        if error.status_code in {404, 405}:
            what = "No such path" if error.status_code == 404 else f"No {request.method} here"
            detail = f"{what}: {request.url.path[:SHOWN]!r}. /api/v1/openapi.json has all paths of the API"
        return explained(
            request, error.status_code, title, detail, problem(error.status_code, title, detail, headers=error.headers)
        )

    @app.exception_handler(Exception)
    async def bug(request: Request, error: Exception) -> Response:
        log.error("console.failed", **incident(error))
        title, detail = "Internal error", "The console's log says more"
        return explained(request, 500, title, detail, problem(500, title, detail))
