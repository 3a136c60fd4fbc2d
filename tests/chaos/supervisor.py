"""The processes under a restart policy: one that ends by itself is checked and started again."""

from __future__ import annotations

import json
import signal
import subprocess
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from time import monotonic
from typing import Any

from holonstream.ops.processes import Processes
from tests.chaos.violations import Violations

STOP_LIMIT = 20.0  # seconds from SIGTERM, after which a process counts as hanging
YOUNG = 15.0  # seconds after its start in which a process may not handle SIGTERM yet
ENDS = ("worker.failed", "worker.not_started", "relay.failed")  # log lines that say why a process ends
RESTART_DELAY = 0.5  # seconds, so that a failing process is not restarted in a tight loop

# Kafka's client gives up on some errors of the brokers: Faust then ends the worker, and a restart policy is the answer.
BROKER_ERRORS = (
    "KafkaConnectionError", "KafkaTimeoutError", "NodeNotReadyError", "RequestTimedOutError", "UnknownError",
    "ConsumerStoppedError", "CoordinatorNotAvailable", "NotCoordinatorForGroup", "GroupCoordinatorNotAvailable",
    "CoordinatorLoadInProgress", "GroupLoadInProgress", "UnrecognizedBrokerVersion", "NoBrokersAvailable",
    "StaleMetadata", "CorrelationIdError", "BrokerNotAvailable", "LeaderNotAvailable", "NotLeaderForPartition",
    "NotEnoughReplicas", "KafkaError",
)  # fmt: skip


