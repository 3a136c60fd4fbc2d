"""Redis as the cache sees it: connecting, running scripts, and the one place where its errors become ours."""

from __future__ import annotations

import hashlib
import ssl
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from copy import copy
from importlib import resources
from pathlib import Path
from typing import Any

import structlog
from redis import exceptions
from redis.asyncio import Redis
from redis.asyncio.connection import SSLConnection
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel, SentinelConnectionPool
from redis.backoff import NoBackoff
from redis.maint_notifications import MaintNotificationsConfig

from holonstream.schemas.errors import NotInitialised
from holonstream.sinks.cache.address import is_sentinel, parse_sentinel
from holonstream.sinks.errors import CacheUnavailable

log = structlog.get_logger(__name__)

_POLICY = "volatile-ttl"
WANTED = f"save '', appendonly no, maxmemory-policy {_POLICY}"


class UnsafeRedis(NotInitialised):
    """This Redis is set up so that the cache could not work, or would lose tombstones before values."""


def connect(
    url: str,
    *,
    timeout: float,
    connections: int = 32,
    password: str | None = None,
    sentinel_password: str | None = None,
    ca: Path | None = None,
) -> Redis:
    """A client that does not retry: `timeout`, in seconds, bounds connecting and every reply.

    `url` is of a Redis, or of its Sentinels (`sinks.cache.address`): then each new connection asks them for the master.
    `password` is for a `url` that has none. `ca` is the file of authorities trusted instead of the system's, with TLS.

    Short for readers (50 ms: the graph answers instead), long for the sink (5 s: its scripts take up to 1,000 keys).
    """
    common: dict[str, Any] = {
        "socket_timeout": timeout,
        "socket_connect_timeout": timeout,
        # Left on, the pool hands out connections that a restart of Redis has closed: the first command on each fails.
        "maint_notifications_config": MaintNotificationsConfig(enabled=False),
    }
    if ca is not None and url.startswith("rediss"):
        common["ssl_ca_certs"] = str(ca)
    own: dict[str, Any] = {"max_connections": connections, "password": password}
    if not is_sentinel(url):
        single = Redis.from_url(url, retry=Retry(NoBackoff(), 0), **common, **own)
        _read_files_again(single.connection_pool)
        return single
    address = parse_sentinel(url)
    if address.tls:
        common["ssl"] = True
    asking = {**common, "retry": Retry(NoBackoff(), 0), "password": sentinel_password}
    sentinel = _Sentinels(address.hosts, sentinel_kwargs=asking)  # type: ignore[no-untyped-call]
    own |= {"username": address.user, "password": address.password or password, "db": address.database}
    client: Redis = sentinel.master_for(
        address.service,
        connection_pool_class=_SentinelPool,
        retry=Retry(NoBackoff(), 0),
        **common,
        **own,
    )
    for one in (client, *sentinel.sentinels):
        _read_files_again(one.connection_pool)
    return client


class _RenewedConnection(SSLConnection):
    """Reads the files of certificates when it is opened again, and trusts the authorities of its file alone.

    redis-py keeps what a connection has read once, and trusts the system's authorities, too.
    """

    def _connection_arguments(self) -> Any:
        wanted: Any = self.ssl_context
        if wanted.ca_certs is None and wanted.certfile is None:
            return super()._connection_arguments()
        made = ssl.create_default_context(cafile=wanted.ca_certs)
        made.check_hostname = wanted.check_hostname
        made.verify_mode = wanted.cert_reqs
        if wanted.certfile is not None:
            made.load_cert_chain(wanted.certfile, wanted.keyfile, password="")
        wanted.context = made
        return super()._connection_arguments()


def _read_files_again(pool: Any) -> None:
    """Have a pool's connections with TLS follow certificates that are renewed."""
    kind = pool.connection_class
    if issubclass(kind, SSLConnection):
        pool.connection_class = type(kind.__name__, (_RenewedConnection, kind), {})


class _Sentinels(Sentinel):
    """Keeps every Sentinel, however many connections ask for the master at once.

    redis-py moves the Sentinel that has answered to the front. Of two that ask while the first Sentinel is down, the
    later one then writes its Sentinel over another, which is never asked again, nor closed.
    """

    async def discover_master(self, service_name: str) -> Any:
        """Address and port of the master. Raises MasterNotFoundError."""
        asking = copy(self)
        asking.sentinels = list(self.sentinels)  # an order of its own
        found = await Sentinel.discover_master(asking, service_name)
        self.sentinels = asking.sentinels
        return found


