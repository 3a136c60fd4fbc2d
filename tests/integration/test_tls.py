"""TLS and passwords, on servers that require both, as the settings describe them."""

from __future__ import annotations

import asyncio
import gc
import os
import shutil
import ssl
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest
import trustme
from msgspec.structs import replace
from neo4j import AsyncGraphDatabase
from neo4j.exceptions import ServiceUnavailable
from redis.asyncio import Redis

from holonstream.client import ClientSettings, SyncClient, connections
from holonstream.client.settings import Secret
from holonstream.local import ports
from holonstream.local.temporary import temporary_stack
from holonstream.ops.acls import make_acls
from holonstream.ops.commands.init import initialise
from holonstream.ops.processes import Processes
from holonstream.ops.settings import Settings
from holonstream.producers.errors import LogUnavailable
from holonstream.producers.log.postgres import connect
from holonstream.sinks.cache.driver import redis_errors
from holonstream.sinks.errors import CacheUnavailable, GraphUnavailable
from tests.fix_pipeline import Pipeline
from tests.integration.cache_kit import in_loop
from tests.support.event_log import person
from tests.support.login_kafka import certificate, login_kafka
from tests.support.tls_neo4j import tls_neo4j
from tests.support.waiting import wait_until

PASSWORD = "s3cret of the 'test'"


@dataclass(frozen=True)
class Certificates:
    """Of a server on 127.0.0.1: its own, its key, the authority that signed it, and one that did not.

    And of two clients, of the names `partner` (signed by the same authority) and `partner` (by the stranger).
    """

    cert: Path
    key: Path
    ca: Path
    stranger: Path
    client: tuple[Path, Path]
    false_client: tuple[Path, Path]
    authority: trustme.CA


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    folder = tmp_path_factory.mktemp("tls")
    authority, stranger = trustme.CA(), trustme.CA()
    issued = authority.issue_cert("127.0.0.1")
    clients = [certificate(by, folder, name, "partner") for by, name in ((authority, "partner"), (stranger, "false"))]
    for _, key in clients:
        key.chmod(0o600)  # libpq uses no key that others may read
    made = Certificates(
        cert=folder / "server.crt",
        key=folder / "server.key",
        ca=folder / "ca.pem",
        stranger=folder / "stranger.pem",
        client=clients[0],
        false_client=clients[1],
        authority=authority,
    )
    issued.cert_chain_pems[0].write_to_path(made.cert)
    issued.private_key_pem.write_to_path(made.key)
    authority.cert_pem.write_to_path(made.ca)
    stranger.cert_pem.write_to_path(made.stranger)
    return made


