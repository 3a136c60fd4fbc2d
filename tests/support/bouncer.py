"""pgbouncer between a test and PostgreSQL."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import psycopg

from holonstream.local import ports
from holonstream.local.install import PGBOUNCER, pgbouncer_program, require
from tests.support.waiting import wait_until

CONFIG = """\
[databases]
* = host={host} port={server_port} user={user}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = any
pool_mode = {mode}
{more}
default_pool_size = {connections}
max_client_conn = 100
"""


@contextmanager
def bouncer(dsn: str, folder: Path, connections: int, mode: str = "transaction", more: str = "") -> Iterator[str]:
    """The address of a database through pgbouncer, which has few connections to the server for all sessions.

    `more` are lines of its configuration.
    """
    require([PGBOUNCER], print)
    program = pgbouncer_program()
    assert program is not None
    server = urlsplit(dsn)
    port = ports.choose(["pgbouncer"])["pgbouncer"]
    config = folder / "pgbouncer.ini"
    config.write_text(
        CONFIG.format(
            host=server.hostname,
            server_port=server.port,
            user=server.username,
            port=port,
            connections=connections,
            mode=mode,
            more=more,
        )
    )
    user = ["-u", "postgres"] if os.geteuid() == 0 else []  # it does not run as root
    with (folder / "pgbouncer.log").open("w") as log:
        process = subprocess.Popen([program, *user, str(config)], stdout=log, stderr=log)
        try:
            through = dsn.replace(f":{server.port}/", f":{port}/")
            wait_until(lambda: _answers(process, through), "pgbouncer answers", 30)
            yield through
        finally:
            process.terminate()
            process.wait(30)


def _answers(process: subprocess.Popen[bytes], dsn: str) -> bool:
    assert process.poll() is None, "pgbouncer has ended"
    try:
        psycopg.connect(dsn, connect_timeout=5).close()
    except psycopg.OperationalError:
        return False
    return True
