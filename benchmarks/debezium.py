"""The rival of the relay: Debezium's PostgreSQL connector with its outbox router, in Kafka Connect.

Connect runs in distributed mode, as it does in production. The settings are what is usual for throughput: batches of
8,192, a poll every 10 ms, lz4, a linger of 5 ms. With `exactly_once` both the worker and the connector ask for it, so
that each poll of the connector is one Kafka transaction.
"""

from __future__ import annotations

import json
import subprocess
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from holonstream.local import jars, ports
from holonstream.local.install import JAVA, MAVEN, require
from holonstream.ops.processes import Guard

POM = Path(__file__).with_name("debezium.pom.xml")
START_TIMEOUT = 300.0  # seconds
HEAP = "512m"

# A table for each connector: a slot gets all that is written to its table, also while the connector is stopped.
TABLE = sql.SQL(
    """
    CREATE TABLE IF NOT EXISTS {table} (
        id            uuid PRIMARY KEY,
        aggregatetype text NOT NULL,
        aggregateid   text NOT NULL,
        type          text NOT NULL,
        payload       text NOT NULL)
    """
)

_pause = threading.Event()  # never set: waits


class Debezium:
    """A Connect worker with one connector. Up inside a `with`; the connector is stopped until `resume`."""

    def __init__(self, dsn: str, bootstrap: str, topic: str, folder: Path, *, exactly_once: bool) -> None:
        self.name = "debezium-eos" if exactly_once else "debezium"
        self.slot = self.table = self.name.replace("-", "_")
        self._dsn, self._bootstrap, self._topic, self._exactly_once = dsn, bootstrap, topic, exactly_once
        self._folder = folder / self.name
        self._folder.mkdir(parents=True)
        self._port = ports.choose([self.name])[self.name]

    @property
    def pid(self) -> int:
        """Of the worker."""
        return self._process.pid

    def __enter__(self) -> Self:
        with psycopg.connect(self._dsn, autocommit=True) as connection:
            connection.execute(TABLE.format(table=sql.Identifier(self.table)))
        require([JAVA, MAVEN], print)
        libs = jars.fetch("debezium", lambda line: None, POM)
        settings = self._folder / "worker.properties"
        settings.write_text("".join(f"{key}={value}\n" for key, value in self._worker().items()))
        log = (self._folder / "log").open("ab")
        main = "org.apache.kafka.connect.cli.ConnectDistributed"
        options = [f"-Xmx{HEAP}", "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn"]
        self._process = subprocess.Popen(
            ["java", *options, "-cp", f"{libs}/*", main, str(settings)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        self._guard = Guard()
        self._guard.watch(self._process.pid)
        try:
            self._await("the worker answers", lambda: self._ask("GET", "/") is not None)
            self._await("the connector is taken", self._register)
            self._await("the connector runs", self.running)
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.wait()
        self._guard.close()

    def stop(self) -> None:
        """Stop the connector, so that its slot keeps what is written from now on."""
        self._ask("PUT", f"/connectors/{self.name}/stop")
        self._await("the connector stands", lambda: not self._slot_is_active())

    def resume(self) -> None:
        """Let the connector run, and wait until it does."""
        self._ask("PUT", f"/connectors/{self.name}/resume")
        self._await("the connector runs", self.running)

    def running(self) -> bool:
        """Whether its task runs and streams."""
        status = self._ask("GET", f"/connectors/{self.name}/status")
        tasks = [task["state"] for task in status["tasks"]] if status else []
        if "FAILED" in tasks:
            raise RuntimeError(f"Debezium failed: {status}")
        return tasks == ["RUNNING"] and self._slot_is_active()

    def _slot_is_active(self) -> bool:
        with psycopg.connect(self._dsn, autocommit=True) as connection:
            row = connection.execute("SELECT active FROM pg_replication_slots WHERE slot_name = %s", [self.slot])
            return (row.fetchone() or (False,))[0] is True

    def _register(self) -> bool:
        return self._ask("POST", "/connectors", {"name": self.name, "config": self._connector()}) is not None

    def _await(self, what: str, holds: Any) -> None:
        until = time.monotonic() + START_TIMEOUT
        while not holds():
            if time.monotonic() > until or self._process.poll() is not None:
                tail = (self._folder / "log").read_text(errors="replace")[-2000:]
                raise RuntimeError(f"{self.name}: not so after {START_TIMEOUT:g} s: {what}\n{tail}")
            _pause.wait(0.2)

    def _ask(self, method: str, path: str, body: object = None) -> Any:
        """Connect's answer; None while it has none yet."""
        request = urllib.request.Request(
            f"http://127.0.0.1:{self._port}{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json"},
        )
        try:
            with urllib.request.urlopen(request, timeout=90) as answer:
                text = answer.read()
        except urllib.error.HTTPError as error:
            if error.code in (404, 409):  # not there yet; a rebalance is under way
                return None
            raise RuntimeError(f"{method} {path}: {error.read().decode()}") from error
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            return None
        return json.loads(text) if text else {}

    def _worker(self) -> dict[str, object]:
        text = "org.apache.kafka.connect.storage.StringConverter"
        return {
            "bootstrap.servers": self._bootstrap,
            "group.id": self.name,
            "listeners": f"http://127.0.0.1:{self._port}",
            "key.converter": text,
            "value.converter": text,
            "plugin.discovery": "hybrid_warn",
            "connector.client.config.override.policy": "All",
            "offset.flush.interval.ms": 5000,
            "exactly.once.source.support": "enabled" if self._exactly_once else "disabled",
            **{f"{kind}.storage.topic": f"{self.name}.{kind}" for kind in ("config", "offset", "status")},
            **{f"{kind}.storage.replication.factor": 1 for kind in ("config", "offset", "status")},
            "offset.storage.partitions": 1,
            "status.storage.partitions": 1,
        }

    def _connector(self) -> dict[str, object]:
        server = conninfo_to_dict(self._dsn)
        return {
            "connector.class": "io.debezium.connector.postgresql.PostgresConnector",
            "tasks.max": "1",
            "database.hostname": server["host"],
            "database.port": str(server["port"]),
            "database.user": server["user"],
            "database.password": str(server.get("password", "")) or "none",
            "database.dbname": server["dbname"],
            "topic.prefix": self.name,
            "plugin.name": "pgoutput",
            "slot.name": self.slot,
            "publication.name": self.slot,
            "publication.autocreate.mode": "filtered",
            "table.include.list": f"public.{self.table}",
            "snapshot.mode": "no_data",
            "tombstones.on.delete": "false",
            "poll.interval.ms": "10",
            "max.batch.size": "8192",
            "max.queue.size": "32768",
            "transforms": "outbox",
            "transforms.outbox.type": "io.debezium.transforms.outbox.EventRouter",
            "transforms.outbox.route.topic.replacement": self._topic,
            "producer.override.compression.type": "lz4",
            "producer.override.linger.ms": "5",
            "producer.override.batch.size": "1000000",
            **({"exactly.once.support": "required", "transaction.boundary": "poll"} if self._exactly_once else {}),
        }
