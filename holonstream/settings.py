"""The settings of every process: environment variables with the prefix ``HOLONSTREAM_``, checked together at start."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Self

from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from schemas.errors import HolonstreamError

PREFIX = "HOLONSTREAM_"


class InvalidSettings(HolonstreamError):
    """The environment does not describe a pipeline; the message has a line for each fault."""


class Settings(BaseSettings):
    """Where the stores are and how the processes behave. Times are seconds, sizes bytes."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, env_ignore_empty=True, frozen=True, extra="ignore")

    postgres_dsn: SecretStr = Field(
        SecretStr("postgresql://postgres@127.0.0.1:5432/holonstream"),
        description="libpq connection string of the event log.",
    )
    kafka_bootstrap: str = Field("127.0.0.1:9092", description="host:port of the brokers, separated by commas.")
    kafka_tls: bool = Field(False, description="Speak TLS to the brokers, trusting the system's authorities.")
    kafka_user: str | None = Field(None, description="User for SASL/SCRAM-SHA-512; none means no login.")
    kafka_password: SecretStr | None = Field(None, description="Password for SASL/SCRAM-SHA-512.")
    neo4j_uri: str = Field("bolt://127.0.0.1:7687", description="Address of the graph.")
    neo4j_user: str = Field("neo4j", description="User of the graph; used when there is a password.")
    neo4j_password: SecretStr | None = Field(None, description="Password of the graph; none means no authentication.")
    neo4j_database: str = Field("neo4j", description="Database of the graph.")
    redis_url: SecretStr = Field(SecretStr("redis://127.0.0.1:6379/0"), description="Address of the cache.")

    namespace: str = Field(
        "holonstream",
        pattern=r"^[A-Za-z0-9._-]+$",
        description="First part of the names of topics, groups and cache keys: pipelines can share servers.",
    )
    partitions: int = Field(12, ge=1, description="Partitions of the event topic, when `init` makes it.")
    replication: int = Field(1, ge=1, description="Replicas of the topics, when `init` makes them.")
    group_suffix: str = Field(
        "",
        pattern=r"^[A-Za-z0-9._-]*$",
        description="Appended to the names of worker groups: a replay beside the live pipeline is a group of its own.",
    )
    schemas: Path | None = Field(None, description="Folder of more event schemas, beside those that ship.")

    relay_batch: int = Field(10_000, ge=1, description="Events of one Kafka transaction at most.")
    run_events: int = Field(5_000, ge=1, description="Events that a worker writes at once at most.")
    session_timeout: float = Field(12.0, ge=1, description="After which a silent worker's partitions go to others.")
    commit_interval: float = Field(1.0, gt=0, description="Between two commits of a worker's offsets.")
    value_ttl: int = Field(3_600, ge=1, description="Life of a cached value.")
    tombstone_ttl: int = Field(86_400, ge=2, description="Life of an invalidation; longer than that of values.")
    read_deadline: float = Field(2.0, gt=0, description="How long a read with a token waits for its view.")
    metrics_host: str = Field("127.0.0.1", description="Address on which metrics and health are served.")
    metrics_port: int = Field(
        0, ge=0, le=65_535, description="Port for /metrics, /livez and /readyz of relay, worker and exporter; 0 is off."
    )
    metrics_interval: float = Field(
        5.0, gt=0, description="Between two looks at log, brokers and store for metrics and health."
    )
    ready_stall: float = Field(
        30.0, gt=0, description="After which a relay or worker that has something to do and gets nowhere is not ready."
    )
    log_level: str = Field(
        "info", pattern="^(debug|info|warning|error)$", description="Least severe log line that is printed."
    )
    log_format: str = Field(
        "console", pattern="^(console|json)$", description="How log lines are printed, on standard error."
    )

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> Self:
        """The settings that these variables give, whatever the process's own environment says of them."""
        return cls.model_validate({name.removeprefix(PREFIX).lower(): value for name, value in environment.items()})

    @property
    def log_dsn(self) -> str:
        """libpq connection string of the event log, a secret."""
        return self.postgres_dsn.get_secret_value()

    @property
    def topic(self) -> str:
        """The topic of events."""
        return f"{self.namespace}.events"

    @property
    def dead_letter_topic(self) -> str:
        """The topic of records that could not be applied."""
        return f"{self.namespace}.dead-letters"

    def group(self, name: str) -> str:
        """The consumer group of ``graph``, ``cache`` or ``relay``."""
        return f"{self.namespace}-{name}" + (self.group_suffix if name != "relay" else "")


def load() -> Settings:
    """The settings that the environment gives. Raises InvalidSettings with every fault at once."""
    try:
        return Settings()
    except ValidationError as error:
        faults = [
            f"{PREFIX}{'_'.join(str(step) for step in fault['loc']).upper()}: {fault['msg']}"
            for fault in error.errors()
        ]
        raise InvalidSettings("Invalid settings: " + "; ".join(faults)) from None
