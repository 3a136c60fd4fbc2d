"""Redis as the cache sees it: connecting, running scripts, and the one place where its errors become ours."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import resources
from pathlib import Path
from typing import Any, cast

import structlog
from redis import exceptions
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.maint_notifications import MaintNotificationsConfig

from holonstream.schemas.errors import NotInitialised
from holonstream.sinks.errors import CacheUnavailable

log = structlog.get_logger(__name__)

_POLICY = "volatile-ttl"
# Replies by which a reachable Redis says "not now", or "not with these rights": an operator can change that.
_TRANSIENT = (
    "OOM", "LOADING", "READONLY", "MASTERDOWN", "BUSY", "TRYAGAIN", "CLUSTERDOWN", "NOREPLICAS", "MISCONF",
    "NOPERM", "NOAUTH", "WRONGPASS",
)  # fmt: skip


class UnsafeRedis(NotInitialised):
    """This Redis is set up so that the cache could go stale or lose tombstones before values."""


def connect(
    url: str, *, timeout: float, connections: int = 32, password: str | None = None, ca: Path | None = None
) -> Redis:
    """A client that does not retry: `timeout`, in seconds, bounds connecting and every reply.

    `password` is for a `url` that has none. `ca` is the file of authorities trusted instead of the system's, for
    ``rediss://``.

    Short for readers (50 ms: the graph answers instead), long for the sink (5 s: its scripts take up to 1,000 keys).
    """
    options: dict[str, Any] = {}
    if password is not None:
        options["password"] = password
    if ca is not None and url.startswith("rediss:"):
        options["ssl_ca_certs"] = str(ca)
    return Redis.from_url(
        url,
        socket_timeout=timeout,
        socket_connect_timeout=timeout,
        retry=Retry(NoBackoff(), 0),
        max_connections=connections,
        # Left on, the pool hands out connections that a restart of Redis has closed: the first command on each fails.
        maint_notifications_config=MaintNotificationsConfig(enabled=False),
        **options,
    )


@contextmanager
def redis_errors(doing: str) -> Iterator[None]:
    """Turn what may pass into CacheUnavailable; everything else is a bug and passes."""
    try:
        yield
    except (exceptions.ConnectionError, exceptions.TimeoutError, OSError) as error:
        raise CacheUnavailable(f"Redis unavailable while {doing}: {error}") from error
    except exceptions.ResponseError as error:
        if _code(error) not in _TRANSIENT:
            raise
        raise CacheUnavailable(f"Redis refuses while {doing}: {_code(error)} {error}") from error


@contextmanager
def reader_errors(doing: str) -> Iterator[None]:
    """Turn every error of Redis into CacheUnavailable: after any of them a reader can ask the graph instead."""
    try:
        with redis_errors(doing):
            yield
    except exceptions.RedisError as error:
        raise CacheUnavailable(f"Redis fails while {doing}: {error}") from error


def _code(error: exceptions.RedisError) -> str:
    """The reply's first word, which redis-py takes out of the message when it has a class for it."""
    return error.status_code or str(error).split(" ", 1)[0]


Call = tuple[list[str], list[str | int]]
"""A script's keys and arguments."""


async def get(client: Redis, key: str) -> bytes | None:
    """The string at a key; None when the key is absent, or of another type."""
    try:
        return cast("bytes | None", await client.get(key))
    except exceptions.ResponseError as error:
        if _code(error) != "WRONGTYPE":
            raise
        return None


class Script:
    """A Lua script of the folder ``lua/``, which begins with ``common.lua``."""

    def __init__(self, name: str) -> None:
        folder = resources.files("holonstream.sinks.cache") / "lua"
        self.text = (folder / "common.lua").read_text() + (folder / f"{name}.lua").read_text()
        self._sha = hashlib.sha1(self.text.encode(), usedforsecurity=False).hexdigest()

    async def run(self, client: Redis, keys: list[str], *args: str | bytes | int) -> Any:
        """Run it by its digest, with its text when the server does not know it (the first time, after a restart)."""
        try:
            return await client.evalsha(self._sha, len(keys), *keys, *args)
        except exceptions.NoScriptError:
            return await client.eval(self.text, len(keys), *keys, *args)

    async def run_each(self, client: Redis, calls: Sequence[Call]) -> list[Any]:
        """Run it for each of the calls, all in one round trip; their answers, errors of Redis among them.

        Each call takes effect by itself.
        """
        async with client.pipeline(transaction=False) as pipeline:
            for keys, args in calls:
                pipeline.evalsha(self._sha, len(keys), *keys, *args)
            answers = await pipeline.execute(raise_on_error=False)
        for number, (keys, args) in enumerate(calls):
            if isinstance(answers[number], exceptions.NoScriptError):
                answers[number] = await self.run(client, keys, *args)
        return answers


async def check_server(client: Redis) -> None:
    """Refuse a Redis that would bring old entries back after a restart, or evict other than values first.

    Raises UnsafeRedis, naming the setting, or CacheUnavailable. Where CONFIG is forbidden (managed Redis) it warns.
    """
    with redis_errors("reading its settings"):
        try:
            settings: dict[str, str] = {}
            for name in ("save", "appendonly", "maxmemory", "maxmemory-policy"):
                settings |= {_text(k): _text(v) for k, v in (await client.config_get(name)).items()}
        except exceptions.ResponseError as error:
            if _code(error) in _TRANSIENT and not isinstance(error, exceptions.NoPermissionError):
                raise
            log.warning("cache.settings.unchecked", reason=str(error), wanted=f"no persistence, {_POLICY}")
            return
    persistent = [
        f"{name} {settings[name]!r}" for name, off in (("save", ""), ("appendonly", "no")) if settings[name] != off
    ]
    if persistent:
        raise UnsafeRedis(
            f"Redis persists ({', '.join(persistent)}): a restart could bring back old values. "
            "Run it with `save ''` and `appendonly no`"
        )
    if int(settings["maxmemory"]) > 0 and settings["maxmemory-policy"] != _POLICY:
        raise UnsafeRedis(
            f"Redis has maxmemory {settings['maxmemory']} with policy {settings['maxmemory-policy']!r}: "
            f"set maxmemory-policy {_POLICY}, so that values are evicted before tombstones"
        )


def _text(value: str | bytes | None) -> str:
    return value.decode() if isinstance(value, bytes) else value or ""
