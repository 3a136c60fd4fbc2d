"""The error tree.

    HolonstreamError
    ├── BadData              the input is wrong: refused at the door, parked by a sink, never retried
    │   ├── InvalidEvent     an event that the catalogue does not allow
    │   │   └── UnknownEventType
    │   ├── CannotApply      an event of the log that its entity's state does not allow
    │   └── InvalidToken
    ├── InvalidCatalogue     the event schemas cannot be used: nothing starts with them
    ├── NotInitialised       a server lacks what `holonstream init` makes
    ├── TopicCut             the topic lacks records that a stored offset relies on
    ├── TopicReplaced        the topic was deleted and made again under a stored offset
    ├── PartitionsAdded      the topic was given more partitions
    ├── MissingExtra         a package of an extra of holonstream is not installed
    └── Unavailable          a server is down or busy: retry with backoff for as long as it takes

Everything else that is raised is a bug: a worker stops before it acknowledges.
Packages derive their own errors from these, so that callers decide by type, never by text.
"""

from __future__ import annotations


class HolonstreamError(Exception):
    """Base of every error that holonstream raises on purpose."""


class BadData(HolonstreamError):
    """The input is wrong; a retry cannot help."""


class InvalidEvent(BadData):
    """An event does not satisfy its envelope or its type's schema."""


class UnknownEventType(InvalidEvent):
    """The event's type has no schema in the catalogue."""

    def __init__(self, name: str, event_id: str | None = None) -> None:
        which = f" (event {event_id})" if event_id else ""
        super().__init__(
            f"Unknown event type: {name!r}{which}: the catalogue has no schema for it (docs/adding-an-event-type.md)"
        )
        self.name = name


class CannotApply(BadData):
    """A recorded event cannot be applied to the state of its entity."""


class InvalidToken(BadData):
    """The text is not a consistency token."""


class InvalidCatalogue(HolonstreamError):
    """A file of the catalogue cannot be read, or does not say what it must."""


class Unavailable(HolonstreamError):
    """A server cannot be reached, or asks for a retry."""

    too_much = False
    """whether the request was too large, so that a smaller one may succeed"""


class NotInitialised(HolonstreamError):
    """A database, topic or graph lacks what `holonstream init` makes."""


class TopicCut(HolonstreamError):
    """The topic lacks records: its beginning was deleted, or its end was lost (docs/runbook.md, TopicCut)."""

    def __init__(self, what: str) -> None:
        super().__init__(
            f"{what}. The log has all events. Stop the relays and all workers, and type `holonstream replay topic`: it "
            "says what comes then (docs/runbook.md, TopicCut)"
        )


class TopicReplaced(HolonstreamError):
    """The topic was deleted and made again: offsets in the old one mean nothing in the new one."""


class PartitionsAdded(HolonstreamError):
    """The topic was given more partitions: a stream's newer events would not be where the older ones are."""


class SchemaNewer(HolonstreamError):
    """The log or the graph was upgraded by a later release, and this one would take its changes back."""


class MissingExtra(HolonstreamError):
    """A package that this call needs is not installed; the message says what to type."""

    def __init__(self, package: str, extra: str) -> None:
        super().__init__(f"The package {package} is not installed, type: pip install 'holonstream[{extra}]'")
        self.package, self.extra = package, extra
