"""The settings of the operator's processes: those of a client, and of brokers, relay, workers, metrics and logs."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

from msgspec import Meta

from holonstream.client.settings import DURATION, PREFIX, ClientSettings, Secret, check_file
from holonstream.schemas import names

_PRINCIPAL = r"^User:.+\Z"
BROKER = re.compile(r"([^\s:/@\[\]]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?\Z")


def _check_brokers(text: str) -> None:
    for broker in text.split(","):
        found = BROKER.match(broker.strip())
        if not found or int((found[2] or ":9092")[1:]) not in range(1, 65_536):
            raise ValueError("must be host:port of the brokers, separated by commas")


def _check_workers(text: str) -> None:
    for worker in filter(None, (part.strip() for part in text.split(","))):
        found = BROKER.match(worker)
        if not found or int((found[2] or ":0")[1:]) not in range(1, 65_536):
            raise ValueError("must be host:port of the workers' metrics, separated by commas")


class Settings(ClientSettings, frozen=True, kw_only=True):
    """Where the servers are and how the processes behave. Times are seconds, sizes bytes."""

    kafka_bootstrap: Annotated[
        str, Meta(description="host:port of the brokers, separated by commas."), _check_brokers
    ] = "127.0.0.1:9092"
    kafka_tls: Annotated[bool, Meta(description="Speak TLS to the brokers.")] = False
    kafka_ca: Annotated[
        Path | None,
        Meta(description="File of the authorities (PEM) trusted for the brokers; none means the system's."),
        check_file,
    ] = None
    kafka_cert: Annotated[
        Path | None, Meta(description="File of our certificate (PEM) for the brokers, with `KAFKA_KEY`."), check_file
    ] = None
    kafka_key: Annotated[Path | None, Meta(description="File of the certificate's key (PEM)."), check_file] = None
    kafka_mechanism: Annotated[
        str,
        Meta(
            pattern=r"^(PLAIN|SCRAM-SHA-256|SCRAM-SHA-512|OAUTHBEARER|AWS_MSK_IAM)\Z",
            description="SASL mechanism of the login: PLAIN, SCRAM-SHA-256 and SCRAM-SHA-512 take user and password, "
            "OAUTHBEARER a token, AWS_MSK_IAM the process's role (`pip install 'holonstream[aws]'`).",
        ),
    ] = "SCRAM-SHA-512"
    kafka_user: Annotated[str | None, Meta(description="User of the brokers; none means no login by password.")] = None
    kafka_password: Annotated[Secret | None, Meta(description="Password of the brokers.")] = None
    kafka_token_file: Annotated[
        Path | None,
        Meta(description="File of the token for OAUTHBEARER; read at every login, so that it may be replaced."),
    ] = None
    relay_principal: Annotated[
        str, Meta(pattern=_PRINCIPAL, description="Kafka's name of the relay, to whom `init --acls` gives its rights.")
    ] = "User:holonstream-relay"
    graph_principal: Annotated[str, Meta(pattern=_PRINCIPAL, description="The same of the graph's workers.")] = (
        "User:holonstream-graph"
    )
    cache_principal: Annotated[str, Meta(pattern=_PRINCIPAL, description="The same of the cache's workers.")] = (
        "User:holonstream-cache"
    )
    sink_principal: Annotated[
        str, Meta(pattern=_PRINCIPAL, description="The same of the workers of sinks of your own (docs/own-sink.md).")
    ] = "User:holonstream-sink"
    reader_principal: Annotated[
        str, Meta(pattern=_PRINCIPAL, description="The same of `status`, `exporter` and `verify`, which only read.")
    ] = "User:holonstream-reader"
    operator_principal: Annotated[
        str, Meta(pattern=_PRINCIPAL, description="The same of those who run `init` and `replay`.")
    ] = "User:holonstream-operator"
    partitions: Annotated[int, Meta(ge=1, description="Partitions of the event topic, when `init` makes it.")] = 12
    replication: Annotated[
        int, Meta(ge=1, description="Replicas of the topics: `init` makes them so, and refuses fewer.")
    ] = 1
    group_suffix: Annotated[
        str,
        Meta(
            pattern=r"^[A-Za-z0-9._-]*\Z",
            description="Appended to the names of worker groups: a replay beside the live pipeline is a group of "
            "its own.",
            extra={"allowed": "letters, digits, '.', '_' and '-'"},
        ),
    ] = ""
    relay_batch: Annotated[int, Meta(ge=1, description="Events of one Kafka transaction at most.")] = 10_000
    relay_linger: Annotated[
        float,
        Meta(
            ge=0,
            le=1,
            description="Seconds between the beginnings of two Kafka transactions at least, so that they hold more "
            "events, half as long again while they hold ten or more; the first one after a pause never waits, nor "
            "does a backlog.",
        ),
        DURATION,
    ] = 0.02
    batch_events: Annotated[int, Meta(ge=1, description="Events that a worker writes at once at most.")] = 5_000
    session_timeout: Annotated[
        float, Meta(ge=1, description="After which a silent worker's partitions go to others."), DURATION
    ] = 10.0
    commit_interval: Annotated[
        float, Meta(gt=0, description="Between two commits of a worker's offsets."), DURATION
    ] = 1.0
    tombstone_ttl: Annotated[
        int, Meta(ge=2, description="Life of an invalidation; longer than that of values."), DURATION
    ] = 86_400
    metrics_host: Annotated[str, Meta(description="Address on which metrics and health are served.")] = "127.0.0.1"
    metrics_port: Annotated[
        int,
        Meta(
            ge=0,
            le=65_535,
            description="Port for /metrics, /livez and /readyz of relay, worker and exporter; 0 is off.",
        ),
    ] = 0
    metrics_interval: Annotated[
        float, Meta(gt=0, description="Between two polls of log, brokers and store for metrics and health."), DURATION
    ] = 5.0
    ready_stall: Annotated[
        float,
        Meta(gt=0, description="After which a relay or worker that has work and makes no progress is not ready."),
        DURATION,
    ] = 30.0
    log_level: Annotated[
        str,
        Meta(
            pattern=r"^(debug|info|warning|error)\Z",
            extra={"allowed": "debug, info, warning or error"},
            description="Least severe log line that is printed.",
        ),
    ] = "info"
    log_format: Annotated[
        str,
        Meta(
            pattern=r"^(console|json)\Z",
            extra={"allowed": "console or json"},
            description="How log lines are printed, on standard error.",
        ),
    ] = "console"

    console_host: Annotated[
        str,
        Meta(description="Address of the console. One that is not loopback needs a token or a proxy's header."),
    ] = "127.0.0.1"
    console_port: Annotated[int, Meta(ge=0, le=65_535, description="Port of the console; 0 takes a free one.")] = 8620
    console_token: Annotated[
        Secret | None,
        Meta(description="Asked of every caller of the console: 16 characters at least."),
    ] = None
    console_user_header: Annotated[
        str | None,
        Meta(description="Header in which a reverse proxy names the user who logged in; others are refused."),
    ] = None
    console_proxies: Annotated[
        str,
        Meta(description="Addresses of the proxies that are believed, separated by commas; networks as 10.0.0.0/8."),
    ] = "127.0.0.1,::1"
    console_names: Annotated[
        str,
        Meta(
            description="Host names under which the console is reached, separated by commas. Addresses and localhost "
            "are always taken, other names never: else a foreign page could read it by DNS rebinding."
        ),
    ] = ""
    console_workers: Annotated[
        str,
        Meta(
            description="host:port of the workers' metrics, separated by commas: the console's chart of freshness is "
            "made of them. A name with several addresses stands for all."
        ),
        _check_workers,
    ] = ""

    def contradictions(self) -> list[str]:
        """What is wrong with settings that are right one by one."""
        if self.tombstone_ttl > self.value_ttl:
            return []
        return [
            f"{PREFIX}TOMBSTONE_TTL: {self.tombstone_ttl} s must be longer than {PREFIX}VALUE_TTL, {self.value_ttl} s"
        ]

    @property
    def dead_letter_topic(self) -> str:
        """The topic of records that could not be applied."""
        return names.dead_letter_topic(self.namespace)

    def group(self, name: str) -> str:
        """The consumer group of a view (``graph``, ``cache``, ``sink-NAME``), or of ``relay``."""
        return names.consumer_group(self.namespace, name) + (self.group_suffix if name != "relay" else "")
