"""Talking to the brokers for the operator's commands: one way to connect, one error when they do not answer."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from confluent_kafka import KafkaException

from holonstream.settings import Settings
from producers.errors import KafkaUnavailable

TIMEOUT = 10.0  # seconds for each question


def client(settings: Settings) -> dict[str, Any]:
    """What every client of confluent-kafka is made with. Errors are raised, so the library's own log is left out."""
    return {"bootstrap.servers": settings.kafka_bootstrap, "log_level": 0, **security(settings)}


def security(settings: Settings) -> dict[str, str]:
    """librdkafka's settings for TLS and SASL/SCRAM."""
    transport = "SSL" if settings.kafka_tls else "PLAINTEXT"
    trust = {"ssl.ca.location": str(settings.kafka_ca)} if settings.kafka_tls and settings.kafka_ca else {}
    if settings.kafka_user is None:
        return {"security.protocol": transport, **trust}
    password = settings.kafka_password
    return {
        **trust,
        "security.protocol": f"SASL_{transport}",
        "sasl.mechanism": "SCRAM-SHA-512",
        "sasl.username": settings.kafka_user,
        "sasl.password": "" if password is None else password.get_secret_value(),
    }


@contextmanager
def answered() -> Iterator[None]:
    """Raise KafkaUnavailable in place of what the client raises when the brokers do not answer."""
    try:
        yield
    except (KafkaException, TimeoutError) as error:
        raise KafkaUnavailable(f"Kafka does not answer: {error}") from error
