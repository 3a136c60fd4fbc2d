"""What a worker remembers of a partition that it has."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from holonstream.schemas.state import State

CACHED_BYTES = 6 << 20  # per partition


class StateCache(Mapping[str, State]):
    """The last `capacity` states that the worker itself wrote, by stream, so that they need no load.

    They take CACHED_BYTES of memory at most; a larger state is not kept. A partition has one writer, so these states
    are the graph's own for as long as the worker's checkpoint is. They are put in after a commit and thrown away whole
    when a transaction fails or the partition leaves.
    """

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._states: OrderedDict[str, tuple[State, int]] = OrderedDict()
        self._bytes = 0

    def __getitem__(self, stream: str) -> State:
        return self._states[stream][0]

    def __iter__(self) -> Iterator[str]:
        return iter(self._states)

    def __len__(self) -> int:
        return len(self._states)

    def __contains__(self, stream: object) -> bool:
        return stream in self._states

    def update(self, states: Mapping[str, State]) -> None:
        """Take in what a commit has written."""
        for stream, state in states.items():
            self._drop(stream)
            if (size := memory_of(state.properties)) <= CACHED_BYTES:
                self._states[stream] = state, size
                self._bytes += size
        while len(self._states) > self._capacity or self._bytes > CACHED_BYTES:
            self._drop(next(iter(self._states)))

    def clear(self) -> None:
        """Forget everything."""
        self._states.clear()
        self._bytes = 0

    def _drop(self, stream: str) -> None:
        if (dropped := self._states.pop(stream, None)) is not None:
            self._bytes -= dropped[1]


def memory_of(value: Any) -> int:
    """About how many bytes of memory a JSON value takes."""
    kind = type(value)
    if kind is str:
        return 50 + len(value)
    if kind is dict:
        return 250 + sum(map(memory_of, value.values()))  # names are shared
    if kind is list:
        return 60 + sum(map(memory_of, value))
    return 30


@dataclass(slots=True)
class HeldPartition:
    """A partition as its worker left it."""

    offset: int
    epoch: int
    position: int
    """the highest of all records below the offset"""
    parked: dict[str, tuple[int, str]]
    """version and reason, by stream"""
    states: StateCache
    known: int = 0
    """entities of events up to this position may be in the graph already (`sinks.graph.checkpoint`)"""
    proves_holes: bool = False
    """whether every stream without an entity has its node"""
    attempted: int | None = None
    """where a commit of unknown outcome may have moved the checkpoint; such a partition is read again before use"""
    is_visible: bool = True
    """whether the visible position of the last commit is published"""
