"""States that a worker itself wrote, kept per partition so that they need no load; bounded, least recently used.

A partition has one writer, so these states are the graph's own for as long as the worker's checkpoint is. They are put
in after a commit and thrown away whole when a transaction fails or the partition leaves.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Mapping

from holonstream.schemas.state import State


class StateCache(Mapping[str, State]):
    """The last `capacity` states, by stream."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._states: OrderedDict[str, State] = OrderedDict()

    def __getitem__(self, stream: str) -> State:
        return self._states[stream]

    def __iter__(self) -> Iterator[str]:
        return iter(self._states)

    def __len__(self) -> int:
        return len(self._states)

    def __contains__(self, stream: object) -> bool:
        return stream in self._states

    def update(self, states: Mapping[str, State]) -> None:
        """Take in what a commit has written."""
        for stream, state in states.items():
            self._states[stream] = state
            self._states.move_to_end(stream)
        while len(self._states) > self._capacity:
            self._states.popitem(last=False)

    def clear(self) -> None:
        """Forget everything."""
        self._states.clear()
