"""What a benchmark gives: figures beside those of a rival or a bare client, measured in the same run."""

from __future__ import annotations

from dataclasses import dataclass

Spread = tuple[float, float]
"""the lowest and the highest of all rounds"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One measured path; a median when it has a spread."""

    path: str
    value: float
    unit: str
    peer: str = ""
    """what it is compared with"""
    peer_value: float | None = None
    promise: str = ""
    kept: bool | None = None
    """None when nothing is promised"""
    spread: Spread | None = None
    peer_spread: Spread | None = None
    processor: float | None = None
    """microseconds of processor time of an event"""
    peer_processor: float | None = None
    samples: tuple[float, ...] = ()
    """all values that the figure is a percentile of"""
    course: tuple[tuple[float, float], ...] = ()
    """the same by time, each with its seconds"""

    @property
    def ratio(self) -> float | None:
        """The figure in units of its peer's."""
        return self.value / self.peer_value if self.peer_value else None
