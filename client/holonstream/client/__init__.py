"""The front door for users: append facts, ask the graph, look back in time.

`Client` is for asyncio, `SyncClient` has the same methods and blocks. Both go through the cache and the graph for what
is so now, and to the log for what was so then:

- *now*: `get_holon`, `traverse`, `match_pattern` ... As fresh as the sinks' lag, or at least as fresh as a token.
- *which relationships held on a date*: any relationship query with `as_of("2001-06-01")` as its filter.
- *a state as of an instant or of a log position*: `get_holon(id, at=...)`, `get_relationship(id, at=...)`.

Instants are ISO-8601 text (a day alone is its midnight, UTC), times to wait are seconds, answers are the dataclasses
`Holon` and `Relationship`. Errors derive from `schemas.errors.HolonstreamError`: BadData for what is wrong with the
question or the event, Unavailable for a server that is down (trying again can help), NotYetVisible for a read whose
token was not reached in time.
"""

from __future__ import annotations

from holonstream.client.asking import as_of, merge_tokens
from holonstream.client.asynchronous import Client
from holonstream.client.blocking import ClientClosed, SyncClient
from holonstream.client.settings import ClientSettings, InvalidSettings
from holonstream.producers.log.append import Appended, new_event_id
from holonstream.schemas.event import Event, RecordedEvent, ValidityWindow
from holonstream.schemas.state import Holon, Relationship
from holonstream.schemas.token import Token
from holonstream.sinks.errors import NotYetVisible
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
    "Appended",
    "Client",
    "ClientClosed",
    "ClientSettings",
    "Event",
    "Holon",
    "HolonFilter",
    "HolonPattern",
    "InvalidSettings",
    "NotYetVisible",
    "Pattern",
    "PatternMatch",
    "Reached",
    "RecordedEvent",
    "Relationship",
    "RelationshipFilter",
    "RelationshipPattern",
    "SyncClient",
    "Token",
    "ValidityWindow",
    "as_of",
    "merge_tokens",
    "new_event_id",
]
