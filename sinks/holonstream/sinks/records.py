"""What a record says, and whether it follows the one before in its stream: pure, the same for every sink that parks.

A record of ours that cannot be decoded as an event still has a readable position (`schemas.wire.decode_position`); its
stream is then parked like that of an event that does not apply. One without is dead-lettered alone; so is a record
whose key is not its stream: the relay has not written it.

Versions are dense in a stream, and versions and positions rise together. What breaks that was written by somebody else,
or shows that somebody else's record was applied before: it parks the stream, and a redrive reads it from the log.
"""

from __future__ import annotations

import msgspec

from holonstream.schemas import wire
from holonstream.schemas.errors import BadData
from holonstream.schemas.event import RecordedEvent
from holonstream.sinks.base import Batch, DeadLetter, RawRecord, is_keyed_by


class HoleInStream(BadData):
    """An event's version does not follow its stream's: events are missing before it."""


class Contradiction(BadData):
    """An event's version and position cannot both be true after what was applied before: one of them is forged."""


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


def read_record(record: RawRecord) -> RecordedEvent | UnreadableEvent | str:
    """The event that a record holds, or what is known of it; why it is dead-lettered alone, when nothing is."""
    event: RecordedEvent | UnreadableEvent
    try:
        event = wire.decode(record.value)
    except BadData as error:
        try:
            at = wire.decode_position(record.value)
        except BadData:
            return str(error)
        traceparent = wire.decode_traceparent(record.value)
        event = UnreadableEvent(at.stream, at.version, at.position, str(error), traceparent)
    if not is_keyed_by(record, event.stream):
        return f"Record of another producer: its key is {(record.key or b'')[:80]!r}, its stream {event.stream[:80]!r}"
    return event


def was_applied(event: RecordedEvent | UnreadableEvent, version: int, position: int) -> bool:
    """Whether an event is among those up to a version, whose position is known; False when it is the next one.

    Raises HoleInStream and Contradiction.
    """
    if event.version == version + 1 and event.position > position:
        return False
    if (event.version, event.position) == (version, position):
        return True
    if event.version < version and event.position < position:
        return True
    if event.version > version + 1 and event.position > position:
        raise HoleInStream(
            f"Hole in {event.stream}: after version {version} comes {event.version} (position {event.position}): "
            "events are missing, and a redrive reads them from the log"
        )
    raise Contradiction(
        f"Contradiction in {event.stream}: version {event.version} at position {event.position} comes after version "
        f"{version} at position {position}: one of them is not of the log, and a redrive reads the stream from there"
    )


def dead_letter(
    batch: Batch, record: RawRecord, event: RecordedEvent | UnreadableEvent | None, reason: str
) -> DeadLetter:
    """The letter of a record; `event` None when it does not say of which stream it is."""
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
