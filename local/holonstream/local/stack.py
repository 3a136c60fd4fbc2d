"""The four servers together."""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import contextmanager
from pathlib import Path
from threading import Event
from types import TracebackType
from typing import Self

from holonstream.local import install, jars, ports
from holonstream.local.errors import LocalStackError
from holonstream.local.java_server import JavaServer
from holonstream.local.kafka_server import BROKERS
from holonstream.local.neo4j_server import Neo4jServer
from holonstream.local.postgres_server import PostgresServer
from holonstream.local.redis_server import RedisServer
from holonstream.local.server import Server, Status

SERVICES = ("postgres", "kafka", "neo4j", "redis")


def default_data_dir() -> Path:
    """`$HOLONSTREAM_LOCAL_DIR`, else `.local-stack` in the working folder."""
    return Path(os.environ.get("HOLONSTREAM_LOCAL_DIR") or ".local-stack")


def versions() -> dict[str, str]:
    """The version of each server that a stack would run here; "not installed" where the program is missing."""
    folder = install.postgres_bin()
    redis = _word_of_output(["redis-server", "--version"], 2) if install.REDIS.is_present() else "not installed"
    return {
        "postgres": _word_of_output([str(folder / "postgres"), "--version"], 2) if folder else "not installed",
        "kafka": jars.version("kafka"),
        "neo4j": jars.version("neo4j"),
        "redis": redis.removeprefix("v="),
    }


