"""A streaming replica of a PostgreSQL server, as `pg_basebackup` makes one."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
from psycopg.conninfo import conninfo_to_dict

from holonstream.local.install import postgres_bin
from holonstream.local.ports import LOOPBACK, choose
from holonstream.local.process import as_user
from tests.support.waiting import wait_until


class Standby:
    """The replica while it runs."""

    def __init__(self, primary: str, port: int, process: subprocess.Popen[bytes]) -> None:
        self._primary, self.port, self._process = primary, port, process

    def kill(self) -> None:
        """End it by SIGKILL, as a crash would; its other processes notice and end."""
        self._process.kill()
        self._process.wait(60)

    def dsn(self, database: str) -> str:
        """The superuser's connection string for a database of the replica."""
        return f"postgresql://postgres@{LOOPBACK}:{self.port}/{database}"

    def wait_until_caught_up(self) -> None:
        """Return once the replica has replayed all that the primary has written."""
        with psycopg.connect(self._primary, autocommit=True) as primary:
            row = primary.execute("SELECT pg_current_wal_lsn()").fetchone()
        with psycopg.connect(self.dsn("postgres"), autocommit=True) as replica:
            query = "SELECT pg_last_wal_replay_lsn() >= %s"
            wait_until(lambda: (replica.execute(query, row).fetchone() or (False,))[0], "the replica has caught up")

    def cut_off(self) -> None:
        """Receive nothing more from the primary, as when its network is gone."""
        with psycopg.connect(self.dsn("postgres"), autocommit=True) as replica:
            replica.execute("ALTER SYSTEM SET primary_conninfo = ''")
            replica.execute("SELECT pg_reload_conf()")
            receiving = "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'walreceiver'"
            wait_until(lambda: replica.execute(receiving).fetchone() == (0,), "the replica is cut off")

    def promote(self, database: str) -> str:
        """Make it a primary; the connection string of a database."""
        with psycopg.connect(self.dsn("postgres"), autocommit=True) as replica:
            assert replica.execute("SELECT pg_promote(true, 120)").fetchone() == (True,)
        return self.dsn(database)


@contextmanager
def standby_of(primary: str) -> Iterator[Standby]:
    """A running replica of the server behind a connection string, gone at the end."""
    binaries = postgres_bin()
    assert binaries is not None
    user = "postgres" if os.geteuid() == 0 else None
    folder = Path(tempfile.mkdtemp(prefix="holonstream-standby-"))
    if user:
        shutil.chown(folder, user, user)
    server = conninfo_to_dict(primary)
    source = f"host={server['host']} port={server['port']} user=postgres"
    try:
        subprocess.run(
            [str(binaries / "pg_basebackup"), "-d", source, "-D", str(folder), "-R", "-X", "stream", "-c", "fast"],
            cwd="/",
            check=True,
            capture_output=True,
            **as_user(user),
        )
        port = choose(["standby"])["standby"]
        options = {
            "port": port,
            "listen_addresses": LOOPBACK,
            "unix_socket_directories": "",
            "fsync": "off",
            "max_connections": 200,  # these two not lower than the primary's, else it refuses to start
            "max_prepared_transactions": 16,
        }
        settings = [argument for name, value in options.items() for argument in ("-c", f"{name}={value}")]
        with (folder / "server.log").open("wb") as log:
            process = subprocess.Popen(
                [str(binaries / "postgres"), "-D", str(folder), *settings],
                cwd="/",
                stdout=log,
                stderr=log,
                **as_user(user),
            )
        try:
            standby = Standby(primary, port, process)
            wait_until(lambda: _answers(standby.dsn("postgres")), "the replica answers")
            yield standby
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(60)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _answers(dsn: str) -> bool:
    try:
        psycopg.connect(dsn, connect_timeout=2).close()
    except psycopg.OperationalError:
        return False
    return True
