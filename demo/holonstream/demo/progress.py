"""Live progress of the demo, counted in events."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic

from holonstream.demo.writers import Ledger
from holonstream.ops.kafka import client
from holonstream.ops.output import progress_interval, say_progress
from holonstream.ops.settings import Settings
from holonstream.ops.status import TopicStatus

INTERVAL = 1.0  # seconds between two lines in a file, while the counts change
QUIET = 5.0  # and while they do not


@dataclass(frozen=True)
class Counts:
    """How many events each part has handled."""

    appended: int
    relayed: int
    graph: int
    cache: int

    def by_part(self) -> dict[str, int]:
        """The counts, each with the words that it is shown with."""
        return {
            "appended": self.appended,
            "relayed": self.relayed,
            "in the graph": self.graph,
            "invalidated": self.cache,
        }

    def complete(self, total: int) -> bool:
        """Whether every part has handled all events."""
        return min(self.appended, self.relayed, self.graph, self.cache) >= total


class DemoProgress:
    """Counts how many events each part has handled, and remembers when it had handled all of them."""

    def __init__(self, settings: Settings, ledger: Ledger, total: int) -> None:
        self._settings, self._ledger, self._total = settings, ledger, total
        self._began = monotonic()
        self.finished: dict[str, float] = {}
        """seconds from the start until a part had handled everything"""

    def follow(self, check: Callable[[], None], deadline: float) -> Counts:
        """Print the counts until every part has handled everything; `check` raises when a process has died.

        Raises TimeoutError after `deadline` seconds.
        """
        pause = threading.Event()
        with TopicStatus(client(self._settings), self._settings.topic) as topic:
            ends = topic.ends()
            printed, shown = float("-inf"), None
            interval = progress_interval(INTERVAL)
            while True:
                check()
                counts = self._count(topic, ends)
                now = monotonic()
                for name, count in counts.by_part().items():
                    if count >= self._total:
                        self.finished.setdefault(name, now - self._began)
                done = counts.complete(self._total)
                if done or now - printed >= (QUIET if counts == shown else interval):
                    printed, shown = now, counts
                    self._print(counts, now - self._began)
                if done:
                    return counts
                if now - self._began > deadline:
                    raise TimeoutError(f"not everything arrived within {deadline:g} s")
                pause.wait(0.1)

    def _count(self, topic: TopicStatus, ends: dict[int, int]) -> Counts:
        appended = self._ledger.count
        relay, graph, cache = (
            {
                p.partition: p.offset if name == "relay" else p.position
                for p in topic.group(self._settings.group(name), ends, seconds=False).partitions
            }
            for name in ("relay", "graph", "cache")
        )
        return Counts(
            appended,
            self._ledger.reached_everywhere(relay[0] or 0),  # the relay keeps its position as the offset of partition 0
            self._ledger.reached(graph),
            self._ledger.reached(cache),
        )

    def _print(self, counts: Counts, seconds: float) -> None:
        parts = "   ".join(f"{part} {count:>7,}" for part, count in counts.by_part().items())
        lag = counts.appended - min(counts.graph, counts.cache)
        say_progress(f"  {seconds:6.1f} s   {parts}   lag {lag:>7,}")
