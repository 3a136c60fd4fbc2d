"""Who may ask the console, and what a browser may do with its answers.

On a loopback address everybody on the machine may. On any other the server refuses to start without a token or a
reverse proxy's header. A token comes as ``Authorization: Bearer``, or as the password of HTTP Basic, which browsers ask
for by themselves. The header of a proxy counts only on connections from that proxy.

Browsers carry requests of foreign pages too. So the ``Host`` must be an address, localhost or a name in the settings
(DNS rebinding), an ``Origin`` must be our own, and the answers may be neither framed nor mixed with anything foreign.
"""

from __future__ import annotations

import base64
import binascii
import hmac
from collections.abc import MutableMapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Any
from urllib.parse import urlsplit

from starlette.types import ASGIApp, Receive, Scope, Send

from holonstream.ops.console.problems import problem
from holonstream.ops.settings import Settings
from holonstream.schemas.errors import HolonstreamError

LEAST_TOKEN = 16  # characters
CHALLENGE = 'Basic realm="holonstream console, any user, the token as password", charset="UTF-8", Bearer'
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


class UnsafeConsole(HolonstreamError):
    """The settings would open the console to callers who need not log in."""


@dataclass(frozen=True, slots=True)
class Login:
    """What a caller must show; nothing when both are None."""

    token: str | None
    user_header: str | None
    proxies: tuple[IPv4Network | IPv6Network, ...]
    names: frozenset[str]

    @classmethod
    def of(cls, settings: Settings) -> Login:
        """The login that the settings ask for. Raises UnsafeConsole."""
        token = settings.console_token.reveal() if settings.console_token else None
        if token is not None and len(token) < LEAST_TOKEN:
            raise UnsafeConsole(f"HOLONSTREAM_CONSOLE_TOKEN is too short: {LEAST_TOKEN} characters at least")
        if token is None and settings.console_user_header is None and not _is_loopback(settings.console_host):
            raise UnsafeConsole(
                f"The console would be open to everybody on {settings.console_host}: set HOLONSTREAM_CONSOLE_TOKEN, or "
                "HOLONSTREAM_CONSOLE_USER_HEADER behind a reverse proxy, or listen on 127.0.0.1 (docs/console.md)"
            )
        try:
            proxies = tuple(ip_network(part, strict=False) for part in _parts(settings.console_proxies))
        except ValueError as error:
            raise UnsafeConsole(f"HOLONSTREAM_CONSOLE_PROXIES: {error}") from None
        names = frozenset(name.lower() for name in _parts(settings.console_names))
        return cls(token, settings.console_user_header, proxies, names)

    def knows_host(self, host: str) -> bool:
        """Whether a ``Host`` header names this server, and not a name that a foreign page made lead here."""
        try:
            name = (urlsplit(f"//{host}").hostname or "").rstrip(".").lower()
        except ValueError:
            return False
        return name == "localhost" or name in self.names or _is_address(name)

    def admits(self, authorization: str, user: str | None, peer: str | None) -> bool:
        """Whether a caller has shown what is asked for."""
        if self.token is None and self.user_header is None:
            return True
        if self.user_header is not None and user and self._is_proxy(peer):
            return True
        return self.token is not None and hmac.compare_digest(_secret(authorization), self.token.encode())

    def _is_proxy(self, peer: str | None) -> bool:
        return peer is not None and _is_address(peer) and any(ip_address(peer) in network for network in self.proxies)


def _secret(authorization: str) -> bytes:
    """The token in an Authorization header; empty when there is none."""
    scheme, _, value = authorization.partition(" ")
    if scheme.lower() == "bearer":
        return value.strip().encode("latin-1", "replace")
    if scheme.lower() == "basic":
        try:
            return base64.b64decode(value.strip(), validate=True).partition(b":")[2]
        except (binascii.Error, ValueError):
            return b""
    return b""


class AccessMiddleware:
    """Refuses callers who may not ask, and sends the headers that bind a browser with every answer."""

    def __init__(self, app: ASGIApp, login: Login) -> None:
        self._app, self._login = app, login

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self._app(scope, receive, send)
            else:  # no websocket is served
                await send({"type": "websocket.close", "code": 1008})
            return

        async def guarded(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                headers = message.setdefault("headers", [])
                present = {name.lower() for name, _ in headers}
                headers += [(n.encode(), v.encode()) for n, v in HEADERS.items()]
                if b"cache-control" not in present:
                    keep = b"no-cache" if scope["path"].startswith("/static/") else b"no-store"
                    headers.append((b"cache-control", keep))
            await send(message)

        refused = self._refusal(scope)
        await (self._app if refused is None else refused)(scope, receive, guarded)

    def _refusal(self, scope: Scope) -> ASGIApp | None:
        given: dict[str, list[str]] = {}
        for name, value in scope["headers"]:
            given.setdefault(name.decode("latin-1").lower(), []).append(value.decode("latin-1"))
        hosts = given.get("host", [])
        if len(hosts) != 1 or not self._login.knows_host(hosts[0]):
            return problem(421, "Misdirected", "This host name is not in HOLONSTREAM_CONSOLE_NAMES")
        for origin in given.get("origin", []):
            if not _is_origin(origin, hosts[0]):
                return problem(403, "Foreign origin", "Pages of other origins may not ask")
        header = (self._login.user_header or "").lower()
        users = given.get(header, [])
        peer = scope["client"][0] if scope.get("client") else None
        shown = given.get("authorization", [])
        if not self._login.admits(_only(shown) or "", _only(users), peer):
            challenge = {"WWW-Authenticate": CHALLENGE} if self._login.token is not None else {}
            return problem(401, "Login needed", "Give the console's token (docs/console.md)", headers=challenge)
        return None


def _parts(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _only(values: Sequence[str]) -> str | None:
    """The value of a header; None when it comes twice, for a proxy may have checked the other one."""
    return values[0] if len(values) == 1 else None


def _is_origin(origin: str, host: str) -> bool:
    """Whether an ``Origin`` is a page of this server."""
    try:
        return urlsplit(origin).netloc.lower() == host.lower()
    except ValueError:
        return False


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def _is_loopback(host: str) -> bool:
    return host == "localhost" or (_is_address(host) and ip_address(host).is_loopback)
