"""Which partitions move between the workers of a group when one comes or goes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from aiokafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor

from holonstream.streams.transport import worker_assignor

TOPIC, PARTITIONS = "events", 12


class OneTopic:
    """What an assignor asks of a cluster."""

    def topics(self) -> set[str]:
        return {TOPIC}

    def partitions_for_topic(self, topic: str) -> set[int]:
        return set(range(PARTITIONS))


class Group:
    """Members with an assignor each, the first of which leads."""

    def __init__(self, members: Mapping[str, Any]) -> None:
        self.members = dict(members)
        self.assigned: dict[str, set[int]] = {}

    def rebalance(self) -> int:
        """Divide the partitions; how many an existing member has lost to another."""
        metadata = {name: assignor.metadata({TOPIC}) for name, assignor in self.members.items()}
        leader = next(iter(self.members.values()))
        before, self.assigned = self.assigned, {}
        for name, assignment in leader.assign(OneTopic(), metadata).items():
            self.members[name].on_assignment(assignment)
            self.assigned[name] = {partition.partition for partition in assignment.partitions()}
        assert sorted(p for own in self.assigned.values() for p in own) == list(range(PARTITIONS))
        assert max(map(len, self.assigned.values())) - min(map(len, self.assigned.values())) <= 1
        return sum(len(own - self.assigned[name]) for name, own in before.items() if name in self.assigned)


def moved(kinds: Sequence[Any]) -> tuple[int, int]:
    """Partitions that working members lose when a fourth one comes, and when the second of the four goes."""
    group = Group({f"worker-{number}": kind for number, kind in enumerate(kinds[:3])})
    group.rebalance()
    group.members["worker-3"] = kinds[3]
    joined = group.rebalance()
    del group.members["worker-1"], group.assigned["worker-1"]
    return joined, group.rebalance()


def test_a_rebalance_moves_what_it_must() -> None:
    assert moved([worker_assignor() for _ in range(4)]) == (3, 0)
    assert moved([RoundRobinPartitionAssignor] * 4) == (9, 6)


def test_workers_of_the_release_before_share_a_group() -> None:
    """An upgrade replaces one worker after the other; anyone who leads must understand all."""
    assert worker_assignor().name == RoundRobinPartitionAssignor.name
    moved([worker_assignor(), RoundRobinPartitionAssignor, worker_assignor(), RoundRobinPartitionAssignor])
    moved([RoundRobinPartitionAssignor, worker_assignor(), RoundRobinPartitionAssignor, worker_assignor()])
