"""When to try a failed call again: exponential backoff with jitter, the same everywhere.

`backoff` only says how long to wait; the caller waits in its own way (a thread on its stop event, a task on its loop),
so that it can stop meanwhile. Jitter keeps many processes that lost one server from returning to it at one moment, and
two transactions that deadlocked from meeting again.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterator
from itertools import islice
from typing import TypeVar

T = TypeVar("T")

FIRST_DELAY = 0.1  # seconds
LONGEST_DELAY = 5.0  # seconds
DEADLOCK_ATTEMPTS = 5
DEADLOCK_DELAY = 0.02  # seconds, the first one


def backoff(first: float = FIRST_DELAY, longest: float = LONGEST_DELAY) -> Iterator[float]:
    """Seconds to wait before each retry, without end.

    The bound doubles from `first` up to `longest`; each delay is drawn between half of the bound and the bound.
    """
    bound = first
    while True:
        yield random.uniform(bound / 2, bound)
        bound = min(2 * bound, longest)


def deadlock_backoff() -> Iterator[float]:
    """Seconds to wait before each retry of a transaction that the server chose as a deadlock's victim; then it ends."""
    return islice(backoff(DEADLOCK_DELAY), DEADLOCK_ATTEMPTS - 1)


async def retry_deadlock(call: Callable[[], Awaitable[T]], deadlock: type[Exception]) -> T:
    """The result of `call`, which is one whole transaction; called again after a `deadlock`, DEADLOCK_ATTEMPTS times in
    all. Raises the last deadlock, and every other error at once."""
    for delay in deadlock_backoff():
        try:
            return await call()
        except deadlock:
            await asyncio.sleep(delay)
    return await call()
