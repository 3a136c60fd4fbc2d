"""What a benchmark gives: figures beside those of the bare client, measured in the same run."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One measured path."""

    path: str
    value: float
    unit: str
    peer: str = ""
    """what it is compared with"""
    peer_value: float | None = None
    promise: str = ""
    kept: bool | None = None
    """None when nothing is promised"""

    @property
    def ratio(self) -> float | None:
        """The figure in units of its peer's."""
        return self.value / self.peer_value if self.peer_value else None
