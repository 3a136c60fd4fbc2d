"""What the four servers have in common: how one is started, awaited, stopped and asked for its state."""

from __future__ import annotations

import signal
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import ClassVar, Literal

from holonstream.local import ports, process
from holonstream.local.errors import LocalStackError
from holonstream.local.install import Program

_POLL = 0.1  # seconds between two probes of a starting server

State = Literal["running", "stopped", "unhealthy"]


@dataclass(frozen=True, slots=True)
class Status:
    """
    One server's state.

    `running` answers in its own protocol, `unhealthy` is a process that does not, `stopped` is no process.
    `pid` is None when stopped, `version` is None unless running.
    """

    name: str
    state: State
    pid: int | None
    port: int
    version: str | None


class Server(ABC):
    """
    One server of a stack, with its files in `<data>/<name>` and its log in `<data>/logs/<name>.log`.

    Nothing is kept in memory but the paths: the pid file says whether the server runs, so any process may ask or act.
    """

    name: ClassVar[str]
    needs: ClassVar[tuple[Program, ...]]
    jar_set: ClassVar[str | None] = None  # the jars that it is made of, which Maven fetches
    stop_signal: ClassVar[signal.Signals] = signal.SIGTERM
    start_deadline: ClassVar[float] = 300.0  # seconds; a machine that does other things too needs minutes
    stop_deadline: ClassVar[float] = 30.0  # seconds

    def __init__(self, data_dir: Path, server_ports: Mapping[str, int]) -> None:
        self.home = data_dir / self.name
        self.log = data_dir / "logs" / f"{self.name}.log"
        self.ports = server_ports
        self._pid_file = data_dir / "run" / f"{self.name}.json"

    @classmethod
    def port_names(cls) -> tuple[str, ...]:
        """The names of the ports it listens on, the one for clients first."""
        return (cls.name,)

    @property
    def port(self) -> int:
        """The port for clients."""
        return self.ports[self.name]

    @abstractmethod
    def env(self) -> dict[str, str]:
        """The settings with which a client finds this server."""

    @abstractmethod
    def prepare(self) -> None:
        """Make the files that the server needs; does nothing where they are there."""

    @abstractmethod
    def command(self) -> process.Command:
        """How to run the server in the foreground."""

    @abstractmethod
    def probe(self) -> str:
        """Return the server's version, asked in its own protocol; takes some seconds at most.

        Any exception means that the server is not ready.
        """

    def finish(self) -> None:  # noqa: B027 - most servers need nothing
        """Called at every start, once the server answers."""

    def wipe(self) -> None:  # noqa: B027 - most servers keep nothing outside the data folder
        """Delete what the server keeps outside the data folder."""

    def running(self) -> process.Process | None:
        """The running process, or None."""
        saved = process.load(self._pid_file)
        return saved if saved is not None and process.is_alive(saved) else None

    def start(self, progress: Callable[[str], None], cancelled: Event) -> None:
        """
        Start the server unless it runs, and wait until it answers.

        Raises LocalStackError with the last lines of its log if it dies or does not answer in time.
        """
        began = time.monotonic()
        self.log.parent.mkdir(parents=True, exist_ok=True)
        log_start = self.log.stat().st_size if self.log.exists() else 0
        running = self.running()
        if running is None:
            self._refuse_taken_ports()
            self.home.mkdir(parents=True, exist_ok=True)
            self.prepare()
            progress(f"{self.name}: starting on port {self.port}")
            try:
                running = process.spawn(self.command(), self.log)
            except OSError as error:
                raise LocalStackError(f"{self.name} cannot be run: {error}") from error
            self._pid_file.parent.mkdir(exist_ok=True)
            running.save(self._pid_file)
        version = self._await(running, log_start, cancelled)
        self.finish()
        progress(f"{self.name}: {version} ready after {time.monotonic() - began:.1f} s (pid {running.pid})")

    def stop(self, progress: Callable[[str], None]) -> bool:
        """Stop the server in good order, or kill it after its deadline, which returns False; nothing if it is down."""
        if (running := self.running()) is None:
            return True
        began = time.monotonic()
        clean = process.stop(running, self.stop_signal, self.stop_deadline)
        self._pid_file.unlink(missing_ok=True)
        how = "stopped" if clean else f"killed, it had not stopped in {self.stop_deadline:.0f} s,"
        progress(f"{self.name}: {how} after {time.monotonic() - began:.1f} s")
        return clean

    def kill(self) -> None:
        """SIGKILL to the server and its children, as a crash would be; nothing if it does not run."""
        if (running := self.running()) is not None:
            process.kill(running)

    def send_signal(self, number: signal.Signals) -> None:
        """
        Send a signal to the server and its children.

        Raises LocalStackError if the server does not run.
        """
        if (running := self.running()) is None:
            raise LocalStackError(f"{self.name} does not run")
        process.signal_tree(running, number)

    def status(self) -> Status:
        """The state of the server now; takes some seconds if it hangs."""
        if (running := self.running()) is None:
            return Status(self.name, "stopped", None, self.port, None)
        try:
            return Status(self.name, "running", running.pid, self.port, self.probe())
        except Exception:  # each driver has its own tree of errors, and each of them means no
            return Status(self.name, "unhealthy", running.pid, self.port, None)

    def _await(self, running: process.Process, log_start: int, cancelled: Event) -> str:
        end = time.monotonic() + self.start_deadline
        reason = "nothing listens on its port"
        while not cancelled.is_set():
            if not process.is_alive(running):
                raise LocalStackError(f"{self.name} died while starting; {self._log_end(log_start)}")
            # Drivers log refused connections, or retry them on their own clocks: ask them only once the port is open.
            if ports.is_open(self.port):
                try:
                    return self.probe()
                except Exception as error:  # as in status()
                    reason = f"{type(error).__name__}: {error}"
            if time.monotonic() > end:
                waited = f"{self.name} did not answer in {self.start_deadline:.0f} s ({reason})"
                raise LocalStackError(f"{waited}; {self._log_end(log_start)}")
            cancelled.wait(_POLL)
        raise LocalStackError(f"{self.name}: start cancelled")

    def _refuse_taken_ports(self) -> None:
        for name in self.port_names():
            if not ports.is_free(self.ports[name]):
                raise LocalStackError(
                    f"port {self.ports[name]} of {name} is taken by another program; "
                    f"stop it, or remove the port from {self.home.parent / 'stack.json'} to get a new one"
                )

    def _log_end(self, offset: int) -> str:
        return f"the last lines of {self.log}:\n{process.tail(self.log, offset)}"