class Stack:
    """
    PostgreSQL, Kafka, Neo4j and Redis as child processes, with all their files in one data folder.

    `brokers` is 1 or 3; None means as many as the folder has already, else 1. Of three, the second and third are the
    services `kafka-2` and `kafka-3`: each can be stopped, killed and paused by itself.

    Ports are chosen at the first start and kept, so that addresses survive a restart; stacks in different folders do
    not meet. Up of a running stack and down of a stopped one do nothing. Chosen at each start: `fsync` False makes
    PostgreSQL faster and unsafe against a crash of the machine (not of the process); `short_lived` makes Kafka and
    Neo4j fast in their first minutes and slower afterwards.

    Used as a context manager, it is up inside and down, data kept, afterwards.
    """

    def __init__(
        self,
        data_dir: Path,
        *,
        services: Sequence[str] = SERVICES,
        progress: Callable[[str], None] = lambda line: None,
        fsync: bool = True,
        short_lived: bool = False,
        brokers: int | None = None,
    ) -> None:
        unknown = sorted(set(services) - set(SERVICES))
        if unknown:
            raise LocalStackError(f"no such service: {', '.join(unknown)}; there are {', '.join(SERVICES)}")
        self.data_dir = data_dir.absolute()
        self.services = tuple(services)
        self._progress = progress
        self._fsync = fsync
        self._short_lived = short_lived
        self._brokers = brokers

    @classmethod
    def found(cls, data_dir: Path) -> Self:
        """The stack of a folder, with the services that were started in it. Raises LocalStackError if there is none."""
        kept = ports.load(cls(data_dir)._state_file)
        if not kept:
            raise LocalStackError(f"no local stack in {data_dir}; start one: holonstream local up")
        return cls(data_dir, services=[name for name in SERVICES if name in kept])

    def up(self) -> None:
        """
        Install and download what is missing, start the servers that do not run, and wait until all answer.

        If one fails, those that this call started are stopped again. Raises LocalStackError.
        """
        with self._locked(create=True):
            kept = ports.load(self._state_file)
            classes = [_CLASSES[name] for name in self._with_brokers(self._brokers_wanted(kept))]
            programs = [program for one in classes for program in one.needs]
            if not all(jars.is_fetched(one.jar_set) for one in classes if one.jar_set is not None):
                programs.append(install.MAVEN)
            install.require(programs, self._progress)
            names = [port for one in classes for port in one.port_names()]
            kept = ports.load_or_choose(self._state_file, names)
            self._start([self._make(one.name, kept) for one in classes])

    def down(self, *, wipe: bool = False) -> None:
        """
        Stop the servers, and with `wipe` delete the data folder.

        Nothing if there is no stack in the folder. Raises LocalStackError if `wipe` meets a folder that is not ours.
        """
        if not self._state_file.exists():
            if wipe and self.data_dir.exists():
                self._refuse_foreign_folder()
            return
        with self._locked(create=False):
            # All of them, also those that this object was not asked to serve: a wiped folder leaves no process behind.
            kept = ports.load(self._state_file)
            names = _CLASSES if wipe else self._with_brokers(len(BROKERS))
            servers = [self._make(name, kept) for name in names if name in kept]
            self._stop(servers)
            if wipe:
                for server in servers:
                    server.wipe()
                shutil.rmtree(self.data_dir)
                self._progress(f"deleted {self.data_dir}")

    def status(self) -> list[Status]:
        """The state of each service; raises LocalStackError if there is no stack in the folder."""
        servers = self._servers()
        with ThreadPoolExecutor(len(servers)) as pool:
            return list(pool.map(Server.status, servers))

    def env(self) -> dict[str, str]:
        """The settings with which a process finds the servers; raises LocalStackError if there is no stack yet."""
        return {name: value for server in self._servers() for name, value in server.env().items()}

    def start(self, name: str) -> None:
        """Start one service that was started before, and wait until it answers."""
        with self._locked(create=False):
            self._start([self._server(name)])

    def stop(self, name: str) -> None:
        """Stop one service in good order."""
        with self._locked(create=False):
            self._server(name).stop(self._progress)

    def kill(self, name: str) -> None:
        """End one service by SIGKILL, as a crash would."""
        self._server(name).kill()

    def pause(self, name: str) -> None:
        """Freeze one service by SIGSTOP: its connections stay open and nothing answers."""
        self._server(name).send_signal(signal.SIGSTOP)

    def resume(self, name: str) -> None:
        """Let a paused service continue."""
        self._server(name).send_signal(signal.SIGCONT)

    def __enter__(self) -> Self:
        self.up()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.down()

    @property
    def _state_file(self) -> Path:
        return self.data_dir / "stack.json"

    def _servers(self) -> list[Server]:
        return [self._server(name) for name in self._with_brokers(_brokers_in(ports.load(self._state_file)))]

    def _server(self, name: str) -> Server:
        kept = ports.load(self._state_file)
        names = self._with_brokers(_brokers_in(kept))
        if name not in names:
            raise LocalStackError(f"no such service in this stack: {name}; there are {', '.join(names)}")
        if name not in kept:
            raise LocalStackError(f"no local stack with {name} in {self.data_dir}; start one: holonstream local up")
        return self._make(name, kept)

    def _with_brokers(self, brokers: int) -> list[str]:
        """The services, with all brokers of Kafka."""
        others = [broker.name for broker in BROKERS[1:brokers]]
        return [name for service in self.services for name in (service, *(others if service == "kafka" else ()))]

    def _brokers_wanted(self, kept: dict[str, int]) -> int:
        there = _brokers_in(kept)
        if "kafka" in kept and self._brokers not in (None, there):
            raise LocalStackError(
                f"the stack in {self.data_dir} has {there} brokers, and a cluster's storage is made "
                f"for its number: holonstream local down --wipe, then holonstream local up --brokers {self._brokers}"
            )
        return self._brokers or there

    def _make(self, name: str, kept: dict[str, int]) -> Server:
        if name == "postgres":
            return PostgresServer(self.data_dir, kept, fsync=self._fsync)
        if issubclass(chosen := _CLASSES[name], JavaServer):
            return chosen(self.data_dir, kept, short_lived=self._short_lived)
        return chosen(self.data_dir, kept)

    def _start(self, servers: Sequence[Server]) -> None:
        ours = [server for server in servers if server.running() is None]
        cancelled = Event()
        with ThreadPoolExecutor(len(servers)) as pool:
            starts = [pool.submit(self._start_one, server, cancelled) for server in servers]
            try:
                wait(starts, return_when=FIRST_EXCEPTION)
                failures = [start.exception() for start in starts if start.done() and start.exception() is not None]
                if failures and failures[0] is not None:
                    raise failures[0]
            except BaseException:  # KeyboardInterrupt too: no server may stay behind a start that did not succeed
                cancelled.set()
                wait(starts)
                self._stop(ours)
                raise

    def _start_one(self, server: Server, cancelled: Event) -> None:
        if server.jar_set is not None:
            jars.fetch(server.jar_set, self._progress, cancelled=cancelled)
        server.start(self._progress, cancelled)

    def _stop(self, servers: Sequence[Server]) -> None:
        if servers:
            with ThreadPoolExecutor(len(servers)) as pool:
                list(pool.map(lambda server: server.stop(self._progress), servers))

    @contextmanager
    def _locked(self, *, create: bool) -> Iterator[None]:
        """Hold the folder's lock, so that two commands at once act one after the other."""
        if create:
            if self.data_dir.exists() and not self._state_file.exists():
                self._refuse_foreign_folder()
            self.data_dir.mkdir(parents=True, exist_ok=True)
        elif not self._state_file.exists():
            raise LocalStackError(f"no local stack in {self.data_dir}; start one: holonstream local up")
        with (self.data_dir / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _refuse_foreign_folder(self) -> None:
        # Also at up: what is put here is deleted by a later wipe, with all that lies beside it.
        if any(entry.name != "lock" for entry in self.data_dir.iterdir()):
            raise LocalStackError(f"{self.data_dir} holds other things than a local stack; name another folder")


_CLASSES: dict[str, type[Server]] = {one.name: one for one in (PostgresServer, *BROKERS, Neo4jServer, RedisServer)}


def _brokers_in(kept: dict[str, int]) -> int:
    """How many brokers ports were chosen for; 1 where there are none yet."""
    return max(sum(broker.name in kept for broker in BROKERS), 1)


def _word_of_output(argv: list[str], word: int) -> str:
    words = subprocess.run(argv, capture_output=True, text=True, check=False).stdout.split()
    return words[word] if len(words) > word else "unknown"