class Supervisor:
    """Starts, signals and watches processes by name: ``relay-1``, ``graph-2``, ``cache-1``.

    `brokers_troubled` says whether brokers suffer, or did until just now, from a fault. `variant` replaces the relay.
    """

    def __init__(
        self,
        environment: Mapping[str, str],
        logs: Path,
        violations: Violations,
        brokers_troubled: Callable[[], bool],
        variant: str | None = None,
    ) -> None:
        self._environment = environment
        self._processes = Processes(environment, logs)
        self._logs, self._violations, self._troubled, self._variant = logs, violations, brokers_troubled, variant
        self._lock = threading.RLock()
        self._held: set[str] = set()
        """processes that a fault has ended and will start again"""
        self._frozen: set[str] = set()
        self._log_start: dict[str, int] = {}
        """where in its log file a process's present life begins"""
        self._started_at: dict[str, float] = {}
        self.expected: frozenset[str] = frozenset()
        """errors with which a process may end now"""
        self.restarts: Counter[str] = Counter()
        self.stop_seconds: list[tuple[float, str]] = []
        self._closing = threading.Event()
        self._watcher = threading.Thread(target=self._watch, name="supervisor")

    def __enter__(self) -> Supervisor:
        self._watcher.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.set()
        self._watcher.join()
        children = dict(self._processes.running)
        try:
            for name in self.names():
                self.remove(name)
        finally:  # a second Ctrl-C leaves no process behind
            for child in children.values():
                if child.poll() is None:
                    child.kill()

    def names(self, kind: str = "") -> list[str]:
        """The processes that should run now, all or those of one kind."""
        with self._lock:
            return sorted(name for name in self._processes.running if name.startswith(kind))

    def start(self, name: str) -> None:
        """Start a process; its name begins with what it is."""
        kind = name.partition("-")[0]
        with self._lock:
            log = self._log(name)
            self._log_start[name] = log.stat().st_size if log.exists() else 0
            if kind == "relay" and self._variant is not None:
                self._start_variant(name, self._variant)
            else:
                self._processes.start(name, *(["relay"] if kind == "relay" else ["worker", kind]))
            self._started_at[name] = monotonic()
            self._held.discard(name)

    def kill(self, name: str) -> bool:
        """SIGKILL; False when it does not run. It stays down until `start`."""
        with self._lock:
            if not self._hold(name):
                return False
            self._processes.running[name].kill()
            self._processes.running[name].wait()
            return True

    def terminate(self, name: str) -> bool:
        """SIGTERM, and wait for the end; False when it does not run. It stays down until `start`."""
        with self._lock:
            if not self._hold(name):
                return False
            child = self._processes.running[name]
        self.thaw(name)
        began = monotonic()
        child.send_signal(signal.SIGTERM)
        try:
            code = child.wait(STOP_LIMIT)
        except subprocess.TimeoutExpired:
            self._violations.add("a process hangs after SIGTERM", name=name, seconds=STOP_LIMIT, log=self._tail(name))
            child.send_signal(signal.SIGABRT)
            child.kill()
            child.wait()
        else:
            self.stop_seconds.append((monotonic() - began, name))
            # A process that is still importing Python dies of the signal; one that had just ended because of the
            # brokers has a code of its own.
            young = began - self._started_at[name] < YOUNG and code == -signal.SIGTERM
            if code == 1 and any(line.get("event") == "stop.overdue" for line in self._lines(name)):
                self.restarts[f"{name.partition('-')[0]}: did not stop in time"] += 1
            elif code != 0 and not young and not (code == 1 and self._reason(name)[0] is not None):
                self._violations.add("a process failed after SIGTERM", name=name, code=code, log=self._tail(name))
        return True

    def remove(self, name: str) -> bool:
        """SIGTERM; the process is not started again."""
        done = self.terminate(name)
        with self._lock:
            self._processes.running.pop(name, None)
            self._held.discard(name)
        return done

    def freeze(self, name: str) -> bool:
        """SIGSTOP; False when it does not run."""
        with self._lock:
            child = self._processes.running.get(name)
            if child is None or name in self._held or child.poll() is not None:
                return False
            child.send_signal(signal.SIGSTOP)
            self._frozen.add(name)
            return True

    def leader(self, leads: bool) -> str | None:
        """The relay that was the last to lead, or one of the others."""
        relays = self.names("relay")
        times = {name: self._led_at(name) for name in relays}
        if not relays:
            return None
        first = max(relays, key=lambda name: times[name])
        others = [name for name in relays if name != first]
        return first if leads else (others[0] if others else None)

    def _start_variant(self, name: str, variant: str) -> None:
        self._processes.start_module(name, "tests.chaos.variants", variant)

    def _hold(self, name: str) -> bool:
        child = self._processes.running.get(name)
        if child is None or name in self._held:
            return False
        self._held.add(name)
        return child.poll() is None

    def thaw(self, name: str) -> None:
        """SIGCONT, if it is frozen."""
        with self._lock:
            if name in self._frozen:
                self._frozen.discard(name)
                child = self._processes.running.get(name)
                if child is not None and child.poll() is None:
                    child.send_signal(signal.SIGCONT)

    def _watch(self) -> None:
        ended_at: dict[str, float] = {}
        while not self._closing.wait(0.1):
            with self._lock:
                ended = [
                    name
                    for name, child in self._processes.running.items()
                    if name not in self._held and child.poll() is not None
                ]
                for name in ended:
                    if name not in ended_at:
                        ended_at[name] = monotonic()
                        self._check_end(name)
                    elif monotonic() - ended_at[name] > RESTART_DELAY:
                        del ended_at[name]
                        self.start(name)

    def _check_end(self, name: str) -> None:
        code = self._processes.running[name].returncode
        allowed, line = self._reason(name)
        if code == 1 and allowed is not None:
            self.restarts[f"{name.partition('-')[0]}: {allowed}"] += 1
        else:
            self._violations.add("a process ended by itself", name=name, code=code, reason=line, log=self._tail(name))

    def _reason(self, name: str) -> tuple[str | None, Any]:
        """The allowed reason why a process ended, or None; and the log line that says why."""
        for line in reversed(self._lines(name)):
            if line.get("event") in ENDS:
                cause = str(line.get("cause"))
                if cause in self.expected:
                    return cause, line
                known = next((known for known in BROKER_ERRORS if cause.startswith(known)), None)
                return (known if self._troubled() else None), line
        return None, None

    def _led_at(self, name: str) -> str:
        return max((str(at["timestamp"]) for at in self._lines(name) if at.get("event") == "relay.leading"), default="")

    def _lines(self, name: str) -> list[dict[str, Any]]:
        """The log lines of a process's present life."""
        found = []
        with self._log(name).open("rb") as log:
            log.seek(self._log_start[name])
            for text in log:
                if text.startswith(b"{"):
                    try:
                        found.append(json.loads(text))
                    except ValueError:
                        continue  # half a line, of a process that was killed
        return found

    def _tail(self, name: str) -> list[str]:
        return self._log(name).read_text(errors="replace").splitlines()[-30:]

    def _log(self, name: str) -> Path:
        return self._logs / f"{name}.log"
