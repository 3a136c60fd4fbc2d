"""TLS and passwords, on servers that require both, as the settings describe them."""

from __future__ import annotations

import asyncio
import os
import shutil
import ssl
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest
import trustme
from redis.asyncio import Redis

from holonstream.client import connections
from holonstream.client.settings import Secret
from holonstream.local import ports
from holonstream.local.temporary import temporary_stack
from holonstream.ops.settings import Settings
from holonstream.producers.errors import LogUnavailable
from holonstream.producers.log.postgres import connect
from holonstream.sinks.cache.driver import redis_errors
from holonstream.sinks.errors import CacheUnavailable, GraphUnavailable
from tests.integration.cache_kit import in_loop
from tests.support.waiting import wait_until

PASSWORD = "s3cret of the 'test'"


@dataclass(frozen=True)
class Certificates:
    """Of a server on 127.0.0.1: its own, its key, the authority that signed it, and one that did not."""

    cert: Path
    key: Path
    ca: Path
    stranger: Path


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    folder = tmp_path_factory.mktemp("tls")
    authority, stranger = trustme.CA(), trustme.CA()
    issued = authority.issue_cert("127.0.0.1")
    made = Certificates(folder / "server.crt", folder / "server.key", folder / "ca.pem", folder / "stranger.pem")
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


@pytest.fixture(scope="module")
def postgres(certificates: Certificates) -> Iterator[str]:
    """host:port of a PostgreSQL where the role ``app`` needs TLS and a password."""
    with temporary_stack(services=["postgres"]) as stack:
        admin_dsn = stack.env()["HOLONSTREAM_POSTGRES_DSN"]
        cluster = (stack.data_dir / "postgres" / "cluster").resolve()
        for file in (certificates.cert, certificates.key):
            copy = shutil.copy(file, cluster / file.name)
            os.chmod(copy, 0o600)
            shutil.chown(copy, cluster.stat().st_uid, cluster.stat().st_gid)
        rules = ["host all postgres 127.0.0.1/32 trust", "hostssl all app 127.0.0.1/32 scram-sha-256"]
        (cluster / "pg_hba.conf").write_text("\n".join(rules) + "\n")
        with psycopg.connect(admin_dsn, autocommit=True) as admin:
            admin.execute("ALTER SYSTEM SET ssl = on")
            admin.execute("SELECT pg_reload_conf()")
            admin.execute(psycopg.sql.SQL("CREATE ROLE app LOGIN PASSWORD {}").format(PASSWORD))
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


@in_loop
async def test_the_graph_s_driver_trusts_the_file(certificates: Certificates) -> None:
    """No Neo4j with TLS here: a listener that hangs up after the handshake shows whom the driver trusts."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificates.cert, certificates.key)
    shaken: list[bool] = []

    def hang_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        shaken.append(True)
        writer.close()

    server = await asyncio.start_server(hang_up, "127.0.0.1", 0, ssl=context)
    async with server:
        port = server.sockets[0].getsockname()[1]
        for ca, trusted in ((certificates.ca, True), (certificates.stranger, False), (None, False)):
            shaken.clear()
            graph = connections.graph_connection(Settings(neo4j_uri=f"bolt+s://127.0.0.1:{port}", neo4j_ca=ca))
            with pytest.raises(GraphUnavailable) as raised:
                await graph.open()
            assert ("SSLCertVerificationError" in str(raised.value)) != trusted
            assert bool(shaken) == trusted
