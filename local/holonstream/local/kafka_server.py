"""Apache Kafka as one KRaft node: broker and controller in one process."""

from __future__ import annotations

import base64
import subprocess
import uuid
from pathlib import Path

from holonstream.local import jars
from holonstream.local.errors import LocalStackError
from holonstream.local.install import JAVA
from holonstream.local.ports import LOOPBACK
from holonstream.local.process import Command
from holonstream.local.server import Server

_LOGGING = Path(__file__).with_name("kafka.log4j2.properties")

# A single node cannot replicate; few internal partitions and no rebalance delay make it start and join fast. After a
# crash the controller refuses the broker until its last session has expired: 4 s instead of 9.
_SETTINGS = """\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@{host}:{controller}
controller.listener.names=CONTROLLER
listeners=PLAINTEXT://{host}:{broker},CONTROLLER://{host}:{controller}
advertised.listeners=PLAINTEXT://{host}:{broker}
log.dirs={logs}
log.retention.ms=-1
auto.create.topics.enable=false
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.num.partitions=4
transaction.state.log.min.isr=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.num.partitions=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
broker.session.timeout.ms=4000
broker.heartbeat.interval.ms=1000
"""


class KafkaServer(Server):
    """Kafka, without authentication, on loopback."""

    name = "kafka"
    needs = (JAVA,)
    jars = True

    @classmethod
    def port_names(cls) -> tuple[str, ...]:
        """The broker's port, and the controller's."""
        return ("kafka", "kafka-controller")

    def env(self) -> dict[str, str]:
        """The bootstrap address."""
        return {"HOLONSTREAM_KAFKA_BOOTSTRAP": f"{LOOPBACK}:{self.port}"}

    def prepare(self) -> None:
        """Write the configuration and, the first time, format the storage."""
        logs = self.home / "data"
        self._config.write_text(
            _SETTINGS.format(
                host=LOOPBACK, broker=self.port, controller=self.ports["kafka-controller"], logs=logs.resolve()
            )
        )
        if (logs / "meta.properties").exists():
            return
        arguments = ["format", "--ignore-formatted", "-t", _cluster_id(), "-c", str(self._config.resolve())]
        done = subprocess.run(
            self._java("kafka.tools.StorageTool", *arguments, heap="256m"),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise LocalStackError(f"kafka cannot format {logs}: {(done.stderr or done.stdout).strip()}")

    def command(self) -> Command:
        """The broker, with a heap of at most 1 GiB."""
        return Command(self._java("kafka.Kafka", str(self._config.resolve()), heap="1g"), cwd=self.home)

    def probe(self) -> str:
        """Fetch the cluster's metadata and see that the broker is in it."""
        from confluent_kafka.admin import AdminClient

        client = AdminClient({"bootstrap.servers": f"{LOOPBACK}:{self.port}", "log_level": 0})
        if not client.list_topics(timeout=2).brokers:
            raise LocalStackError("kafka has no broker yet")
        return jars.version("kafka")

    @property
    def _config(self) -> Path:
        return self.home / "server.properties"

    def _java(self, main: str, *arguments: str, heap: str) -> list[str]:
        return [
            *("java", f"-Xmx{heap}", "-XX:+ExitOnOutOfMemoryError", f"-Dlog4j2.configurationFile={_LOGGING}"),
            *("-cp", f"{jars.folder('kafka')}/*", main, *arguments),
        ]


def _cluster_id() -> str:
    # What StorageTool random-uuid would print, without a JVM. A leading dash would be read as an option.
    while (text := base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")).startswith("-"):
        pass
    return text
