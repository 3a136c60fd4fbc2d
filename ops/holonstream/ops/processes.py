"""holonstream's processes as children: demo, benchmarks and acceptance tests run a pipeline with them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from holonstream.schemas.errors import HolonstreamError

STOP_TIMEOUT = 20.0  # seconds


class ProcessFailed(HolonstreamError):
    """A process ended by itself, or did not end when asked to."""


class Processes:
    """Children that run ``holonstream`` commands, each with a log file; all are stopped at the end."""

    def __init__(self, environment: Mapping[str, str], logs: Path) -> None:
        # A port in our environment is for a process that the operator starts.
        self._environment = {**os.environ, "HOLONSTREAM_METRICS_PORT": "0", **environment}
        self._logs = logs
        self.running: dict[str, subprocess.Popen[bytes]] = {}
        logs.mkdir(parents=True, exist_ok=True)

    def start(self, name: str, *arguments: str, metrics_port: int = 0) -> subprocess.Popen[bytes]:
        """Start ``holonstream ARGUMENTS``; its output goes to ``NAME.log``."""
        own = {"HOLONSTREAM_METRICS_PORT": str(metrics_port)} if metrics_port else {}
        with (self._logs / f"{name}.log").open("ab") as output:
            child = subprocess.Popen(
                [sys.executable, "-m", "holonstream", *arguments],
                env={**self._environment, **own},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,  # a Ctrl-C at the terminal goes to us alone, and we stop the children
            )
        self.running[name] = child
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
        if late:
            raise ProcessFailed(f"killed after {STOP_TIMEOUT:g} s: {', '.join(late)}")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
