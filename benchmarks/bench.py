"""What a benchmark works with: servers of its own, and the processor time of their processes."""

from __future__ import annotations

import json
import os
import statistics
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import psycopg

from holonstream.local.stack import Stack
from holonstream.ops.processes import Processes
from holonstream.ops.settings import Settings

TICK = 1 / os.sysconf("SC_CLK_TCK")  # seconds


@dataclass(frozen=True)
class Bench:
    """The servers and the settings that lead to them. `quick`: fewer and shorter rounds."""

    stack: Stack
    settings: Settings
    quick: bool = False

    def rounds(self, usual: int) -> int:
        """How many rounds to take."""
        return max(2, usual // 2) if self.quick else usual

    def seconds(self, usual: float) -> float:
        """How long to measure something."""
        return usual / 2 if self.quick else usual

    def note(self, line: str) -> None:
        """Say on standard error what was just measured."""
        print(line, file=sys.stderr, flush=True)

    def server(self, name: str) -> int:
        """The pid of a server."""
        return int(json.loads((self.stack.data_dir / "run" / f"{name}.json").read_text())["pid"])


def processor_seconds(pid: int) -> float:
    """What a process has used of the processor since it began; 0 when it has gone."""
    try:
        if len(os.listdir(f"/proc/{pid}/task")) == 1:  # to the nanosecond, and of the first thread only
            return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1e9
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    return (int(fields[11]) + int(fields[12])) * TICK


def resident(pid: int) -> int:
    """Bytes of memory that a process has."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def postgres_sessions(connection: psycopg.Connection[Any], *names: str) -> list[int]:
    """The server's processes that serve clients with one of these application names."""
    found = connection.execute(
        "SELECT pid FROM pg_stat_activity WHERE application_name = ANY (%s) "
        "UNION SELECT pid FROM pg_stat_replication WHERE 'walsender' = ANY (%s)",
        [list(names), list(names)],
    )
    return [pid for (pid,) in found]


class Meter:
    """The processor time of some processes, by part, from when it is made."""

    def __init__(self, parts: Mapping[str, Iterable[int]]) -> None:
        self._at = perf_counter()
        self._began = {part: {pid: processor_seconds(pid) for pid in pids} for part, pids in parts.items()}

    def used(self) -> dict[str, float]:
        """Seconds since then."""
        return {
            part: sum(max(0.0, processor_seconds(pid) - before) for pid, before in pids.items())
            for part, pids in self._began.items()
        }

    def shares(self) -> dict[str, float]:
        """Percent of a core since then."""
        seconds = perf_counter() - self._at
        return {part: 100 * used / seconds for part, used in self.used().items()}


def pipeline_meter(bench: Bench, processes: Processes, **sessions: str) -> Meter:
    """Of the processes, Kafka, Neo4j, Redis and PostgreSQL's sessions: application names by part."""
    with psycopg.connect(bench.settings.log_dsn, autocommit=True) as connection:
        serving = {part: postgres_sessions(connection, name) for part, name in sessions.items()}
    children = {name: [child.pid] for name, child in processes.running.items()}
    return Meter({**children, **{name: [bench.server(name)] for name in ("kafka", "neo4j", "redis")}, **serving})


def median(values: Sequence[float]) -> float:
    """The median."""
    return statistics.median(values)
