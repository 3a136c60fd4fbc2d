"""The settings of every process: environment variables with the prefix ``HOLONSTREAM_``, checked together at start.

A secret may also come from a file: ``HOLONSTREAM_KAFKA_PASSWORD_FILE`` names one whose content, without the last line's
end, is the password, as Docker and Kubernetes hand secrets out.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Self
from urllib.parse import urlsplit

from psycopg import ProgrammingError
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from pydantic import AfterValidator, Field, FilePath, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from holonstream.schemas.errors import HolonstreamError

PREFIX = "HOLONSTREAM_"


class InvalidSettings(HolonstreamError):
    """The environment does not describe a pipeline; the message has a line for each fault."""


def _dsn(dsn: SecretStr) -> SecretStr:
    try:
        ports = conninfo_to_dict(dsn.get_secret_value()).get("port") or ""
        # A "/" in a password makes libpq take the password for a port; it would quote it when it connects.
        whole = all(port == "" or port.isdigit() for port in str(ports).split(","))
    except ProgrammingError:  # whose text quotes the string
        whole = False
    if not whole:
        raise ValueError("is no libpq connection string (in an URL, write special characters of a password as %40)")
    return dsn


def _url(schemes: tuple[str, ...], url: str) -> None:
    try:
        parts = urlsplit(url)
        whole = parts.scheme in schemes and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:  # whose text quotes the address
        whole = False
    if not whole:
        raise ValueError(f"is no address {' or '.join(f'{scheme}://' for scheme in schemes)}host:port")


def _redis(url: SecretStr) -> SecretStr:
    _url(("redis", "rediss"), url.get_secret_value())
    return url


def _neo4j(uri: str) -> str:
    _url(("bolt", "neo4j", "bolt+s", "neo4j+s", "bolt+ssc", "neo4j+ssc"), uri)
    if "@" in uri:
        raise ValueError("must not hold a user or a password: use HOLONSTREAM_NEO4J_USER and _PASSWORD")
    return uri


class Settings(BaseSettings):
    """Where the stores are and how the processes behave. Times are seconds, sizes bytes."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_ignore_empty=True, frozen=True, extra="ignore", hide_input_in_errors=True
    )

    postgres_dsn: Annotated[SecretStr, AfterValidator(_dsn)] = Field(
        SecretStr("postgresql://postgres@127.0.0.1:5432/holonstream"),
        description="libpq connection string of the event log. TLS: `?sslmode=verify-full&sslrootcert=ca.pem`.",
    )
    postgres_password: SecretStr | None = Field(
        None, description="Password of the event log, when the connection string has none."
    )
    kafka_bootstrap: str = Field("127.0.0.1:9092", description="host:port of the brokers, separated by commas.")
    kafka_tls: bool = Field(False, description="Speak TLS to the brokers.")
    kafka_ca: FilePath | None = Field(
        None, description="File of the authorities (PEM) trusted for the brokers; none means the system's."
    )
    kafka_user: str | None = Field(None, description="User for SASL/SCRAM-SHA-512; none means no login.")
    kafka_password: SecretStr | None = Field(None, description="Password for SASL/SCRAM-SHA-512.")
    neo4j_uri: Annotated[str, AfterValidator(_neo4j)] = Field(
        "bolt://127.0.0.1:7687", description="Address of the graph; bolt+s:// or neo4j+s:// for TLS."
    )
    neo4j_ca: FilePath | None = Field(
        None, description="File of the authorities (PEM) trusted for the graph; none means the system's."
    )
    neo4j_user: str = Field("neo4j", description="User of the graph; used when there is a password.")
    neo4j_password: SecretStr | None = Field(None, description="Password of the graph; none means no authentication.")
    neo4j_database: str = Field("neo4j", description="Database of the graph.")
    redis_url: Annotated[SecretStr, AfterValidator(_redis)] = Field(
        SecretStr("redis://127.0.0.1:6379/0"), description="Address of the cache; rediss:// for TLS."
    )
    redis_password: SecretStr | None = Field(None, description="Password of the cache, when its address has none.")
    redis_ca: FilePath | None = Field(
        None, description="File of the authorities (PEM) trusted for the cache; none means the system's."
    )

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
    relay_linger: float = Field(
        0.02,
        ge=0,
        le=1,
        description="Seconds between the beginnings of two Kafka transactions at least, so that they hold more events; "
        "the first one after a pause never waits, nor does a backlog.",
    )
    batch_events: int = Field(5_000, ge=1, description="Events that a worker writes at once at most.")
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
        """The settings that these variables give, whatever the process's own environment says of them.

        Raises InvalidSettings for a secret's file, ValidationError.
        """
        files, faults = _secret_files(environment)
        if faults:
            raise InvalidSettings("Invalid settings: " + "; ".join(faults))
        values = {name.removeprefix(PREFIX).lower(): value for name, value in environment.items()}
        return cls.model_validate(values | files)

    @property
    def log_dsn(self) -> str:
        """libpq connection string of the event log, a secret, with the password if it is set apart."""
        dsn, password = self.postgres_dsn.get_secret_value(), self.postgres_password
        return dsn if password is None else make_conninfo(dsn, password=password.get_secret_value())

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


SECRETS = tuple(name for name, field in Settings.model_fields.items() if "SecretStr" in str(field.annotation))
"""settings that a file may hold"""


def load() -> Settings:
    """The settings that the environment gives. Raises InvalidSettings with every fault at once."""
    files, faults = _secret_files(os.environ)
    try:
        settings = Settings(**files)  # type: ignore[arg-type]
    except ValidationError as error:
        faults += [
            f"{PREFIX}{'_'.join(str(step) for step in fault['loc']).upper()}: {fault['msg']}"
            for fault in error.errors()
        ]
    if faults:
        raise InvalidSettings("Invalid settings: " + "; ".join(faults))
    return settings


def _secret_files(environment: Mapping[str, str]) -> tuple[dict[str, str], list[str]]:
    """The secrets that files hold, by setting, and what is wrong with the others."""
    found, faults = {}, []
    for setting in SECRETS:
        name = PREFIX + setting.upper()
        file = environment.get(f"{name}_FILE")
        if not file:
            continue
        if environment.get(name):
            faults.append(f"{name}_FILE: {name} is set too")
            continue
        try:
            found[setting] = Path(file).read_text().removesuffix("\n").removesuffix("\r")
        except (OSError, UnicodeDecodeError) as error:
            faults.append(f"{name}_FILE: cannot read {file}: {getattr(error, 'strerror', None) or 'no text'}")
    return found, faults