class _SentinelPool(SentinelConnectionPool):
    """Closes the connections to the Sentinels with its own."""

    async def disconnect(self, inuse_connections: bool = True) -> None:
        await super().disconnect(inuse_connections)
        if inuse_connections:
            for sentinel in self.sentinel_manager.sentinels:
                await sentinel.connection_pool.disconnect()


@contextmanager
def redis_errors(doing: str) -> Iterator[None]:
    """Turn every error of Redis into CacheUnavailable: a reader asks the graph instead, a worker waits.

    Memory, rights, a replica, a renamed command, a server that is no Redis: whatever it is, an operator can change it.
    """
    try:
        yield
    except exceptions.ResponseError as error:
        code = (
            error.status_code
        )  # the reply's first word, which redis-py takes out of the message if it has a class for it
        raise CacheUnavailable(f"Redis refuses while {doing}: {f'{code} ' if code else ''}{error}") from error
    except (exceptions.RedisError, OSError) as error:
        raise CacheUnavailable(f"Redis unavailable while {doing}: {error}") from error


Call = tuple[list[str], list[str | int]]
"""A script's keys and arguments."""


class Script:
    """A Lua script of the folder ``lua/``; one that writes begins with ``common.lua``."""

    def __init__(self, name: str, *, writes: bool = True) -> None:
        folder = resources.files("holonstream.sinks.cache") / "lua"
        common = (folder / "common.lua").read_text() if writes else ""
        self.text = common + (folder / f"{name}.lua").read_text()
        self._sha = hashlib.sha1(self.text.encode(), usedforsecurity=False).hexdigest()

    async def run(self, client: Redis, keys: list[str], *args: str | bytes | int) -> Any:
        """Run it by its digest, with its text when the server does not know it (the first time, after a restart).

        On a connection of the pool, without what `client` wraps around a command: that takes as long as the script. A
        connection to a replica is closed: when it is opened again, its address may lead to the new master.
        """
        connection = await client.connection_pool.get_connection()  # type: ignore[no-untyped-call]
        try:
            try:
                await connection.send_command("EVALSHA", self._sha, len(keys), *keys, *args)
                return await connection.read_response()
            except exceptions.NoScriptError:
                await connection.send_command("EVAL", self.text, len(keys), *keys, *args)
                return await connection.read_response()
        except exceptions.ReadOnlyError:
            await connection.disconnect()
            raise
        finally:
            await client.connection_pool.release(connection)

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
        if any(isinstance(answer, exceptions.ReadOnlyError) for answer in answers):
            await client.connection_pool.disconnect(inuse_connections=False)
        return answers


async def check_server(client: Redis, *, logs: bool = True) -> list[str]:
    """Refuse a Redis that is a cluster, or that evicts other than values first. Warn of one that persists.

    Where CONFIG is forbidden (managed Redis) it warns, too. Returns the warnings, and logs them unless `logs` is False.
    Raises UnsafeRedis, naming the setting, or CacheUnavailable.
    """
    with redis_errors("reading its settings"):
        if (await client.info("cluster")).get("cluster_enabled"):
            raise UnsafeRedis(
                "This Redis is a cluster (cluster-enabled yes), and a script needs keys of many of its slots: "
                "use one master, with replicas and Sentinel if it must fail over (docs/cache.md)"
            )
        settings: dict[str, str] = {}
        try:
            for name in ("save", "appendonly", "maxmemory", "maxmemory-policy"):
                settings |= {_text(k): _text(v) for k, v in (await client.config_get(name)).items()}
        except exceptions.ResponseError as error:  # no right, or CONFIG is renamed
            if not isinstance(error, exceptions.NoPermissionError) and not str(error).startswith("unknown command"):
                raise
            if logs:
                log.warning("cache.settings.unchecked", reason=str(error), wanted=WANTED)
            return [f"not checked ({error})"]
    persists = [
        f"{name} {settings[name]}"
        for name, off in (("save", ""), ("appendonly", "no"))
        if settings.get(name, off) != off
    ]
    for setting in persists if logs else ():
        log.warning("cache.settings.persists", setting=setting, wanted=WANTED)
    if int(settings.get("maxmemory", 0)) > 0 and settings.get("maxmemory-policy") != _POLICY:
        raise UnsafeRedis(
            f"Redis has maxmemory {settings['maxmemory']} with policy {settings['maxmemory-policy']!r}: "
            f"set maxmemory-policy {_POLICY}, so that values are evicted before tombstones"
        )
    return [f"{setting}: what is saved counts as absent after a restart" for setting in persists]


def _text(value: str | bytes | None) -> str:
    return value.decode() if isinstance(value, bytes) else value or ""
