"""Addresses of the cache: a Redis, or the Sentinels that know which Redis is the master.

    redis://[user:password@]host[:port][/database][?option=value]           rediss:// with TLS
    redis+sentinel://[user:password@]host[:port][,host[:port]]/service[/database]      rediss+sentinel:// with TLS

User and password are for Redis in both forms.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import parse_qsl, unquote, urlsplit

SENTINEL_PORT = 26_379
_NUMBER = r"[0-9]+(\.[0-9]+)?"
_TRUTH = "(?i:true|false|yes|no|1|0)"
_OPTIONS = {
    "db": "[0-9]+",
    "protocol": "[23]",
    "client_name": r"\S+",
    "max_connections": "[1-9][0-9]*",
    "health_check_interval": _NUMBER,
    "socket_timeout": _NUMBER,
    "socket_connect_timeout": _NUMBER,
    "socket_keepalive": _TRUTH,
}
_TLS_OPTIONS = {
    "ssl_ca_certs": ".+",
    "ssl_certfile": ".+",
    "ssl_keyfile": ".+",
    "ssl_cert_reqs": "none|optional|required",
    "ssl_check_hostname": _TRUTH,
}


@dataclass(frozen=True, slots=True)
class SentinelAddress:
    """Where the Sentinels are, and which master they are asked for."""

    hosts: tuple[tuple[str, int], ...]
    service: str
    database: int
    user: str | None
    password: str | None
    tls: bool


def check_address(url: str) -> None:
    """Raise ValueError, which quotes no password, unless `connect` understands the address."""
    if is_sentinel(url):
        parse_sentinel(url)
        return
    try:
        parts = urlsplit(url)
        readable = parts.scheme in ("redis", "rediss") and bool(parts.hostname) and (parts.port or 1) > 0
        readable = readable and "@" not in parts.path + parts.query + parts.fragment  # the end of a password with "/?#"
    except ValueError:  # whose text quotes the address
        readable = False
    if not readable:
        raise ValueError("is no address redis:// or rediss://host:port, nor one of Sentinels")
    if not re.fullmatch("/?[0-9]*", parts.path):
        raise ValueError("must end with the number of a database, like /0, or with none")
    known = _OPTIONS | (_TLS_OPTIONS if parts.scheme == "rediss" else {})
    for name, value in parse_qsl(parts.query, keep_blank_values=True):
        if name not in known:
            raise ValueError(f"has an option {name!r}; known are {', '.join(sorted(known))}")
        if not re.fullmatch(known[name], value):
            raise ValueError(f"has an option {name} with a value that it cannot have")


def is_sentinel(url: str) -> bool:
    """Whether the address is one of Sentinels."""
    return url.partition("://")[0] in ("redis+sentinel", "rediss+sentinel")


def parse_sentinel(url: str) -> SentinelAddress:
    """Read an address of Sentinels. Raises ValueError, which quotes no password."""
    scheme, _, rest = url.partition("://")
    login, _, place = rest.rpartition("@")
    hosts, *path = place.split("/")
    found = [re.fullmatch(r"([^\s:\[\]]+|\[[0-9a-fA-F:.]+\])(?::([0-9]{1,5}))?", host) for host in hosts.split(",")]
    if None in found or len(path) not in (1, 2) or not path[0] or re.search("[/?#@]", login + place.replace("/", "")):
        raise ValueError(f"is no address {scheme}://host:port,host:port/service or .../service/database")
    if not re.fullmatch("[0-9]*", database := path[1] if len(path) == 2 else ""):
        raise ValueError("must end with the number of a database, like /0, or with none")
    user, _, password = login.partition(":")
    return SentinelAddress(
        tuple((match[1].strip("[]"), int(match[2] or SENTINEL_PORT)) for match in found if match),
        unquote(path[0]),
        int(database or 0),
        unquote(user) or None,
        unquote(password) or None,
        scheme.startswith("rediss"),
    )
