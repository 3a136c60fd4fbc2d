"""The servers of one run, with proxies before three of them."""

from __future__ import annotations

import re
import shutil
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic

from holonstream import local
from holonstream.local.temporary import temporary_stack
from holonstream.ops.commands.init import initialise
from holonstream.ops.settings import Settings
from holonstream.ops.topics import make_topics
from holonstream.producers.log.schema import apply_schema
from holonstream.schemas.catalogue import Catalogue
from tests.chaos.schedule import PROXIED
from tests.support.proxy import FaultProxy

NAMESPACE = "chaos"
PARTITIONS = 8
TROUBLE = 60.0  # seconds after an outage of the brokers in which their clients may still suffer from it
ADDRESS = {
    "postgres": "HOLONSTREAM_POSTGRES_DSN",
    "neo4j": "HOLONSTREAM_NEO4J_URI",
    "redis": "HOLONSTREAM_REDIS_URL",
}
ENVIRONMENT = {
    "HOLONSTREAM_NAMESPACE": NAMESPACE,
    "HOLONSTREAM_PARTITIONS": str(PARTITIONS),
    "HOLONSTREAM_SESSION_TIMEOUT": "4",
    "HOLONSTREAM_COMMIT_INTERVAL": "0.3",
    "HOLONSTREAM_BATCH_EVENTS": "500",
    "HOLONSTREAM_LOG_FORMAT": "json",
    "PYTHONWARNINGS": "default",
}


@dataclass
class World:
    """`direct` has the addresses of the servers, `proxied` those that lead through the proxies, for the processes."""

    stack: local.Stack
    proxies: dict[str, FaultProxy]
    direct: dict[str, str]
    proxied: dict[str, str]
    _brokers_hurt: list[float] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def settings(self) -> Settings:
        """The oracle's settings, which bypass the proxies."""
        return Settings.of(self.direct)

    @property
    def dsn(self) -> str:
        """The log's connection string, which bypasses the proxy."""
        return self.direct["HOLONSTREAM_POSTGRES_DSN"]

    def hurt_brokers(self) -> None:
        """Note that a fault of the brokers begins or ends now."""
        with self._lock:
            self._brokers_hurt.append(monotonic())

    def brokers_troubled(self) -> bool:
        """Whether clients of the brokers may suffer from a fault."""
        with self._lock:
            return any(monotonic() - at < TROUBLE for at in self._brokers_hurt)

    def keep_logs(self, folder: Path) -> None:
        """Copy the servers' logs."""
        shutil.copytree(self.stack.data_dir / "logs", folder, dirs_exist_ok=True)


@contextmanager
def world(variant: str | None, brokers: int = 1) -> Iterator[World]:
    """Servers that are up and initialised; for a variant of the relay only PostgreSQL and Kafka."""
    with ExitStack() as stack:
        services = local.SERVICES if variant is None else ("postgres", "kafka")
        servers = stack.enter_context(temporary_stack(services=services, brokers=brokers))
        direct = {**servers.env(), **ENVIRONMENT}
        proxied = dict(direct)
        proxies = {}
        for name in set(PROXIED) & set(services):
            address = direct[ADDRESS[name]]
            found = re.search(r":(\d+)(?=$|/\w*$)", address)
            assert found is not None, address
            proxy = proxies[name] = stack.enter_context(FaultProxy(int(found[1])))
            proxied[ADDRESS[name]] = address[: found.start(1)] + str(proxy.port) + address[found.end(1) :]
        made = World(servers, proxies, direct, proxied)
        if variant is None:
            initialise(made.settings)
        else:
            apply_schema(made.dsn, Catalogue.load())
            make_topics(made.settings)
        yield made
