"""How far a replay is, how fast, and how long it will take. Pure."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from holonstream.ops.output import counted

WINDOW = 15.0  # seconds over which the rate is averaged


@dataclass(frozen=True, slots=True)
class ReplayProgress:
    """Offsets of all partitions together, transaction markers included."""

    seconds: float
    """since the start"""
    done: int
    total: int
    rate: float
    """offsets a second over the last WINDOW seconds"""
    left: float | None
    """seconds; None while the rate is zero"""
    workers: int

    @property
    def left_text(self) -> str:
        """The time left, as a clock shows it."""
        return "?" if self.left is None else _duration(self.left)

    def __str__(self) -> str:
        share = 100 * self.done / self.total if self.total else 100
        return (
            f"{self.seconds:8.1f} s   {self.done:>12,} of {self.total:,} ({share:5.1f} %)   {self.rate:>9,.0f}/s   "
            f"{self.left_text} left   {counted(self.workers, 'worker')}"
        )


class ReplayEstimate:
    """Estimates rate and time left from samples of what is done."""

    def __init__(self, now: float) -> None:
        self._began = now
        self._samples: deque[tuple[float, int]] = deque()

    def add(self, now: float, done: int, total: int, workers: int) -> ReplayProgress:
        """The progress after one more sample. `now` is in seconds."""
        self._samples.append((now, done))
        while len(self._samples) > 2 and now - self._samples[0][0] > WINDOW:
            self._samples.popleft()
        since, before = self._samples[0]
        rate = max(done - before, 0) / (now - since) if now > since else 0.0
        left = 0.0 if done >= total else (total - done) / rate if rate else None
        return ReplayProgress(now - self._began, done, total, rate, left, workers)


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
