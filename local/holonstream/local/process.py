"""
Server processes that outlive the command that started them.

A process is known by pid, start time and boot: a pid alone may belong to another process by the time we signal it.
Linux only (/proc).
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TypedDict

_POLL = 0.05  # seconds

# Popen objects of this interpreter's own children. Polling them reaps the dead, which as zombies would keep their pid.
_children: dict[int, subprocess.Popen[bytes]] = {}


class AsUser(TypedDict, total=False):
    """The arguments of subprocess that change the user."""

    user: str
    group: str
    extra_groups: list[str]


@dataclass(frozen=True, slots=True)
class Command:
    """What to run, where, and as whom (`user` None means the present user)."""

    argv: Sequence[str]
    cwd: Path
    env: Mapping[str, str] = field(default_factory=dict)
    user: str | None = None


@dataclass(frozen=True, slots=True)
class Process:
    """One process of one boot: `started` is in clock ticks after boot, as in /proc."""

    pid: int
    started: int
    boot: str

    def save(self, path: Path) -> None:
        """Write this identity to `path`, whole or not at all."""
        draft = path.with_suffix(".new")
        draft.write_text(json.dumps(asdict(self)) + "\n")
        draft.replace(path)


def load(path: Path) -> Process | None:
    """The identity saved in `path`, or None if there is none."""
    try:
        return Process(**json.loads(path.read_text()))
    except FileNotFoundError:
        return None


def identify(pid: int) -> Process | None:
    """The process that has this pid now; None if there is none or only a zombie."""
    fields = _stat(pid)
    # The first thread of a killed JVM is a zombie while the others still hold its ports and locks: not yet gone.
    if fields is None or (fields[0] in "ZX" and int(fields[17]) <= 1):
        return None
    return Process(pid, int(fields[19]), Path("/proc/sys/kernel/random/boot_id").read_text().strip())


def is_alive(process: Process) -> bool:
    """True while this very process runs; another one with the same pid does not count."""
    alive = identify(process.pid) == process
    reap()  # last: it may have ended just now
    return alive


def reap() -> None:
    """Take note of our children that have ended, also of those that another process has ended."""
    for pid, child in list(_children.items()):
        if child.poll() is not None:
            _children.pop(pid, None)


def spawn(command: Command, log: Path) -> Process:
    """
    Start a command in a session of its own, with no input and its output appended to `log`.

    Raises OSError if it cannot be run at all.
    """
    with log.open("ab") as output:
        child = subprocess.Popen(
            list(command.argv),
            cwd=command.cwd,
            env={**os.environ, **command.env},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            **as_user(command.user),
        )
    _children[child.pid] = child
    # Not yet reaped, so its /proc entry is there even if it died at once.
    fields = _stat(child.pid)
    started = int(fields[19]) if fields else 0
    return Process(child.pid, started, Path("/proc/sys/kernel/random/boot_id").read_text().strip())


def as_user(user: str | None) -> AsUser:
    """The subprocess arguments that run a command as `user`; none for the present user."""
    return {} if user is None else {"user": user, "group": user, "extra_groups": []}


def signal_tree(process: Process, number: signal.Signals) -> None:
    """Send a signal to a process and all its descendants, the parent first so that it starts no new ones."""
    if not is_alive(process):
        return
    family = [process, *_descendants(process.pid)]
    for member in family:
        send(member, number)


def send(process: Process, number: signal.Signals) -> None:
    """Send a signal to this very process; nothing if it is gone."""
    if is_alive(process):
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, number)


def stop(process: Process, number: signal.Signals, deadline: float) -> bool:
    """
    Ask a process to end and wait `deadline` seconds for it; then kill it and its descendants.

    True if it ended by itself.
    """
    family = [process, *_descendants(process.pid)] if is_alive(process) else []
    send(process, number)
    for member in family:
        send(member, signal.SIGCONT)  # a paused process would never see the request
    if wait_gone([process], deadline):
        return True
    kill(process)
    return False


def kill(process: Process) -> None:
    """Kill a process and its descendants, and wait until they are gone."""
    family = [process, *_descendants(process.pid)] if is_alive(process) else []
    for member in family:
        send(member, signal.SIGKILL)
    wait_gone(family, 10.0)


def wait_gone(processes: Sequence[Process], deadline: float) -> bool:
    """Wait up to `deadline` seconds until none of the processes is alive; True if so."""
    end = time.monotonic() + deadline
    while any(is_alive(process) for process in processes):
        if time.monotonic() > end:
            return False
        time.sleep(_POLL)
    return True


def tail(log: Path, offset: int = 0, lines: int = 15) -> str:
    """The last lines of a log file, of what was written after `offset` bytes."""
    try:
        with log.open("rb") as file:
            file.seek(0, os.SEEK_END)
            file.seek(max(offset, file.tell() - 64 * 1024))
            text = file.read().decode(errors="replace")
    except FileNotFoundError:
        return ""
    return "\n".join(text.splitlines()[-lines:])


def _stat(pid: int) -> list[str] | None:
    """The fields of /proc/PID/stat from the state on; the name before them may hold spaces and brackets."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None


def _descendants(pid: int) -> list[Process]:
    children: dict[int, list[int]] = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit() and (fields := _stat(int(entry))) is not None:
            children.setdefault(int(fields[1]), []).append(int(entry))
    found: list[Process] = []
    waiting = [pid]
    while waiting:
        for child in children.get(waiting.pop(), []):
            waiting.append(child)
            if (process := identify(child)) is not None:
                found.append(process)
    return found
