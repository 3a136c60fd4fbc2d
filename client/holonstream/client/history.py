"""States as of an instant or of a log position: the fold of one stream, read from the log.

- As of an instant (ISO-8601 text): the state *then, by all that is known now*. Events that occurred up to the instant
  count, also those that were recorded later; a validityWindow is compared with the instant.
- As of a position: the state *as it was known then*, which the graph had at that position. It is final once the log is
  gap-free up to there.

``version`` and ``position`` of the state are those of the last event that counts.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import contextmanager
from itertools import takewhile

from holonstream.producers.log.store import EventStore
from holonstream.schemas import instant
from holonstream.schemas.catalogue import Catalogue
from holonstream.schemas.event import RecordedEvent
from holonstream.schemas.projection import apply, modifications
from holonstream.schemas.state import State

At = str | int


def state_at(log: EventStore, catalogue: Catalogue, stream: str, at: At | None) -> State | None:
    """The state of a stream's entity; by all of the log when `at` is None. None when there was none.

    Raises InvalidEvent when `at` is no instant, CannotApply, LogUnavailable.
    """
    moment = _moment(at)
    state: State | None = None
    with _events(log, stream, at) as events:
        for event in events:
            state = apply(catalogue, state, event, at=moment)
    return state


def modifications_at(log: EventStore, catalogue: Catalogue, stream: str, at: At | None) -> tuple[str, ...]:
    """The ids of the events that reached a stream's entity, from its last create on, in log order.

    Errors as for `state_at`.
    """
    with _events(log, stream, at) as events:
        return modifications(catalogue, events, at=_moment(at)).get(stream, ())


def _moment(at: At | None) -> str | None:
    if at is None or (isinstance(at, int) and not isinstance(at, bool)):
        return None
    return instant.canonical(at)  # type: ignore[arg-type]  # refuses what is no text, such as a datetime


@contextmanager
def _events(log: EventStore, stream: str, at: At | None) -> Iterator[Iterator[RecordedEvent]]:
    """The events of the stream that count."""
    moment = _moment(at)
    events = log.read_stream(stream)
    try:
        if moment is not None:
            until = instant.parse(moment)
            yield (event for event in events if instant.parse(event.occurred_at) <= until)
        elif isinstance(at, int):
            yield takewhile(lambda event: event.position <= at, events)
        else:
            yield events
    finally:
        if isinstance(events, Generator):  # else an error's traceback would keep its connection out of the pool
            events.close()
