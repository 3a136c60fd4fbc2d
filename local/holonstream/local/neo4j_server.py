"""Neo4j Community as a server process, started from its jars by the main class in Neo4jServer.java."""

from __future__ import annotations

from pathlib import Path

from holonstream.local.java_server import JavaServer
from holonstream.local.ports import LOOPBACK
from holonstream.local.process import Command

# Keepalives tell the driver how soon it may take a silent server for gone: two of them, 10 s instead of 2 minutes.
# Without the last setting bolt waits twice five seconds at shutdown in case a client still calls.
_SETTINGS = """\
server.default_listen_address={host}
server.bolt.enabled=true
server.bolt.listen_address={host}:{port}
server.bolt.connection_keep_alive=5s
server.bolt.connection_keep_alive_for_requests=ALL
dbms.security.auth_enabled=false
server.memory.pagecache.size=256m
dbms.usage_report.enabled=false
internal.dbms.bolt.netty_server_shutdown_quiet_period=0
"""


class Neo4jServer(JavaServer):
    """Neo4j, without authentication, on loopback."""

    name = "neo4j"
    jar_set = "neo4j"
    stop_deadline = 120.0  # it writes a checkpoint first, and a killed one has to recover at its next start

    def env(self) -> dict[str, str]:
        """The bolt URI."""
        return {"HOLONSTREAM_NEO4J_URI": f"bolt://{LOOPBACK}:{self.port}"}

    def prepare(self) -> None:
        """Write the configuration; Neo4j makes its own store."""
        self._config.write_text(_SETTINGS.format(host=LOOPBACK, port=self.port))

    def command(self) -> Command:
        """The server, with a heap of 1 GiB."""
        opens = (f"--add-opens=java.base/{name}=ALL-UNNAMED" for name in ("java.nio", "java.io", "sun.nio.ch"))
        arguments = (str(self.home.resolve()), str(self._config.resolve()))
        return self.java("Neo4jServer", *arguments, options=("-Xms1g", "-Xmx1g", *opens))

    def probe(self) -> str:
        """Run a query in the default database."""
        from neo4j import GraphDatabase

        uri = f"bolt://{LOOPBACK}:{self.port}"
        with (
            GraphDatabase.driver(uri, connection_timeout=2, connection_acquisition_timeout=3) as driver,
            driver.session(database="neo4j") as session,
        ):
            # session.run, as execute_query would retry for half a minute while the database is still opening
            agent = session.run("RETURN 1").consume().server.agent
        return agent.removeprefix("Neo4j/")

    @property
    def _config(self) -> Path:
        return self.home / "neo4j.conf"
