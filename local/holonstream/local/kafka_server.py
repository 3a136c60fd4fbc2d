"""Apache Kafka as KRaft nodes, one or three: each is broker and controller in one process."""

from __future__ import annotations

import base64
import os
import subprocess
import uuid
from pathlib import Path
from typing import ClassVar, Final

from holonstream.local import jars
from holonstream.local.errors import LocalStackError
from holonstream.local.java_server import JavaServer
from holonstream.local.ports import LOOPBACK
from holonstream.local.process import Command

_LOGGING = Path(__file__).with_name("kafka.log4j2.properties")

# Few internal partitions and no rebalance delay make it start and join fast. After a crash the controller refuses the
# broker until its last session has expired, and of three a lost one leads until then: 4 or 2 s instead of 9.
_SETTINGS = """\
process.roles=broker,controller
node.id={node}
controller.quorum.voters={voters}
controller.listener.names=CONTROLLER
listeners=PLAINTEXT://{host}:{broker},CONTROLLER://{host}:{controller}
advertised.listeners=PLAINTEXT://{host}:{broker}
log.dirs={logs}
log.retention.ms=-1
auto.create.topics.enable=false
default.replication.factor={replication}
min.insync.replicas={in_sync}
offsets.topic.replication.factor={replication}
offsets.topic.num.partitions=4
transaction.state.log.replication.factor={replication}
transaction.state.log.num.partitions=4
transaction.state.log.min.isr={in_sync}
share.coordinator.state.topic.replication.factor={replication}
share.coordinator.state.topic.num.partitions=1
share.coordinator.state.topic.min.isr={in_sync}
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
broker.session.timeout.ms={session}
broker.heartbeat.interval.ms=500
"""
# How soon three continue without one of them. A coordinator of transactions waits for `request.timeout.ms` (else 30 s)
# if a broker takes no marker. If the lost one was the controller, the others elect one.
_OF_THREE = """\
request.timeout.ms=2000
controller.quorum.fetch.timeout.ms=1000
controller.quorum.election.timeout.ms=500
controller.quorum.election.backoff.max.ms=300
"""


class KafkaServer(JavaServer):
    """Kafka, without authentication, on loopback. In a cluster of three this is the first broker.

    The ports that were chosen say how many brokers there are.
    """

    name = "kafka"
    node: ClassVar[int] = 1
    jar_set = "kafka"

    @classmethod
    def port_names(cls) -> tuple[str, ...]:
        """The broker's port, and the controller's."""
        return (cls.name, _controller(cls.name))

    def env(self) -> dict[str, str]:
        """The addresses of all brokers, and the replication that they allow."""
        brokers = ",".join(f"{LOOPBACK}:{self.ports[broker.name]}" for broker in self._cluster)
        replication = {"HOLONSTREAM_REPLICATION": str(len(self._cluster))} if len(self._cluster) > 1 else {}
        return {"HOLONSTREAM_KAFKA_BOOTSTRAP": brokers, **replication}

    def prepare(self) -> None:
        """Write the configuration and, the first time, format the storage."""
        logs = self.home / "data"
        voters = [f"{broker.node}@{LOOPBACK}:{self.ports[_controller(broker.name)]}" for broker in self._cluster]
        single = len(self._cluster) == 1
        self._config.write_text(
            (_SETTINGS if single else _SETTINGS + _OF_THREE).format(
                node=self.node,
                voters=",".join(voters),
                host=LOOPBACK,
                broker=self.port,
                controller=self.ports[_controller(self.name)],
                logs=logs.resolve(),
                replication=len(self._cluster),
                in_sync=max(len(self._cluster) - 1, 1),
                session=4_000 if single else 2_000,
            )
        )
        if (logs / "meta.properties").exists():
            return
        cluster_id = _cluster_id(",".join([str(self.home.parent), *voters]))
        arguments = ["format", "--ignore-formatted", "-t", cluster_id, "-c", str(self._config.resolve())]
        tool = self.java("kafka.tools.StorageTool", *arguments, options=self._options("256m"), is_tool=True)
        done = subprocess.run(
            tool.argv,
            env={**os.environ, **tool.env},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise LocalStackError(f"{self.name} cannot format {logs}: {(done.stderr or done.stdout).strip()}")

    def command(self) -> Command:
        """The broker, with a heap of at most 1 GiB, or 512 MiB for each of three."""
        heap = "1g" if len(self._cluster) == 1 else "512m"
        return self.java("kafka.Kafka", str(self._config.resolve()), options=self._options(heap))

    def probe(self) -> str:
        """Fetch the cluster's metadata and see that the broker is in it."""
        from confluent_kafka.admin import AdminClient

        client = AdminClient({"bootstrap.servers": f"{LOOPBACK}:{self.port}", "log_level": 0})
        if self.node not in client.list_topics(timeout=2).brokers:
            raise LocalStackError(f"{self.name} is not in its cluster yet")
        return jars.version("kafka")

    @property
    def _cluster(self) -> list[type[KafkaServer]]:
        return [broker for broker in BROKERS if broker.name in self.ports]

    @property
    def _config(self) -> Path:
        return self.home / "server.properties"

    def _options(self, heap: str) -> tuple[str, ...]:
        return f"-Xmx{heap}", f"-Dlog4j2.configurationFile={_LOGGING}"


class SecondBroker(KafkaServer):
    """The second broker of three."""

    name = "kafka-2"
    node = 2
    makes_archive = False


class ThirdBroker(KafkaServer):
    """The third broker of three."""

    name = "kafka-3"
    node = 3
    makes_archive = False


BROKERS: Final = (KafkaServer, SecondBroker, ThirdBroker)


def _controller(broker: str) -> str:
    """The name of its controller's port."""
    return f"{broker}-controller"


def _cluster_id(seed: str) -> str:
    # What StorageTool random-uuid would print, but the same for all brokers of a cluster. A leading dash would be read
    # as an option.
    return "A" + base64.urlsafe_b64encode(uuid.uuid5(uuid.NAMESPACE_OID, seed).bytes).decode().rstrip("=")[1:]
