"""A Kafka that refuses anyone who has no ACL, with a listener for every kind of login."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event
from typing import Any

import trustme
from aiokafka.client import AIOKafkaClient
from confluent_kafka import Producer
from confluent_kafka.admin import (
    AdminClient,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialUpsertion,
)
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from faust.transport.drivers.aiokafka import credentials_to_aiokafka_auth

from holonstream.local import ports
from holonstream.local.kafka_server import KafkaServer
from holonstream.local.ports import LOOPBACK
from holonstream.ops.settings import Settings
from holonstream.ops.wiring import group_settings

PLAIN_USERS = {"plain": "plain's password"}
_MODULES = "org.apache.kafka.common.security"
_LISTENERS = """
listeners=PLAINTEXT://{host}:{plaintext},SASL://{host}:{sasl},TLS://{host}:{tls},CONTROLLER://{host}:{controller}
advertised.listeners=PLAINTEXT://{host}:{plaintext},SASL://{host}:{sasl},TLS://{host}:{tls}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SASL:SASL_SSL,TLS:SSL
inter.broker.listener.name=PLAINTEXT
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:ANONYMOUS
ssl.keystore.type=PEM
ssl.keystore.location={keys}
ssl.truststore.type=PEM
ssl.truststore.location={ca}
listener.name.tls.ssl.client.auth=required
listener.name.sasl.sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512,OAUTHBEARER
listener.name.sasl.plain.sasl.jaas.config={modules}.plain.PlainLoginModule required {users};
listener.name.sasl.scram-sha-256.sasl.jaas.config={modules}.scram.ScramLoginModule required;
listener.name.sasl.scram-sha-512.sasl.jaas.config={modules}.scram.ScramLoginModule required;
listener.name.sasl.oauthbearer.sasl.jaas.config={modules}.oauthbearer.OAuthBearerLoginModule required \
unsecuredLoginStringClaim_sub="broker";
"""


class LoginKafka(KafkaServer):
    """Its plaintext listener is the administrator's; on the others anyone who has no ACL may do nothing.

    `sasl` takes PLAIN, SCRAM and OAUTHBEARER (unsigned tokens) over TLS, `tls` client certificates.
    """

    folder: Path

    @classmethod
    def port_names(cls) -> tuple[str, ...]:
        return ("kafka", "kafka-controller", "sasl", "tls")

    def prepare(self) -> None:
        super().prepare()
        users = " ".join(f'user_{name}="{password}"' for name, password in PLAIN_USERS.items())
        listeners = _LISTENERS.format(
            host=LOOPBACK,
            plaintext=self.port,
            controller=self.ports["kafka-controller"],
            sasl=self.ports["sasl"],
            tls=self.ports["tls"],
            keys=self.folder / "server.pem",
            ca=self.folder / "ca.pem",
            modules=_MODULES,
            users=users,
        )
        kept = [line for line in self._config.read_text().splitlines() if "listeners=" not in line]
        self._config.write_text("\n".join(kept) + listeners)

    def address(self, listener: str) -> str:
        """host:port of a listener: ``kafka`` (the administrator's), ``sasl`` or ``tls``."""
        return f"{LOOPBACK}:{self.ports[listener]}"

    def set_password(self, user: str, password: str) -> None:
        """Make a SCRAM user, or give it another password."""
        admin = AdminClient({"bootstrap.servers": self.address("kafka"), "log_level": 0})
        for mechanism in (ScramMechanism.SCRAM_SHA_256, ScramMechanism.SCRAM_SHA_512):
            changed = [UserScramCredentialUpsertion(user, ScramCredentialInfo(mechanism, 4096), password.encode())]
            for future in admin.alter_user_scram_credentials(changed).values():
                future.result(120)


def token(user: str, life: float = 3_600) -> str:
    """An unsigned JSON web token, which the broker's development handler takes."""
    now = time.time()
    parts = ({"alg": "none"}, {"sub": user, "iat": now - 5, "exp": now + life})
    return ".".join(base64.urlsafe_b64encode(json.dumps(p).encode()).rstrip(b"=").decode() for p in parts) + "."


def certificate(authority: trustme.CA, folder: Path, name: str, common_name: str = "x") -> tuple[Path, Path]:
    """Files of a certificate for 127.0.0.1 and its key (PKCS #8, as Java reads it)."""
    issued = authority.issue_cert(LOOPBACK, common_name=common_name)
    cert, key = folder / f"{name}.crt", folder / f"{name}.key"
    issued.cert_chain_pems[0].write_to_path(cert)
    private = load_pem_private_key(issued.private_key_pem.bytes(), None)
    key.write_bytes(private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return cert, key


@contextmanager
def login_kafka(folder: Path, authority: trustme.CA, kind: type[LoginKafka] = LoginKafka) -> Iterator[LoginKafka]:
    """A running broker, whose certificate `authority` signs; its files are in `folder`."""
    cert, key = certificate(authority, folder, "server")
    (folder / "server.pem").write_bytes(key.read_bytes() + cert.read_bytes())
    authority.cert_pem.write_to_path(folder / "ca.pem")
    server = kind(folder / "kafka", ports.choose(kind.port_names()))
    server.folder = folder
    server.start(lambda _: None, Event())
    try:
        yield server
    finally:
        server.kill()


async def ask_as_worker(settings: Settings) -> None:
    """Connect as workers do, by aiokafka."""
    auth = credentials_to_aiokafka_auth(group_settings(settings, "cache").credentials(), None)
    worker = AIOKafkaClient(bootstrap_servers=settings.kafka_bootstrap, **auth)
    try:
        await worker.bootstrap()
    finally:
        await worker.close()


def code_of_delivery(config: dict[str, Any], topic: str) -> str | None:
    """The name of the error with which a record is refused."""
    found: list[str | None] = []
    producer = Producer(config)
    producer.produce(topic, b"x", b"k", on_delivery=lambda error, _: found.append(error and error.name()))
    producer.flush(240)
    return found[0]
