"""How the operator's commands connect to the brokers."""

from __future__ import annotations

from typing import Any

from holonstream.ops.settings import Settings
from holonstream.producers.kafka import CONNECTION


def client(settings: Settings) -> dict[str, Any]:
    """What every client of confluent-kafka is made with. Errors are raised, so the library's own log is left out."""
    return {"bootstrap.servers": settings.kafka_bootstrap, "log_level": 0, **CONNECTION, **security(settings)}


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
        "sasl.password": "" if password is None else password.reveal(),
    }
