"""How the settings reach the brokers, in confluent-kafka's words."""

from __future__ import annotations

from holonstream.settings import Settings


def security(settings: Settings) -> dict[str, str]:
    """librdkafka's settings for TLS and SASL/SCRAM; none for plain connections."""
    transport = "SSL" if settings.kafka_tls else "PLAINTEXT"
    if settings.kafka_user is None:
        return {"security.protocol": transport}
    password = settings.kafka_password
    return {
        "security.protocol": f"SASL_{transport}",
        "sasl.mechanism": "SCRAM-SHA-512",
        "sasl.username": settings.kafka_user,
        "sasl.password": "" if password is None else password.get_secret_value(),
    }
