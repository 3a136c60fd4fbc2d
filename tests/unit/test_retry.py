"""Backoff: its bounds, its jitter, and how often a deadlock is retried."""

from __future__ import annotations

from itertools import islice

import pytest

from holonstream.schemas.retry import DEADLOCK_ATTEMPTS, backoff, deadlock_backoff, retry_deadlock
from tests.conformance.graph_store import in_loop


class Deadlock(Exception):
    pass


class Victim:
    """A transaction that is a deadlock's victim `times` times, then works."""

    def __init__(self, times: int, error: type[Exception] = Deadlock) -> None:
        self.calls = 0
        self._times = times
        self._error = error

    async def __call__(self) -> int:
        self.calls += 1
        if self.calls <= self._times:
            raise self._error
        return self.calls


def test_each_delay_lies_between_half_of_a_doubling_bound_and_the_bound() -> None:
    bounds = [0.1, 0.2, 0.4, 0.8, 1.0, 1.0, 1.0]
    for _ in range(200):
        for delay, bound in zip(backoff(0.1, 1.0), bounds, strict=False):
            assert bound / 2 <= delay <= bound


def test_processes_that_failed_together_do_not_retry_together() -> None:
    seconds = sorted(next(backoff(1.0)) for _ in range(400))
    assert len(set(seconds)) == 400
    assert seconds[0] < 0.6
    assert seconds[-1] > 0.9


def test_backoff_does_not_end() -> None:
    assert sum(1 for _ in islice(backoff(), 10_000)) == 10_000


@in_loop
async def test_a_deadlock_is_retried_and_the_result_returned() -> None:
    assert await retry_deadlock(Victim(2), Deadlock) == 3


@in_loop
async def test_the_last_deadlock_is_raised() -> None:
    victim = Victim(100)
    with pytest.raises(Deadlock):
        await retry_deadlock(victim, Deadlock)
    assert victim.calls == DEADLOCK_ATTEMPTS == len(list(deadlock_backoff())) + 1


@in_loop
async def test_other_errors_are_not_retried() -> None:
    victim = Victim(1, KeyError)
    with pytest.raises(KeyError):
        await retry_deadlock(victim, Deadlock)
    assert victim.calls == 1