@pytest.fixture(scope="module")
def redis_port(certificates: Certificates, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """Of a Redis that speaks TLS only and wants a password."""
    port = ports.choose(["redis"])["redis"]
    options = {
        "--port": "0", "--tls-port": str(port), "--bind": "127.0.0.1", "--save": "", "--requirepass": PASSWORD,
        "--tls-cert-file": str(certificates.cert), "--tls-key-file": str(certificates.key),
        "--tls-ca-cert-file": str(certificates.ca), "--tls-auth-clients": "no",
    }  # fmt: skip
    words = [word for option in options.items() for word in option]
    folder = tmp_path_factory.mktemp("redis")
    server = subprocess.Popen(["redis-server", *words], cwd=folder, stdout=subprocess.DEVNULL)
    try:
        wait_until(lambda: ports.is_open(port), "Redis listens")
        yield port
    finally:
        server.terminate()
        server.wait()


@asynccontextmanager
async def redis_of(settings: Settings) -> AsyncIterator[Redis]:
    client = connections.redis_client(settings, timeout=5)
    try:
        yield client
    finally:
        await client.aclose()


@in_loop
async def test_redis_with_tls_and_a_password(redis_port: int, certificates: Certificates) -> None:
    url = f"rediss://127.0.0.1:{redis_port}/0"
    async with redis_of(
        Settings(redis_url=Secret(url), redis_password=Secret(PASSWORD), redis_ca=certificates.ca)
    ) as client:
        assert await client.ping()
    for settings, said in (
        (
            Settings(redis_url=Secret(url), redis_password=Secret(PASSWORD), redis_ca=certificates.stranger),
            "certificate verify failed",
        ),
        (Settings(redis_url=Secret(url), redis_password=Secret(PASSWORD)), "certificate verify failed"),
        (
            Settings(redis_url=Secret(url), redis_password=Secret("wrong"), redis_ca=certificates.ca),
            "invalid username-password pair",
        ),
        (Settings(redis_url=Secret(url.replace("rediss", "redis")), redis_password=Secret(PASSWORD)), ""),
    ):
        async with redis_of(settings) as client:
            with pytest.raises(CacheUnavailable) as raised, redis_errors("pinging"):
                await client.ping()
        assert said in str(raised.value)
        assert PASSWORD not in str(raised.value)


@in_loop
async def test_redis_is_not_trusted_by_the_system_s_authorities_where_a_file_is_given(
    redis_port: int, certificates: Certificates, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificates.ca))  # what OpenSSL takes for the system's
    settings = Settings(
        redis_url=Secret(f"rediss://127.0.0.1:{redis_port}/0"),
        redis_password=Secret(PASSWORD),
        redis_ca=certificates.stranger,
    )
    async with redis_of(replace(settings, redis_ca=None)) as client:
        assert await client.ping()
    async with redis_of(settings) as client:
        with pytest.raises(CacheUnavailable, match="certificate verify failed"), redis_errors("pinging"):
            await client.ping()


@in_loop
async def test_a_connection_to_redis_follows_an_authority_that_was_renewed(
    redis_port: int, certificates: Certificates, tmp_path: Path
) -> None:
    """The same connection of the pool, opened again."""
    trusted = Path(shutil.copy(certificates.ca, tmp_path / "ca.pem"))
    url = f"rediss://127.0.0.1:{redis_port}/0"
    renewed = trustme.CA()
    cert, key = certificate(renewed, tmp_path, "renewed")
    admin_of = Settings(redis_url=Secret(url), redis_password=Secret(PASSWORD), redis_ca=certificates.ca)
    async with redis_of(admin_of) as admin, redis_of(replace(admin_of, redis_ca=trusted)) as client:
        mine = await client.client_id()
        try:
            await admin.config_set("tls-cert-file", str(cert), "tls-key-file", str(key))  # for new connections
            await admin.client_kill_filter(_id=str(mine))
            renewed.cert_pem.write_to_path(trusted)
            assert await client.ping()
        finally:
            await admin.config_set("tls-cert-file", str(certificates.cert), "tls-key-file", str(certificates.key))


@pytest.fixture(scope="module")
def postgres(certificates: Certificates) -> Iterator[str]:
    """host:port of a PostgreSQL where the role ``app`` needs TLS and a password."""
    with temporary_stack(services=["postgres"]) as stack:
        admin_dsn = stack.env()["HOLONSTREAM_POSTGRES_DSN"]
        cluster = (stack.data_dir / "postgres" / "cluster").resolve()
        for file in (certificates.cert, certificates.key, certificates.ca):
            copy = shutil.copy(file, cluster / file.name)
            os.chmod(copy, 0o600)
            shutil.chown(copy, cluster.stat().st_uid, cluster.stat().st_gid)
        rules = [
            "host all postgres 127.0.0.1/32 trust",
            "hostssl all app 127.0.0.1/32 scram-sha-256",
            "hostssl all partner 127.0.0.1/32 cert",
        ]
        (cluster / "pg_hba.conf").write_text("\n".join(rules) + "\n")
        with psycopg.connect(admin_dsn, autocommit=True) as admin:
            admin.execute("ALTER SYSTEM SET ssl = on")
            admin.execute("ALTER SYSTEM SET ssl_ca_file = 'ca.pem'")
            admin.execute("CREATE ROLE partner LOGIN")
            admin.execute("SELECT pg_reload_conf()")
            admin.execute(psycopg.sql.SQL("CREATE ROLE app SUPERUSER LOGIN PASSWORD {}").format(PASSWORD))
            wait_until(lambda: admin.execute("SHOW ssl").fetchone() == ("on",), "TLS is on")
        yield admin_dsn.partition("@")[2].partition("/")[0]


