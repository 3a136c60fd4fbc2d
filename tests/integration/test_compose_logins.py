"""docker-compose.logins.yml on a real broker, without Docker: the broker's variables as its settings."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from threading import Event
from typing import Any

import pytest
import yaml
from confluent_kafka import KafkaException, Producer
from confluent_kafka.admin import AdminClient

from holonstream.local import ports
from holonstream.local.kafka_server import KafkaServer
from holonstream.local.ports import LOOPBACK
from holonstream.ops.acls import make_acls
from holonstream.ops.kafka import check_login, client
from holonstream.ops.settings import Settings
from holonstream.ops.topics import make_topics
from tests.support.login_kafka import code_of_delivery

ROOT = Path(__file__).parents[2]
SERVICES: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.logins.yml").read_text())["services"]
PROCESSES = {"init", "relay", "graph-worker", "cache-worker", "exporter"}


def variables(service: str) -> dict[str, str]:
    """A service's variables as they are when nothing is set outside."""
    found = SERVICES[service]["environment"]
    return {name: re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", value) for name, value in found.items()}


class ComposeKafka(KafkaServer):
    """The broker of the compose file, but for its addresses and folders."""

    @classmethod
    def port_names(cls) -> tuple[str, ...]:
        return ("kafka", "kafka-controller", "host")

    def prepare(self) -> None:
        super().prepare()
        given = {
            name.removeprefix("KAFKA_").lower().replace("_", "."): value for name, value in variables("kafka").items()
        }
        address = {"INTERNAL": self.port, "CONTROLLER": self.ports["kafka-controller"], "HOST": self.ports["host"]}
        given["listeners"] = ",".join(f"{name}://{LOOPBACK}:{port}" for name, port in address.items())
        given["advertised.listeners"] = ",".join(
            f"{name}://{LOOPBACK}:{address[name]}" for name in ("INTERNAL", "HOST")
        )
        given["inter.broker.listener.name"] = "INTERNAL"
        kept = [line for line in self._config.read_text().splitlines() if "listeners=" not in line]
        self._config.write_text("\n".join([*kept, *(f"{name}={value}" for name, value in given.items())]) + "\n")

    def probe(self) -> str:
        """Log in as the operator."""
        if not AdminClient(client(settings_of("init", self.port))).list_topics(timeout=2).brokers:
            raise RuntimeError("kafka has no broker yet")
        return "as the operator"


def settings_of(service: str, port: int) -> Settings:
    return Settings.of({**variables(service), "HOLONSTREAM_KAFKA_BOOTSTRAP": f"{LOOPBACK}:{port}"})


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ComposeKafka]:
    started = ComposeKafka(tmp_path_factory.mktemp("compose"), ports.choose(ComposeKafka.port_names()))
    started.start(lambda _: None, Event())
    yield started
    started.kill()


def test_each_process_has_a_login_and_rights_of_its_own(server: ComposeKafka) -> None:
    assert set(SERVICES) == PROCESSES | {"kafka"}
    operator = settings_of("init", server.port)
    make_topics(operator)
    make_acls(operator)
    users = {}
    for service in PROCESSES:
        settings = settings_of(service, server.ports["host"])
        check_login(settings)
        users[service] = settings.kafka_user
        delivered = code_of_delivery(client(settings), settings.topic)
        assert delivered == (None if service in ("relay", "init") else "TOPIC_AUTHORIZATION_FAILED"), service
    assert len(set(users.values())) == len(PROCESSES)
    assert f"User:{users['relay']}" == operator.relay_principal
    assert f"User:{users['graph-worker']}" == operator.graph_principal
    assert f"User:{users['cache-worker']}" == operator.cache_principal
    assert f"User:{users['exporter']}" == operator.reader_principal
    with pytest.raises(KafkaException, match="TRANSACTIONAL_ID_AUTHORIZATION_FAILED"):
        Producer(
            {**client(settings_of("graph-worker", server.port)), "transactional.id": operator.group("relay")}
        ).init_transactions(120)
