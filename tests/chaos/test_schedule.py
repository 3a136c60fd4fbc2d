"""A schedule follows from its seed, and can be performed."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.chaos.schedule import FEWEST, GROUPS, MOST, deck, make_schedule


def test_the_same_seed_gives_the_same_schedule() -> None:
    assert make_schedule(7, 600) == make_schedule(7, 600)
    assert make_schedule(7, 600) != make_schedule(8, 600)


@pytest.mark.parametrize("seed", range(5))
def test_a_long_schedule_has_every_fault_and_hits_existing_processes(seed: int) -> None:
    faults = make_schedule(seed, 3_600)
    assert [fault.at for fault in faults] == sorted(fault.at for fault in faults)
    assert {fault.kind for fault in faults} == {kind for kind, _ in deck()}
    workers = {f"{group}-{number}" for group in GROUPS for number in range(1, FEWEST + 1)}
    for fault in faults:
        if fault.kind == "add":
            assert fault.target not in workers
            workers.add(fault.target)
        elif fault.target.startswith(GROUPS):
            assert fault.target in workers
        if fault.kind == "remove":
            workers.remove(fault.target)
        sizes = Counter(name.partition("-")[0] for name in workers)
        assert all(FEWEST <= sizes[group] <= MOST for group in GROUPS)
