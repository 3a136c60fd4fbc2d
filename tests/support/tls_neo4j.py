"""A Neo4j that speaks TLS only and wants a password."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event

from neo4j import GraphDatabase, TrustCustomCAs
from neo4j.exceptions import Neo4jError

from holonstream.local import ports
from holonstream.local.neo4j_server import Neo4jServer
from holonstream.local.ports import LOOPBACK

_TLS = """
server.bolt.tls_level=REQUIRED
dbms.ssl.policy.bolt.enabled=true
dbms.ssl.policy.bolt.base_directory={folder}
dbms.ssl.policy.bolt.private_key=private.key
dbms.ssl.policy.bolt.public_certificate=public.crt
dbms.ssl.policy.bolt.client_auth=NONE
"""
_FIRST_PASSWORD = "neo4j"  # which must be changed before anything else


class TlsNeo4jServer(Neo4jServer):
    """`folder` has the certificate, its key and the authority; `password` is the one that user ``neo4j`` gets."""

    folder: Path
    password: str

    @property
    def uri(self) -> str:
        """Its address."""
        return f"bolt+s://{LOOPBACK}:{self.port}"

    def prepare(self) -> None:
        super().prepare()
        plain = self._config.read_text().replace("auth_enabled=false", "auth_enabled=true")
        self._config.write_text(plain + _TLS.format(folder=self.folder))

    def probe(self) -> str:
        """Log in, after the first password was changed."""
        trusted = TrustCustomCAs(str(self.folder / "ca.pem"))
        uri = self.uri.replace("bolt+s", "bolt")
        for password in (self.password, _FIRST_PASSWORD):
            with (
                GraphDatabase.driver(
                    uri, auth=("neo4j", password), encrypted=True, trusted_certificates=trusted, connection_timeout=2
                ) as driver,
                driver.session(database="system") as session,
            ):
                try:
                    if password == _FIRST_PASSWORD:
                        change = "ALTER CURRENT USER SET PASSWORD FROM $old TO $new"
                        session.run(change, old=password, new=self.password).consume()
                    return session.run("SHOW CURRENT USER").consume().server.agent
                except Neo4jError:
                    if password == _FIRST_PASSWORD:
                        raise
        raise AssertionError("unreachable")


@contextmanager
def tls_neo4j(folder: Path, cert: Path, key: Path, ca: Path, password: str) -> Iterator[TlsNeo4jServer]:
    """A running server with this certificate; its files are in `folder`. `key` is PKCS #8."""
    tls = folder / "bolt"
    tls.mkdir()
    for file, name in ((cert, "public.crt"), (key, "private.key"), (ca, "ca.pem")):
        shutil.copy(file, tls / name)
    server = TlsNeo4jServer(folder, ports.choose(TlsNeo4jServer.port_names()))
    server.folder, server.password = tls, password
    server.start(lambda _: None, Event())
    try:
        yield server
    finally:
        server.kill()
