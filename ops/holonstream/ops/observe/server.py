"""`/metrics`, `/livez` and `/readyz`, served by a daemon thread."""

from __future__ import annotations

import sys
import threading
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socket import AF_INET, AF_INET6
from typing import Any, Self

import structlog
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from holonstream.ops.observe.health import Health
from holonstream.schemas.errors import HolonstreamError
from holonstream.schemas.incident import incident

log = structlog.get_logger(__name__)

REQUEST_TIMEOUT = 10.0  # seconds that a client may take to ask


class CannotServe(HolonstreamError):
    """The address for metrics and health cannot be listened on."""


class MetricsServer:
    """Listens from `__enter__` to `__exit__`. Raises CannotServe when the address is taken or not ours."""

    def __init__(self, host: str, port: int, registry: CollectorRegistry, health: Health) -> None:
        class Handler(_Handler):
            pass

        class Server(ThreadingHTTPServer):
            address_family = AF_INET6 if ":" in host else AF_INET
            daemon_threads = True

            def handle_error(self, request: Any, client_address: Any) -> None:
                """Nothing when a client left early. The default prints a traceback, outside the log's format."""
                error = sys.exc_info()[1]
                if error is not None and not isinstance(error, OSError):
                    log.error("metrics.request_failed", **incident(error))

        Handler.registry, Handler.health = registry, health
        try:
            self._server = Server((host, port), Handler)
        except OSError as error:
            raise CannotServe(f"Cannot serve metrics on {host}:{port}: {error.strerror}") from error
        self.port = int(self._server.server_address[1])

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, name="holonstream-metrics", daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


class _Handler(BaseHTTPRequestHandler):
    registry: CollectorRegistry
    health: Health
    timeout = REQUEST_TIMEOUT

    def do_GET(self) -> None:
        match self.path.partition("?")[0]:
            case "/metrics":
                encode, content_type = choose_encoder(self.headers.get("Accept", ""))
                self._answer(HTTPStatus.OK, encode(self.registry), content_type)
            case "/livez":
                self._tell(self.health.dead(), "alive")
            case "/readyz":
                self._tell(self.health.unready(), "ready")
            case _:
                self._answer(HTTPStatus.NOT_FOUND, b"There are /metrics, /livez and /readyz.\n")

    do_HEAD = do_GET

    def _tell(self, reason: str | None, good: str) -> None:
        status = HTTPStatus.OK if reason is None else HTTPStatus.SERVICE_UNAVAILABLE
        self._answer(status, f"{good if reason is None else f'not {good}: {reason}'}\n".encode())

    def _answer(self, status: HTTPStatus, body: bytes, content_type: str = "text/plain; charset=utf-8") -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Scrapes are no incidents."""
