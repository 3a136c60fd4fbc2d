"""Redis from the system's packages, as a cache: bounded memory, nothing on disk."""

from __future__ import annotations

from holonstream.local.install import REDIS
from holonstream.local.ports import LOOPBACK
from holonstream.local.process import Command
from holonstream.local.server import Server


class RedisServer(Server):
    """Redis on loopback. Its content is gone after a stop, as with any cache."""

    name = "redis"
    needs = (REDIS,)

    def env(self) -> dict[str, str]:
        """The URL of database 0."""
        return {"HOLONSTREAM_REDIS_URL": f"redis://{LOOPBACK}:{self.port}/0"}

    def prepare(self) -> None:
        """Redis needs no files."""

    def command(self) -> Command:
        """The server in the foreground."""
        settings = {
            "bind": LOOPBACK,
            "port": str(self.port),
            "daemonize": "no",
            "save": "",
            "appendonly": "no",
            "maxmemory": "256mb",
            "maxmemory-policy": "volatile-ttl",
        }
        options = [argument for name, value in settings.items() for argument in (f"--{name}", value)]
        return Command(["redis-server", *options], cwd=self.home)

    def probe(self) -> str:
        """Ask for its version."""
        import redis
        from redis.backoff import NoBackoff
        from redis.retry import Retry

        once = Retry(NoBackoff(), 0)
        with redis.Redis(port=self.port, socket_timeout=2, socket_connect_timeout=2, retry=once) as client:
            return str(client.info("server")["redis_version"])
