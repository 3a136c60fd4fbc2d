"""Waiting until a store reflects a consistency token: the one place that knows of deadlines."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping
from time import monotonic
from typing import NamedTuple

from holonstream.schemas.token import Token
from holonstream.sinks.errors import NotYetVisible

DEADLINE = 5.0  # seconds that a read with a token waits
FIRST_PAUSE, LONGEST_PAUSE = 0.005, 0.05  # seconds between two polls


class StreamReach(NamedTuple):
    """How far a reader sees a stream."""

    position: int
    """every event of the stream up to this log position is in what is read"""
    is_parked: bool = False
    """whether the next event is parked, so that the position does not rise before a redrive"""


class Patience:
    """Pauses between the polls of something that must come within `deadline` seconds; None is the default deadline."""

    def __init__(self, deadline: float | None) -> None:
        self._deadline = DEADLINE if deadline is None else deadline
        self._began = monotonic()
        self._pause = FIRST_PAUSE

    @property
    def waited(self) -> float:
        """Seconds since it began."""
        return monotonic() - self._began

    async def pause(self) -> bool:
        """Wait until it is time for the next poll, at the latest at the deadline; False when that has passed."""
        left = self._deadline - self.waited
        if not left > 0:  # also a deadline that is no number
            return False
        await asyncio.sleep(min(self._pause, left))
        self._pause = min(self._pause * 1.5, LONGEST_PAUSE)
        return True


async def reach(
    reached: Callable[[Collection[str]], Awaitable[Mapping[str, StreamReach]]],
    at_least: Token | str | None,
    deadline: float | None,
) -> None:
    """Return when a store reflects all that a token names; `reached` says how far it has come in some streams.

    Raises NotYetVisible when it does not within `deadline` seconds, at once when a stream is parked before the event;
    InvalidToken, and what `reached` raises.
    """
    wanted = {} if at_least is None else Token.of(at_least).positions
    if not wanted:
        return
    patience = Patience(deadline)
    while True:
        there = await reached(wanted.keys())
        behind = [stream for stream, position in wanted.items() if there[stream].position < position]
        if not behind:
            return
        first = next((stream for stream in behind if there[stream].is_parked), behind[0])
        if there[first].is_parked or not await patience.pause():
            raise NotYetVisible(first, wanted[first], there[first].position, patience.waited, there[first].is_parked)
