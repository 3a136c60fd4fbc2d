"""A batch's records, sorted by stream and folded: pure.

A record of ours that cannot be decoded as an event still has a readable position (`schemas.wire.decode_position`); its
stream is then parked like that of an event that does not apply. One without is dead-lettered alone.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field

import msgspec

from holonstream.schemas import wire
from holonstream.schemas.catalogue import Catalogue
from holonstream.schemas.errors import BadData, CannotApply, HolonstreamError, InvalidEvent
from holonstream.schemas.event import RecordedEvent
from holonstream.schemas.projection import apply
from holonstream.schemas.state import HOLON, RELATIONSHIP, State, stream_of
from holonstream.sinks.base import Batch, DeadLetter, RawRecord
from holonstream.sinks.graph.mapping import check_ids
from holonstream.sinks.graph.parking import ParkedStream

_KINDS = (HOLON, RELATIONSHIP)


class HoleInStream(HolonstreamError):
    """An event's version does not follow its stream's: an event was lost on the way. Never retried or parked."""


class StreamInTwoPartitions(HolonstreamError):
    """A stream's events came from two partitions, so that nothing orders them: the topic's partitions were changed."""


class UnreadableEvent(msgspec.Struct, frozen=True):
    """The place of a record of ours whose rest cannot be read, and why not."""

    stream: str
    version: int
    position: int
    error: str
    traceparent: str | None


class Item(msgspec.Struct, frozen=True, gc=False):
    """A record and what it says."""

    record: RawRecord
    event: RecordedEvent | UnreadableEvent


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
    applied: int = 0
    skipped: int = 0


def sort_out(batch: Batch, checkpoint: int, outcome: Outcome) -> tuple[dict[str, list[Item]], int | None]:
    """A batch's records above the checkpoint, decoded, by stream; and the log position of the last that has one.

    Records without a readable place are dead-lettered.
    """
    streams: defaultdict[str, list[Item]] = defaultdict(list)
    position = None
    for record in batch.records:
        if record.offset < checkpoint:
            outcome.skipped += 1
            continue
        event: RecordedEvent | UnreadableEvent | None
        try:
            event = wire.decode(record.value)
        except BadData as error:
            event = _undecodable(batch, record, str(error), outcome)
            if event is None:
                continue
        position = event.position
        streams[event.stream].append(Item(record, event))
    return streams, position


def fold_stream(
    catalogue: Catalogue,
    batch: Batch,
    state: State | None,
    items: list[Item],
    parked: tuple[int, str] | None,
    outcome: Outcome,
) -> State | None:
    """The state of one stream after its items of the batch; what cannot be applied parks the stream from there on.

    `state` is None when there is none, `parked` the version from which the stream is parked, and why. Raises
    HoleInStream.
    """
    stream = items[0].event.stream
    kind = stream.partition("/")[0]
    version = state.version if state is not None else None
    for item in items:
        event = item.event
        if parked is not None:
            outcome.letters.append(_letter(batch, item.record, event, f"Parked since version {parked[0]}: {parked[1]}"))
            continue
        if version is not None and event.version != version + 1:
            if event.version <= version:
                outcome.skipped += 1
                continue
            raise HoleInStream(
                f"Hole in {stream}: after version {version} comes {event.version} (position {event.position}, "
                f"{batch.topic}[{batch.partition}] offset {item.record.offset}): events are missing"
            )
        try:
            state = _apply(catalogue, kind, state, event)
        except BadData as error:
            parked = event.version, str(error)
            _park(batch, item, str(error), type(error).__name__, outcome)
            continue
        version = event.version
        outcome.applied += 1
    return state


def park_refused(batch: Batch, streams: Mapping[str, list[Item]], reason: str, outcome: Outcome) -> None:
    """Park streams at their first item of the batch, which the graph refuses."""
    for item, *_ in streams.values():
        _park(batch, item, reason, "GraphRefused", outcome)


def _park(batch: Batch, item: Item, reason: str, cause: str, outcome: Outcome) -> None:
    event = item.event
    parked = ParkedStream(
        event.stream, event.version, event.position, batch.topic, batch.partition, item.record.offset, reason
    )
    outcome.parked.append(Parking(parked, cause, event.traceparent))
    outcome.letters.append(_letter(batch, item.record, event, reason))


def _apply(
    catalogue: Catalogue, kind: str, state: State | None, event: RecordedEvent | UnreadableEvent
) -> State | None:
    """One event's effect, with proof that it changes the entity of its stream and no other."""
    if isinstance(event, UnreadableEvent):
        raise InvalidEvent(event.error)
    event_type = catalogue.types.get(event.type)  # None has no effect, says the fold
    if kind not in _KINDS or (event_type is not None and event_type.stream_kind != kind):
        raise CannotApply(f"{event.type} (event {event.id}) does not belong to the stream {event.stream[:80]!r}")
    after = apply(catalogue, state, event)
    if after is not None and (state is None or after.id != state.id or kind == RELATIONSHIP):
        check_ids(after)
        if stream_of(kind, after.id) != event.stream:
            raise CannotApply(
                f"{event.type} (event {event.id}) changes {after.id[:80]!r}, but its stream is {event.stream[:80]!r}"
            )
    return after


def _undecodable(batch: Batch, record: RawRecord, reason: str, outcome: Outcome) -> UnreadableEvent | None:
    try:
        at = wire.decode_position(record.value)
        return UnreadableEvent(at.stream, at.version, at.position, reason, wire.decode_traceparent(record.value))
    except BadData:
        outcome.letters.append(_letter(batch, record, None, reason))
        return None


def _letter(batch: Batch, record: RawRecord, event: RecordedEvent | UnreadableEvent | None, reason: str) -> DeadLetter:
    return DeadLetter(
        topic=batch.topic,
        partition=batch.partition,
        offset=record.offset,
        stream=event.stream if event else None,
        version=event.version if event else None,
        position=event.position if event else None,
        reason=reason,
        value=record.value,
        traceparent=event.traceparent if event else None,
    )
