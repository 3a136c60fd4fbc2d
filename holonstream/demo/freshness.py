"""How long an event takes from its commit to a view of it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from statistics import quantiles
from time import perf_counter

LOOK = 0.002  # seconds between two looks at a view


@dataclass(frozen=True)
class Sent:
    """An event on its way."""

    stream: str
    partition: int
    position: int
    at: float
    """perf_counter seconds when its append was committed"""


@dataclass(frozen=True)
class Latency:
    """Milliseconds from commit to view."""

    p50: float
    p99: float


Visible = Callable[[Sequence[Sent]], Awaitable[set[int]]]
"""Of some events, the positions of those that the view shows."""


async def watch(visible: Visible, sent: Sequence[Sent], all_sent: asyncio.Event, deadline: float) -> Latency:
    """Watch one view until it shows every event of `sent`, which may grow until `all_sent` is set.

    Raises TimeoutError after `deadline` seconds.
    """
    taken = 0
    pending: list[Sent] = []
    latencies: list[float] = []
    until = perf_counter() + deadline
    while True:
        complete = all_sent.is_set()
        pending += sent[taken:]
        taken += len(sent[taken:])
        if not pending and complete:
            break
        shown = await visible(pending) if pending else set()
        now = perf_counter()
        latencies += [(now - event.at) * 1000 for event in pending if event.position in shown]
        pending = [event for event in pending if event.position not in shown]
        if now > until:
            raise TimeoutError(f"{len(pending)} of {taken} events not visible after {deadline:g} s")
        await asyncio.sleep(LOOK)
    cuts = quantiles(latencies, n=100, method="inclusive")
    return Latency(round(cuts[49], 2), round(cuts[98], 2))
