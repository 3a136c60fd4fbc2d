"""Backups of the log's PostgreSQL, and servers made from them."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
from psycopg.conninfo import conninfo_to_dict

from holonstream import local
from holonstream.local.install import postgres_bin
from holonstream.local.process import as_user
from tests.support.waiting import wait_until

USER = "postgres" if os.geteuid() == 0 else None
PATIENCE = 1800.0  # seconds for anything that ends by itself
DATABASE = "holonstream"


def program(name: str) -> str:
    """The path of one of PostgreSQL's programs."""
    folder = postgres_bin()
    assert folder is not None
    return str(folder / name)


def run(*words: str, check: bool = True) -> None:
    """Run one of PostgreSQL's programs as the server's user."""
    done = subprocess.run([program(words[0]), *words[1:]], cwd="/", capture_output=True, text=True, **as_user(USER))
    assert done.returncode == 0 or not check, f"{words}: {done.stderr[-2000:]}"


def server_of(dsn: str) -> str:
    """The connection string for the server's own database."""
    place = conninfo_to_dict(dsn)
    return f"host={place['host']} port={place['port']} user=postgres dbname=postgres"


class Backups:
    """A base backup, a dump, and every byte of the WAL as it is written."""

    def __init__(self, folder: Path) -> None:
        self._base, self._wal, self._dump, self._roles = (folder / n for n in ("base", "wal", "log.dump", "roles.sql"))

    def take_base(self, dsn: str) -> int:
        """Take a base backup, while everything runs; its bytes."""
        run("pg_basebackup", "-d", server_of(dsn), "-D", str(self._base), "-X", "fetch", "-c", "fast")
        return sum(file.stat().st_size for file in self._base.rglob("*") if file.is_file())

    def dump(self, dsn: str) -> int:
        """Dump the log's database, and the roles; its bytes."""
        run("pg_dumpall", "-d", server_of(dsn), "--roles-only", "-f", str(self._roles))
        run("pg_dump", "-d", dsn, "-Fc", "-Z", "1", "-f", str(self._dump))
        return self._dump.stat().st_size

    @contextmanager
    def archiving(self, dsn: str) -> Iterator[None]:
        """Receive the WAL, as a machine of its own would."""
        self._wal.mkdir(exist_ok=True)
        if USER:
            shutil.chown(self._wal, USER, USER)
        words = ["-d", server_of(dsn), "-D", str(self._wal), "--synchronous", "--no-loop"]
        with (self._wal.parent / "receivewal.log").open("wb") as output:
            child = subprocess.Popen(
                [program("pg_receivewal"), *words], cwd="/", stdout=output, stderr=output, **as_user(USER)
            )
        try:
            wait_until(lambda: any(self._wal.iterdir()), "the WAL is received")
            yield
        finally:
            child.terminate()
            child.wait(60)

    def restore(self, stack: local.Stack, moment: str | None) -> None:
        """Put the base backup in the place of the stack's server, and replay the WAL, to its end or to a moment."""
        stack.kill("postgres")
        cluster = (stack.data_dir / "postgres" / "cluster").resolve()
        shutil.rmtree(cluster)
        subprocess.run(["cp", "-a", str(self._base), str(cluster)], check=True)
        settings = [f"restore_command = 'cp {self._wal}/%f %p || cp {self._wal}/%f.partial %p'"]
        if moment is not None:
            settings += [f"recovery_target_time = '{moment}'", "recovery_target_action = promote"]
        with (cluster / "postgresql.auto.conf").open("a") as conf:
            conf.write("\n".join([*settings, ""]))
        signal = cluster / "recovery.signal"
        signal.touch()
        if USER:
            shutil.chown(signal, USER, USER)
        stack.start("postgres")
        wait_until(lambda: is_primary(stack.env()["HOLONSTREAM_POSTGRES_DSN"]), "the recovery has ended", PATIENCE)

    def restore_dump(self, stack: local.Stack) -> None:
        """Make a new server in the place of the stack's, and load the dump."""
        stack.kill("postgres")
        shutil.rmtree((stack.data_dir / "postgres" / "cluster").resolve())
        (stack.data_dir / "postgres" / "cluster").unlink(missing_ok=True)
        stack.start("postgres")
        server = server_of(stack.env()["HOLONSTREAM_POSTGRES_DSN"])
        run("psql", "-q", "-d", server, "-f", str(self._roles), check=False)  # postgres is there already
        # With the database itself, and so with the rights on it: not everybody may connect.
        run(
            "pg_restore",
            "-d",
            server,
            "--create",
            "--clean",
            "--if-exists",
            "-j",
            "2",
            "--exit-on-error",
            str(self._dump),
        )


def is_primary(dsn: str) -> bool:
    """Whether a server answers and takes writes."""
    try:
        with psycopg.connect(dsn, connect_timeout=2) as connection:
            return connection.execute("SELECT NOT pg_is_in_recovery()").fetchone() == (True,)
    except psycopg.OperationalError:
        return False


@contextmanager
def backup_folder() -> Iterator[Path]:
    """A folder that the server's user may write, gone at the end."""
    folder = Path(tempfile.mkdtemp(prefix="holonstream-drill-"))
    if USER:
        shutil.chown(folder, USER, USER)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
