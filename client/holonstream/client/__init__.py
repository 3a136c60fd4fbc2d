"""What services import: append events, query the graph, read states of the past.

`Client` is for asyncio, `SyncClient` has the same methods and blocks. Both read the present through the cache and the
graph, and the past from the log:

- *now*: `get_holon`, `traverse`, `match_pattern` ... As fresh as the sinks' lag, or at least as fresh as a token.
- *which relationships held on a date*: any relationship query with `as_of("2001-06-01")` as its filter.
- *a state as of an instant or of a log position*: `get_holon(id, at=...)`, `get_relationship(id, at=...)`.

`append_in` and `append_in_async` append in a transaction of the service's own, over the library that it uses for
PostgreSQL.

Instants are ISO-8601 text (a date without a time is its midnight, UTC), times to wait are seconds, answers are the
dataclasses `Holon` and `Relationship`. Every error derives from `HolonstreamError` (docs/appending.md says which to
catch): BadData when the event or the question is wrong, Unavailable when a server is down (trying again can help),
NotYetVisible when a read did not reach its token in time.
"""

from __future__ import annotations

from holonstream.client.asking import as_of, merge_tokens
from holonstream.client.asynchronous import Client
from holonstream.client.blocking import ClientClosed, SyncClient
from holonstream.client.settings import ClientSettings, InvalidSettings
from holonstream.client.transaction import append_in, append_in_async
from holonstream.producers.errors import (
    AppendOnly,
    EventIdConflict,
    EventTooLarge,
    HeadsAltered,
    LogRefused,
    LogUnavailable,
    NotPermitted,
    NotPrimary,
    SequenceBehind,
    SequenceExhausted,
    SessionRequired,
    TransactionConflict,
    TransactionFailed,
    UnreadableEvents,
    WrongExpectedVersion,
)
from holonstream.producers.log.append import Appended, new_event_id
from holonstream.schemas.catalogue import Catalogue
from holonstream.schemas.errors import (
    BadData,
    CannotApply,
    HolonstreamError,
    InvalidEvent,
    InvalidToken,
    MissingExtra,
    NotInitialised,
    Unavailable,
    UnknownEventType,
)
from holonstream.schemas.event import Event, RecordedEvent, ValidityWindow
from holonstream.schemas.state import Holon, Relationship
from holonstream.schemas.token import Token
from holonstream.sinks.errors import GraphRefused, GraphUnavailable, NotYetVisible
from holonstream.sinks.store import (
    HolonFilter,
    HolonPattern,
    Pattern,
    PatternMatch,
    Reached,
    RelationshipFilter,
    RelationshipPattern,
)

__all__ = [
    "AppendOnly",
    "Appended",
    "BadData",
    "CannotApply",
    "Catalogue",
    "Client",
    "ClientClosed",
    "ClientSettings",
    "Event",
    "EventIdConflict",
    "EventTooLarge",
    "GraphRefused",
    "GraphUnavailable",
    "HeadsAltered",
    "Holon",
    "HolonFilter",
    "HolonPattern",
    "HolonstreamError",
    "InvalidEvent",
    "InvalidSettings",
    "InvalidToken",
    "LogRefused",
    "LogUnavailable",
    "MissingExtra",
    "NotInitialised",
    "NotPermitted",
    "NotPrimary",
    "NotYetVisible",
    "Pattern",
    "PatternMatch",
    "Reached",
    "RecordedEvent",
    "Relationship",
    "RelationshipFilter",
    "RelationshipPattern",
    "SequenceBehind",
    "SequenceExhausted",
    "SessionRequired",
    "SyncClient",
    "Token",
    "TransactionConflict",
    "TransactionFailed",
    "Unavailable",
    "UnknownEventType",
    "UnreadableEvents",
    "ValidityWindow",
    "WrongExpectedVersion",
    "append_in",
    "append_in_async",
    "as_of",
    "merge_tokens",
    "new_event_id",
]
