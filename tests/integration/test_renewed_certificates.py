"""Certificates that are renewed while a relay and a worker run: neither must be started again."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from threading import Event

import pytest
import trustme
from msgspec.structs import replace

from holonstream import local
from holonstream.ops.acls import make_acls
from holonstream.ops.commands.init import initialise
from holonstream.ops.processes import Processes
from holonstream.ops.settings import Settings
from holonstream.producers.log.store import PostgresEventStore
from holonstream.schemas.catalogue import Catalogue
from tests.conformance.graph_store import person
from tests.fix_pipeline import Pipeline
from tests.fix_stack import unlink_keys
from tests.support.login_kafka import LoginKafka, certificate, login_kafka

NAMESPACE = "renewed"


class NamingKafka(LoginKafka):
    """Knows the bearer of a certificate by its common name alone."""

    def prepare(self) -> None:
        super().prepare()
        with self._config.open("a") as config:
            config.write("ssl.principal.mapping.rules=RULE:^CN=([^,]*),.*$/$1/\n")


def put(new: tuple[Path, Path], files: tuple[Path, Path]) -> None:
    """Replace files, each at once."""
    for source, target in zip(new, files, strict=True):
        os.replace(shutil.copy(source, target.with_suffix(".new")), target)


@pytest.mark.faults
def test_relay_and_worker_log_in_with_the_certificate_that_their_files_have_now(
    stack: local.Stack, postgres_dsn: str, redis_url: str, neo4j_uri: str, tmp_path: Path
) -> None:
    """The brokers trust another authority after a restart, and so refuse every certificate of before."""
    first, second = trustme.CA(), trustme.CA()
    broker = tmp_path / "broker"
    broker.mkdir()
    files = certificate(first, tmp_path, "agent", "agent")
    renewed = certificate(second, tmp_path, "renewed", "agent")
    authorities = tmp_path / "authorities.pem"  # of the broker's own certificate, which stays
    first.cert_pem.write_to_path(authorities)
    with login_kafka(broker, first, NamingKafka) as kafka:
        environment = {
            **stack.env(),
            "HOLONSTREAM_POSTGRES_DSN": postgres_dsn,
            "HOLONSTREAM_KAFKA_BOOTSTRAP": kafka.address("tls"),
            "HOLONSTREAM_KAFKA_TLS": "true",
            "HOLONSTREAM_KAFKA_CA": str(authorities),
            "HOLONSTREAM_KAFKA_CERT": str(files[0]),
            "HOLONSTREAM_KAFKA_KEY": str(files[1]),
            "HOLONSTREAM_NAMESPACE": NAMESPACE,
            "HOLONSTREAM_PARTITIONS": "2",
        }
        for part in ("relay", "graph", "cache", "reader", "operator"):
            environment[f"HOLONSTREAM_{part.upper()}_PRINCIPAL"] = "User:agent"
        settings = Settings.of(environment)
        make_acls(
            replace(settings, kafka_bootstrap=kafka.address("kafka"), kafka_tls=False, kafka_cert=None, kafka_key=None)
        )
        initialise(settings)
        with (
            Processes(environment, tmp_path / "logs") as processes,
            PostgresEventStore(postgres_dsn, Catalogue.load()) as log,
        ):
            pipeline = Pipeline(environment, processes)
            pipeline.start("relay", "cache")
            log.append([person(f"p-{n}") for n in range(20)])
            pipeline.wait_until_caught_up("cache")
            kafka.kill()
            put(renewed, files)
            second.cert_pem.write_to_path(broker / "ca.pem")
            kafka.start(lambda _: None, Event())
            log.append([person(f"q-{n}") for n in range(20)])
            pipeline.wait_until_caught_up("cache")  # fails when a process has ended
    unlink_keys(redis_url, f"{NAMESPACE}:")
