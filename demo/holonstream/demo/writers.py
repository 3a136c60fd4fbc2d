"""Services that write: several threads append a data set through the log, each stream by one of them."""

from __future__ import annotations

import zlib
from bisect import bisect_right, insort
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Lock
from typing import Protocol

from holonstream.schemas.catalogue import Catalogue
from holonstream.schemas.event import Event
from holonstream.schemas.partition import partition_of


class HasPosition(Protocol):
    """What the event store says of one appended event."""

    @property
    def stream(self) -> str: ...
    @property
    def position(self) -> int: ...


Append = Callable[[Sequence[Event]], Sequence[HasPosition]]


class Ledger:
    """What was appended: the positions of each partition, so that a position reached there can be counted in events."""

    def __init__(self, partitions: int) -> None:
        self._positions: dict[int, list[int]] = {partition: [] for partition in range(partitions)}
        self._lock = Lock()
        self.count = 0

    def note(self, appended: Sequence[HasPosition]) -> None:
        """Take note of events that were appended."""
        with self._lock:
            for event in appended:
                insort(self._positions[partition_of(event.stream, len(self._positions))], event.position)
            self.count += len(appended)

    def reached(self, positions: dict[int, int | None]) -> int:
        """How many of the events a view holds that has reached these log positions, by partition."""
        with self._lock:
            return sum(
                bisect_right(self._positions[partition], reached)
                for partition, reached in positions.items()
                if reached is not None
            )

    def reached_everywhere(self, position: int) -> int:
        """How many of the events lie at or below one log position."""
        return self.reached(dict.fromkeys(self._positions, position))


def write(
    appenders: Sequence[Append], catalogue: Catalogue, events: Sequence[Event], ledger: Ledger, batch: int
) -> None:
    """Append all events, one thread for each appender, `batch` events a transaction; events of one stream in order."""
    shares: list[list[Event]] = [[] for _ in appenders]
    for event in events:
        stream = catalogue.get(event.type).stream(event)
        shares[zlib.crc32(stream.encode()) % len(appenders)].append(event)

    def run(append: Append, share: list[Event]) -> None:
        for start in range(0, len(share), batch):
            ledger.note(append(share[start : start + batch]))

    with ThreadPoolExecutor(len(appenders)) as pool:
        for done in [pool.submit(run, append, share) for append, share in zip(appenders, shares, strict=True)]:
            done.result()
