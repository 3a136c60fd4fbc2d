"""PostgreSQL from the system's packages, with a cluster of its own."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

from holonstream.local.errors import LocalStackError
from holonstream.local.install import POSTGRES, postgres_bin
from holonstream.local.ports import LOOPBACK
from holonstream.local.process import Command, as_user
from holonstream.local.server import Server

_DATABASE = "holonstream"
_ROOTS_CLUSTERS = Path("/var/lib/holonstream")


class PostgresServer(Server):
    """
    PostgreSQL on loopback TCP only, every connection trusted, superuser `postgres`.

    Root may not run PostgreSQL, so for root it runs as the system user `postgres`. Where that user may not enter the
    data folder (below /root, in pytest's folders), the cluster lies in /var/lib/holonstream and a link points there.
    """

    name = "postgres"
    needs = (POSTGRES,)
    stop_signal = signal.SIGINT  # fast shutdown; at SIGTERM it would wait for every client to leave

    def __init__(self, data_dir: Path, server_ports: Mapping[str, int], *, fsync: bool) -> None:
        super().__init__(data_dir, server_ports)
        self._fsync = fsync
        self._user = "postgres" if os.geteuid() == 0 else None

    def env(self) -> dict[str, str]:
        """The DSN of the superuser in the database `holonstream`."""
        return {"HOLONSTREAM_POSTGRES_DSN": self._dsn(_DATABASE)}

    def prepare(self) -> None:
        """Make the cluster, the first time."""
        if self._cluster.exists():
            return
        if self._cluster.is_symlink():
            raise LocalStackError(
                f"postgres: {self._cluster.readlink()} is gone; delete the folder with down --wipe and start again"
            )
        parent = self._parent_for_cluster()
        draft = parent / "cluster.new"
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(mode=0o700)
        if self._user is not None:
            shutil.chown(draft, self._user, self._user)
        self._initdb(draft)
        cluster = draft.rename(parent / "cluster")
        if parent != self.home:
            self._cluster.symlink_to(cluster)

    def command(self) -> Command:
        """The server in the foreground, logging to its output."""
        settings = {
            "listen_addresses": LOOPBACK,
            "port": str(self.port),
            # A socket's path may have 107 bytes, which a data folder easily exceeds; TCP is all we need.
            "unix_socket_directories": "",
            "shared_buffers": "256MB",
            "max_connections": "200",
            "max_prepared_transactions": "16",
            "fsync": "on" if self._fsync else "off",
            "logging_collector": "off",
        }
        options = [argument for name, value in settings.items() for argument in ("-c", f"{name}={value}")]
        cluster = self._cluster.resolve()
        return Command([str(_bin() / "postgres"), "-D", str(cluster), *options], cwd=Path("/"), user=self._user)

    def probe(self) -> str:
        """Log in."""
        import psycopg

        with psycopg.connect(self._dsn("postgres"), connect_timeout=2) as connection:
            return (connection.info.parameter_status("server_version") or "unknown").split()[0]

    def finish(self) -> None:
        """Make the database `holonstream`, the first time."""
        import psycopg

        with psycopg.connect(self._dsn("postgres"), autocommit=True) as connection:
            if connection.execute("SELECT FROM pg_database WHERE datname = %s", [_DATABASE]).fetchone() is None:
                connection.execute(f"CREATE DATABASE {_DATABASE}")

    def wipe(self) -> None:
        """Delete the cluster where it lies outside the data folder."""
        if self._cluster.is_symlink():
            shutil.rmtree(self._cluster.readlink().parent, ignore_errors=True)

    @property
    def _cluster(self) -> Path:
        return self.home / "cluster"

    def _dsn(self, database: str) -> str:
        return f"postgresql://postgres@{LOOPBACK}:{self.port}/{database}"

    def _parent_for_cluster(self) -> Path:
        if self._user is None:
            return self.home
        try:
            pwd.getpwnam(self._user)
        except KeyError:
            raise LocalStackError(f"postgres: root cannot run it, and there is no user {self._user!r}") from None
        home = self.home.resolve()
        if subprocess.run(["test", "-x", str(home)], cwd="/", check=False, **as_user(self._user)).returncode == 0:
            return home
        _ROOTS_CLUSTERS.mkdir(mode=0o755, parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=f"{home.parent.name}-", dir=_ROOTS_CLUSTERS))
        folder.chmod(0o755)
        return folder

    def _initdb(self, folder: Path) -> None:
        done = subprocess.run(
            [
                *(str(_bin() / "initdb"), "-D", str(folder), "--username=postgres", "--auth=trust"),
                *("--encoding=UTF8", "--locale=C.UTF-8", "--no-sync"),
            ],
            cwd="/",
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            **as_user(self._user),
        )
        if done.returncode != 0:
            raise LocalStackError(f"postgres: initdb failed: {(done.stderr or done.stdout).strip()}")


def _bin() -> Path:
    folder = postgres_bin()
    if folder is None:
        raise LocalStackError(f"missing: PostgreSQL; type: sudo apt-get install -y {POSTGRES.package()}")
    return folder
