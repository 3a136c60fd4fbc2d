"""Changing the settings of a topic."""

from __future__ import annotations

from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType

from holonstream.ops.settings import Settings
from tests.support.waiting import wait_until


def alter(settings: Settings, name: str, value: str, topic: str | None = None) -> None:
    """Set one setting of a topic, by default that of events, and wait until the broker shows it."""
    topic = topic or settings.topic
    entry = ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[entry])
    admin = AdminClient({"bootstrap.servers": settings.kafka_bootstrap})
    admin.incremental_alter_configs([resource])[resource].result(30)

    def seen() -> bool:
        asked = ConfigResource(ResourceType.TOPIC, topic)
        return str(admin.describe_configs([asked])[asked].result(30)[name].value) == value

    wait_until(seen, f"the broker shows {name}={value}")
