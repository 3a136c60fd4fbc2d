"""Errors of the log and of the relay (tree: `schemas.errors`).

BadData: WrongExpectedVersion, EventIdConflict, EventTooLarge, UnreadableEvents, BeyondLog. Unavailable:
LogUnavailable (TransactionConflict), KafkaUnavailable.
The others end a process: somebody must act.
"""

from __future__ import annotations

from collections.abc import Mapping

from holonstream.schemas.errors import BadData, HolonstreamError, InvalidEvent, Unavailable

SHOWN = 10  # faults in a message
DEFAULT_RECORD = 1_048_588  # bytes that Kafka takes unless it is told otherwise


class LogUnavailable(Unavailable):
    """PostgreSQL cannot be reached or asks to try again.

    When the connection broke during an append, the append may have been committed: repeat it with the same event ids.
    """


class TransactionConflict(LogUnavailable):
    """Two transactions got in each other's way (serialization failure or deadlock): roll back, and repeat all of it."""


class NotPrimary(LogUnavailable):
    """A standby or a logical replica of the log: it has neither all commits nor the locks of those who append."""


class KafkaUnavailable(Unavailable):
    """Kafka cannot be reached or asks to try again."""


class NotPermitted(HolonstreamError):
    """The database role or the Kafka user lacks a privilege."""


class LogRefused(HolonstreamError):
    """A trigger, a rule or a constraint that is not the log's own does not let PostgreSQL do it."""


class TransactionFailed(HolonstreamError):
    """An earlier statement of the caller's transaction failed, so that it can only be rolled back."""


class SessionRequired(HolonstreamError):
    """A pooler stands between the process and PostgreSQL, where a session of its own is needed."""


class AppendOnly(HolonstreamError):
    """Somebody tried to change or remove an event."""


class SequenceBehind(HolonstreamError):
    """The log holds positions that its sequence has not drawn: rows were restored or replicated without the sequence.
    Or somebody has altered the sequence, so that what it draws need not rise.

    Nothing may be appended until `holonstream init` has raised the sequence: what is drawn now falls among old
    positions, which the relay has passed. Events appended in between must be searched for by hand.
    """


class HeadsAltered(HolonstreamError):
    """A stream's last version is another one in the log than in holonstream.streams: rows of one of the two tables were
    restored, replicated or changed without those of the other.

    Nothing may be appended to such a stream until `holonstream init --heads` has put it right.
    """


class SequenceExhausted(HolonstreamError):
    """The sequence has no position left: somebody has lowered its MAXVALUE, which `holonstream init` puts right."""


class WrongExpectedVersion(BadData):
    """A stream is not at the version that the append expected; 0 means that there is no such stream."""

    def __init__(self, stream: str, expected: int, actual: int) -> None:
        super().__init__(f"Wrong expected version: stream {stream} is at version {actual}, expected {expected}")
        self.stream, self.expected, self.actual = stream, expected, actual


class EventIdConflict(BadData):
    """The id of an event is in the log, with other content."""


class EventTooLarge(InvalidEvent):
    """The event is larger than a Kafka record may be."""


class UnreadableEvents(BadData):
    """Events of the log that cannot be read. A query of many streams raises it after all other events."""

    def __init__(self, faults: Mapping[int, str]) -> None:
        """`faults` says, by position, which event it is and why it cannot be read."""
        shown = "; ".join(f"position {position}, {fault}" for position, fault in list(faults.items())[:SHOWN])
        more = f"; and {len(faults) - SHOWN} more" if len(faults) > SHOWN else ""
        super().__init__(f"Unreadable events in the log: {len(faults)}: {shown}{more}")
        self.faults = dict(faults)


class BeyondLog(BadData):
    """A follower's position lies beyond the end of the log: waiting there, it would miss what is appended before it."""

    def __init__(self, position: int, end: int) -> None:
        super().__init__(
            f"Position {position} lies beyond the end of the log, {end}: it is of another log, or this one was "
            f"restored from an earlier backup. Begin again at a position that is known to be right, or at 0"
        )
        self.position, self.reached = position, end


class RecordTooLarge(HolonstreamError):
    """An event of the log is larger than a record of the topic may be: the topic's limit was lowered."""

    def __init__(self, topic: str, stream: str, position: int, size: int, limit: int) -> None:
        super().__init__(
            f"Record too large: the event at position {position} (stream {stream[:80]!r}) has {size:,} bytes as a "
            f"record, topic {topic} takes at most {limit:,}. Type: kafka-configs.sh --alter --topic {topic} "
            f"--add-config max.message.bytes={max(size, DEFAULT_RECORD)}, then `holonstream init`, which makes appends "
            "refuse what does not fit, and start the relay again"
        )
        self.topic, self.stream, self.position, self.size, self.limit = topic, stream, position, size, limit


class ProducerFenced(HolonstreamError):
    """Another relay has taken over the transactional id."""


class RelayLeads(HolonstreamError):
    """A relay publishes, so its topic cannot be made again."""


class NamespaceCollision(HolonstreamError):
    """Another namespace of the same log has the same leader lock."""


class TopicBehind(HolonstreamError):
    """The topic holds less than the relay has published: it was emptied, or deleted and made again."""


class LogReplaced(HolonstreamError):
    """The topic was published from another database: this one is a copy of the log, or the log was moved."""


class LogBehind(HolonstreamError):
    """The topic holds events that the log does not have: the database was restored, or is another one."""
