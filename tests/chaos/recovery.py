"""How long the pipeline takes to recover from a fault.

It has recovered when some events that were appended after the fault's end, and all that were acknowledged before them,
are published by the relay and committed by both groups. If another fault comes meanwhile, the time contains that too.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from time import monotonic
from typing import Any

from confluent_kafka import Consumer, KafkaException, TopicPartition

from holonstream.schemas.offset_metadata import OffsetMetadata
from tests.chaos.ledger import Ledger
from tests.chaos.report import Recovery
from tests.chaos.schedule import GROUPS, Fault
from tests.chaos.thread import BackgroundThread
from tests.chaos.topic import TopicObserver

POLL = 0.2  # seconds between two polls
TIMEOUT = 1.0  # seconds for each request to the brokers
AFTER = 10  # events acknowledged after a fault whose arrival is awaited


@dataclass
class _Pending:
    fault: Fault
    ended: float
    events: int
    target: dict[int, int] = field(default_factory=dict)


class Recoveries(BackgroundThread):
    """Polls the groups in a thread of its own. `acknowledged` is how far each has committed, per partition."""

    def __init__(
        self,
        bootstrap: str,
        namespace: str,
        partitions: int,
        ledger: Ledger,
        seen: TopicObserver,
        groups: Sequence[str],
    ) -> None:
        super().__init__("recoveries")
        self._topic, self._partitions = f"{namespace}.events", partitions
        self._ledger, self._seen = ledger, seen
        self._members = {
            group: Consumer({"bootstrap.servers": bootstrap, "group.id": f"{namespace}-{group}", "log_level": 0})
            for group in ("relay", *groups)
        }
        self._groups = groups
        self.relayed = 0
        self.acknowledged: dict[str, dict[int, int]] = {group: {} for group in GROUPS}
        """log positions; they never fall, since an acknowledgement is not taken back"""
        self._offsets: dict[str, dict[int, int]] = {group: {} for group in GROUPS}
        self.done: list[Recovery] = []
        self._pending: list[_Pending] = []
        self._lock = threading.Lock()

    def stop(self) -> None:
        """Stop. Faults that have not been recovered from get no time."""
        super().stop()
        for member in self._members.values():
            member.close()
        with self._lock:
            self.done += [Recovery(waiting.fault, None) for waiting in self._pending]
            self._pending.clear()

    def expect(self, fault: Fault) -> None:
        """A fault has just ended."""
        with self._lock:
            self._pending.append(_Pending(fault, monotonic(), self._ledger.latest()[0]))

    @property
    def waiting(self) -> int:
        """How many faults the pipeline has not yet recovered from."""
        with self._lock:
            return len(self._pending)

    def reached(self, target: dict[int, int]) -> bool:
        """Whether relay and groups have reached these positions of the partitions."""
        if self.relayed < max(target.values(), default=0):
            return False
        for partition, position in target.items():
            offset = self._seen.offset_of(partition, position)
            if offset is None or any(self._offsets[group].get(partition, 0) <= offset for group in self._groups):
                return False
        return True

    def behind(self, group: str) -> int:
        """How many partitions have records that a group has not acknowledged."""
        return sum(
            1
            for partition, last in list(self._seen.last_offset.items())
            if self._offsets[group].get(partition, 0) <= last
        )

    def state(self) -> dict[str, Any]:
        """What a violation says when the pipeline does not catch up."""
        return {"relayed": self.relayed, "offsets": self._offsets, "last_offsets": dict(self._seen.last_offset)}

    def _main(self) -> None:
        while not self._stop.wait(POLL):
            try:
                self._poll()
            except KafkaException:
                continue
            events, latest = self._ledger.latest()
            now = monotonic()
            with self._lock:
                for waiting in self._pending:
                    if not waiting.target and events >= waiting.events + AFTER:
                        waiting.target = latest
                recovered = [waiting for waiting in self._pending if waiting.target and self.reached(waiting.target)]
                for waiting in recovered:
                    self._pending.remove(waiting)
                    self.done.append(Recovery(waiting.fault, now - waiting.ended))

    def _poll(self) -> None:
        (place,) = self._members["relay"].committed([TopicPartition(self._topic, 0)], TIMEOUT)
        self.relayed = max(self.relayed, place.offset)
        for group in self._groups:
            asked = [TopicPartition(self._topic, partition) for partition in range(self._partitions)]
            for found in self._members[group].committed(asked, TIMEOUT):
                self._offsets[group][found.partition] = found.offset
                if (position := OffsetMetadata.parse(found.metadata).position) is not None:
                    known = self.acknowledged[group]
                    known[found.partition] = max(position, known.get(found.partition, 0))
