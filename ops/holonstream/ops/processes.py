"""holonstream's processes as children: replay, demo, benchmarks and acceptance tests run a pipeline with them.

They end with the process that has started them, however that ends (`Guard`).
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Self

from holonstream.local import process
from holonstream.schemas.errors import HolonstreamError

STOP_TIMEOUT = 20.0  # seconds


class ProcessFailed(HolonstreamError):
    """A process ended by itself, or did not end when asked to."""


class Guard:
    """Kills processes when the one that has made it has ended, however that ended.

    A process of its own holds the reading end of a pipe, whose writing end the kernel closes.
    """

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "holonstream.ops.processes"],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            start_new_session=True,
        )

    def watch(self, pid: int) -> None:
        """Kill this one, too."""
        assert self._process.stdin is not None
        self._process.stdin.write(b"%d\n" % pid)
        self._process.stdin.flush()

    def close(self) -> None:
        """Kill what still runs."""
        self._process.communicate()


class Processes:
    """Children that run ``holonstream`` commands, each with a log file; all are stopped at the end."""

    def __init__(self, environment: Mapping[str, str], logs: Path) -> None:
        # A port in our environment is for a process that the operator starts.
        self._environment = {**os.environ, "HOLONSTREAM_METRICS_PORT": "0", **environment}
        self._logs = logs
        self.running: dict[str, subprocess.Popen[bytes]] = {}
        self._guard: Guard | None = None
        logs.mkdir(parents=True, exist_ok=True)

    def start(self, name: str, *arguments: str, metrics_port: int = 0) -> subprocess.Popen[bytes]:
        """Start ``holonstream ARGUMENTS``; its output goes to ``NAME.log``."""
        own = {"HOLONSTREAM_METRICS_PORT": str(metrics_port)} if metrics_port else {}
        return self.start_module(name, "holonstream", *arguments, environment=own)

    def start_module(
        self, name: str, module: str, *arguments: str, environment: Mapping[str, str] = MappingProxyType({})
    ) -> subprocess.Popen[bytes]:
        """Start ``python -m MODULE ARGUMENTS`` in the same way."""
        with (self._logs / f"{name}.log").open("ab") as output:
            child = subprocess.Popen(
                [sys.executable, "-m", module, *arguments],
                env={**self._environment, **environment},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,  # a Ctrl-C at the terminal goes to us alone, and we stop the children
            )
        self.running[name] = child
        if self._guard is None:
            self._guard = Guard()
        self._guard.watch(child.pid)
        return child

    def check(self) -> None:
        """Raise ProcessFailed when a child has ended, with the last lines that it wrote."""
        for name, child in self.running.items():
            if child.poll() is not None:
                tail = (self._logs / f"{name}.log").read_text(errors="replace").splitlines()[-5:]
                raise ProcessFailed(f"{name} ended with code {child.returncode}: {' | '.join(tail)}")

    def kill(self, name: str) -> None:
        """End a child as a crash would."""
        child = self.running.pop(name)
        child.kill()
        child.wait()

    def stop(self) -> None:
        """Stop all children in good order. Raises ProcessFailed when one has to be killed."""
        for child in self.running.values():
            if child.poll() is None:
                child.send_signal(signal.SIGTERM)
        late = []
        for name, child in self.running.items():
            try:
                child.wait(STOP_TIMEOUT)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
                late.append(name)
        self.running.clear()
        if self._guard is not None:
            self._guard.close()
            self._guard = None
        if late:
            raise ProcessFailed(f"killed after {STOP_TIMEOUT:g} s: {', '.join(late)}")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def _guard() -> None:
    """Kill the processes whose pids come on standard input, when it ends."""
    found = [process.identify(int(line)) for line in sys.stdin]
    for child in found:
        if child is not None:
            process.kill(child)


if __name__ == "__main__":
    _guard()