def test_postgresql_with_tls_and_a_password(postgres: str, certificates: Certificates) -> None:
    def settings(tls: str, password: str = PASSWORD) -> Settings:
        return Settings(
            postgres_dsn=Secret(f"postgresql://app@{postgres}/holonstream?{tls}"), postgres_password=Secret(password)
        )

    whole = f"sslmode=verify-full&sslrootcert={certificates.ca}"
    with connect(settings(whole).log_dsn, "test") as connection:
        row = connection.execute("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()").fetchone()
        assert row == (True,)
    for wrong, said in (
        (settings(f"sslmode=verify-full&sslrootcert={certificates.stranger}"), "certificate verify failed"),
        (settings("sslmode=disable"), "no encryption"),
        (settings(whole, "wrong"), "password authentication failed"),
    ):
        with pytest.raises(LogUnavailable, match=said) as raised:
            connect(wrong.log_dsn, "test")
        assert PASSWORD not in str(raised.value)


@asynccontextmanager
async def listener(certificates: Certificates) -> AsyncIterator[tuple[int, list[bool]]]:
    """No Neo4j with TLS here: one that hangs up after the handshake shows whom the driver trusts. Its port, and an
    element for each handshake."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificates.cert, certificates.key)
    shaken: list[bool] = []

    def hang_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        shaken.append(True)
        writer.close()

    server = await asyncio.start_server(hang_up, "127.0.0.1", 0, ssl=context)
    async with server:
        yield server.sockets[0].getsockname()[1], shaken


@in_loop
async def test_the_graph_s_driver_trusts_the_file(certificates: Certificates) -> None:
    async with listener(certificates) as (port, shaken):
        for ca, trusted in ((certificates.ca, True), (certificates.stranger, False), (None, False)):
            shaken.clear()
            graph = connections.graph_connection(Settings(neo4j_uri=f"bolt+s://127.0.0.1:{port}", neo4j_ca=ca))
            with pytest.raises(GraphUnavailable) as raised:
                await graph.open()
            assert ("SSLCertVerificationError" in str(raised.value)) != trusted
            assert bool(shaken) == trusted


@in_loop
async def test_the_graph_s_driver_follows_an_authority_that_was_renewed(
    certificates: Certificates, tmp_path: Path
) -> None:
    """One driver, as a worker has it for weeks."""
    trusted = Path(shutil.copy(certificates.stranger, tmp_path / "ca.pem"))
    async with listener(certificates) as (port, shaken):
        graph = connections.graph_connection(Settings(neo4j_uri=f"bolt+s://127.0.0.1:{port}", neo4j_ca=trusted))
        async with AsyncGraphDatabase.driver(graph._target, **graph._trust) as driver:
            for file, trusts in ((certificates.stranger, False), (certificates.ca, True)):
                shutil.copy(file, trusted)
                with pytest.raises(ServiceUnavailable):
                    await driver.verify_connectivity()
                assert bool(shaken) == trusts


def test_postgresql_with_a_client_certificate_and_no_password(postgres: str, certificates: Certificates) -> None:
    whole = f"sslmode=verify-full&sslrootcert={certificates.ca}"

    def settings(user: str, files: tuple[Path, Path] | None) -> Settings:
        login = "" if files is None else f"&sslcert={files[0]}&sslkey={files[1]}"
        return Settings(postgres_dsn=Secret(f"postgresql://{user}@{postgres}/holonstream?{whole}{login}"))

    with connect(settings("partner", certificates.client).log_dsn, "test") as connection:
        assert connection.execute("SELECT current_user::text").fetchone() == ("partner",)
    for wrong, said in (
        (settings("partner", None), "valid client certificate"),
        (settings("partner", certificates.false_client), "tls|ssl|SSL|closed"),
        (settings("app", certificates.client), "password"),
    ):
        with pytest.raises(LogUnavailable, match=said):
            connect(wrong.log_dsn, "test")


@pytest.mark.faults
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # sockets whose TLS was never closed
def test_the_pipeline_runs_where_every_server_wants_tls_and_a_password(
    postgres: str, redis_port: int, certificates: Certificates, tmp_path: Path
) -> None:
    """Kafka by SCRAM-SHA-512, PostgreSQL by SCRAM, Neo4j and Redis by password; every certificate is verified."""
    with ExitStack() as running:
        kafka = running.enter_context(login_kafka(folder_in(tmp_path, "kafka"), certificates.authority))
        kafka.set_password("everybody", PASSWORD)
        cert, key = certificate(certificates.authority, tmp_path, "neo4j")
        neo4j = running.enter_context(
            tls_neo4j(folder_in(tmp_path, "neo4j"), cert, key, certificates.ca, "a/password of 'neo4j'")
        )
        environment = {
            "HOLONSTREAM_POSTGRES_DSN": f"postgresql://app@{postgres}/holonstream"
            f"?sslmode=verify-full&sslrootcert={certificates.ca}",
            "HOLONSTREAM_POSTGRES_PASSWORD": PASSWORD,
            "HOLONSTREAM_KAFKA_BOOTSTRAP": kafka.address("sasl"),
            "HOLONSTREAM_KAFKA_TLS": "true",
            "HOLONSTREAM_KAFKA_CA": str(certificates.ca),
            "HOLONSTREAM_KAFKA_USER": "everybody",
            "HOLONSTREAM_KAFKA_PASSWORD": PASSWORD,
            "HOLONSTREAM_NEO4J_URI": neo4j.uri,
            "HOLONSTREAM_NEO4J_CA": str(certificates.ca),
            "HOLONSTREAM_NEO4J_PASSWORD": neo4j.password,
            "HOLONSTREAM_REDIS_URL": f"rediss://127.0.0.1:{redis_port}/0",
            "HOLONSTREAM_REDIS_CA": str(certificates.ca),
            "HOLONSTREAM_REDIS_PASSWORD": PASSWORD,
            "HOLONSTREAM_NAMESPACE": "tls",
            "HOLONSTREAM_PARTITIONS": "3",
        }
        for part in ("relay", "graph", "cache", "reader", "operator"):
            environment[f"HOLONSTREAM_{part.upper()}_PRINCIPAL"] = "User:everybody"
        settings = Settings.of(environment)
        make_acls(replace(settings, kafka_bootstrap=kafka.address("kafka"), kafka_tls=False, kafka_user=None))
        initialise(settings)
        processes = running.enter_context(Processes(environment, tmp_path / "logs"))
        pipeline = Pipeline(environment, processes)
        pipeline.start("relay", "graph", "cache")
        with SyncClient.from_settings(ClientSettings.of(environment)) as client:
            token = client.append([person(f"p-{n}") for n in range(30)])[-1].token
            for _ in range(2):  # from the graph, and perhaps from the cache
                assert client.get_holon("p-29", at_least=token, deadline=120.0) is not None
        pipeline.wait_until_caught_up("graph", "cache")
        assert pipeline.json("doctor", "--json")
        pipeline.run("verify", "graph")
        pipeline.run("verify", "cache")
    gc.collect()  # else such a socket fails the test in which it happens to be collected


def folder_in(folder: Path, name: str) -> Path:
    made = folder / name
    made.mkdir()
    return made
