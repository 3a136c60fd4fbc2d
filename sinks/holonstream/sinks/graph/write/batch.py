"""A batch's records, sorted by stream and folded: pure. What is said of single records: `sinks.records`."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from holonstream.schemas.catalogue import Catalogue
from holonstream.schemas.errors import BadData, CannotApply, InvalidEvent
from holonstream.schemas.event import RecordedEvent
from holonstream.schemas.projection import Report, apply
from holonstream.schemas.state import HOLON, RELATIONSHIP, State, stream_of
from holonstream.sinks.base import Batch, DeadLetter
from holonstream.sinks.graph.mapping import check_ids
from holonstream.sinks.parked import ParkedStream
from holonstream.sinks.records import HoleInStream, Item, UnreadableEvent, dead_letter, read_record, was_applied

_KINDS = (HOLON, RELATIONSHIP)


@dataclass(frozen=True, slots=True)
class Parking:
    """A stream that a batch parks."""

    stream: ParkedStream
    cause: str
    """the error's class"""
    traceparent: str | None

    def place(self) -> dict[str, object]:
        """What a log line says of it: all but the reason, which may name values."""
        s = self.stream
        place = {"stream": s.stream, "version": s.version, "position": s.position, "offset": s.offset}
        return {**place, "cause": self.cause, "traceparent": self.traceparent}


@dataclass(slots=True)
class Outcome:
    """The result of a batch's fold."""

    letters: list[DeadLetter] = field(default_factory=list)
    parked: list[Parking] = field(default_factory=list)
    reports: list[str] = field(default_factory=list)
    """of events that were applied in part"""
    applied: int = 0
    skipped: int = 0
    out_of_order: int = 0
    """records above the checkpoint whose position is not above all before: the relay has not written both"""


def sort_out(
    batch: Batch, checkpoint: int, outcome: Outcome, reached: int = 0
) -> tuple[dict[str, list[Item]], int | None]:
    """A batch's records above the checkpoint, decoded, by stream; and the highest log position, None without any.

    `reached` is the highest position of all records below the checkpoint. Records without a readable place, or with
    another key than their stream, are dead-lettered.
    """
    streams: defaultdict[str, list[Item]] = defaultdict(list)
    highest = reached
    found = False
    for record in batch.records:
        if record.offset < checkpoint:
            outcome.skipped += 1
            continue
        event = read_record(record)
        if isinstance(event, str):
            outcome.letters.append(dead_letter(batch, record, None, event))
            continue
        found = True
        if event.position > highest:
            highest = event.position
        else:
            outcome.out_of_order += 1
        streams[event.stream].append(Item(record, event))
    return streams, highest if found else None


def fold_stream(
    catalogue: Catalogue,
    batch: Batch,
    state: State | None,
    items: list[Item],
    parked: tuple[int, str] | None,
    outcome: Outcome,
    seen: tuple[int, int] | None = None,
) -> State | None:
    """The state of one stream after its items of the batch; what cannot be applied parks the stream from there on.

    `state` is None when there is none, `parked` the version from which the stream is parked, and why. `seen` is the
    version and position up to which a stream without a state was folded before, None when that is not known.
    """
    kind = items[0].event.stream.partition("/")[0]
    last = seen if state is None else (state.version, state.position)
    for item in items:
        event = item.event
        if parked is not None:
            outcome.letters.append(
                dead_letter(batch, item.record, event, f"Parked since version {parked[0]}: {parked[1]}")
            )
            continue
        try:
            if last is not None and was_applied(event, *last):
                outcome.skipped += 1
                continue
            state = _apply(catalogue, kind, state, event, outcome.reports.append)
        except HoleInStream as error:
            assert last is not None
            parked = last[0] + 1, str(error)  # readers must not take what is missing for reached
            _park(batch, item, str(error), type(error).__name__, outcome, (last[0] + 1, last[1] + 1))
            continue
        except BadData as error:
            parked = event.version, str(error)
            _park(batch, item, str(error), type(error).__name__, outcome)
            continue
        last = event.version, event.position
        outcome.applied += 1
    return state


def leave_out(batch: Batch, items: Sequence[Item], reason: str, outcome: Outcome) -> None:
    """Dead-letter records of a readable place without parking their stream: the relay has not written them."""
    outcome.letters += [dead_letter(batch, item.record, item.event, reason) for item in items]


def park_refused(batch: Batch, streams: Mapping[str, list[Item]], reason: str, outcome: Outcome) -> None:
    """Park streams at their first item of the batch, which the graph refuses."""
    for item, *_ in streams.values():
        _park(batch, item, reason, "GraphRefused", outcome)


def _park(
    batch: Batch, item: Item, reason: str, cause: str, outcome: Outcome, place: tuple[int, int] | None = None
) -> None:
    """Park a stream at an item, or at the version and position of `place`."""
    event = item.event
    version, position = place or (event.version, event.position)
    parked = ParkedStream(event.stream, version, position, batch.topic, batch.partition, item.record.offset, reason)
    outcome.parked.append(Parking(parked, cause, event.traceparent))
    outcome.letters.append(dead_letter(batch, item.record, event, reason))


def _apply(
    catalogue: Catalogue, kind: str, state: State | None, event: RecordedEvent | UnreadableEvent, report: Report
) -> State | None:
    """One event's effect, with proof that it changes the entity of its stream and no other."""
    if isinstance(event, UnreadableEvent):
        raise InvalidEvent(event.error)
    event_type = catalogue.types.get(event.type)  # None has no effect, says the fold
    if kind not in _KINDS or (event_type is not None and event_type.stream_kind != kind):
        raise CannotApply(f"{event.type} (event {event.id}) does not belong to the stream {event.stream[:80]!r}")
    after = apply(catalogue, state, event, report=report)
    if after is not None and (state is None or after.id != state.id or kind == RELATIONSHIP):
        check_ids(after)
        if stream_of(kind, after.id) != event.stream:
            raise CannotApply(
                f"{event.type} (event {event.id}) changes {after.id[:80]!r}, but its stream is {event.stream[:80]!r}"
            )
    return after
