"""Where do log and graph differ in one entity? Fold its stream event by event and compare. Pure.

Where to compare. Up to the gap-free position the graph must have everything, since its checkpoint has passed it. It may
have more, from events that came later: so the fold continues to the version that the graph claims. Of a parked stream
the graph has nothing from the parked version on: so the fold stops before it.

The first diverging event. If the graph's state is exactly what the log had at an earlier version, it is the event after
that version: the graph has lost it. Otherwise some event gave each differing field the value that it has in the log,
and the earliest of these events is it. (Every event changes version, position and lastModified: these count only when
nothing else differs.) Of a missing entity it is the event that created it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from holonstream.ops.verify.finding import EventPlace, GraphFinding
from holonstream.ops.verify.log import Entity
from holonstream.schemas import wire
from holonstream.schemas.errors import BadData
from holonstream.schemas.wire import LoggedEvent
from holonstream.sinks.graph.recovery.elements import Omission
from holonstream.sinks.graph.recovery.rows import (
    BOOKKEEPING,
    DIGEST,
    FieldDifference,
    Row,
    canonical_text,
    differences,
    fields,
    of_state,
    same,
    version_of,
)


@dataclass(slots=True)
class _FieldHistory:
    """Which event last changed each field of an entity."""

    fields: dict[str, Any] = field(default_factory=dict)
    changed: dict[str, EventPlace] = field(default_factory=dict)
    created: EventPlace | None = None

    def note(self, row: Row | None, place: EventPlace) -> None:
        now = fields(row)
        if self.created is None and now:
            self.created = place
        for name in now.keys() | self.fields.keys():
            if name not in now or name not in self.fields or not same(now[name], self.fields[name]):
                self.changed[name] = place
        self.fields = now

    def first(self, found: Sequence[FieldDifference]) -> EventPlace | None:
        """The earliest of the events that gave the differing fields the values that the log has."""
        names = {difference.field for difference in found}
        # No event has given the entity a field that only the graph has: it says nothing while others differ, too.
        places = [self.changed[name] for name in names - BOOKKEEPING or names if name in self.changed]
        return min(places, key=lambda place: place.version, default=self.created)


@dataclass(slots=True)
class _ClaimedVersion:
    """The differences at the version that the graph claims to be at, and the event after that version."""

    found: list[FieldDifference]
    first: EventPlace | None
    following: EventPlace | None = None


def trace(
    entity: Entity,
    events: Iterable[LoggedEvent],
    rows: Sequence[Row],
    until: int,
    omission: Omission,
    seen: int | None = None,
) -> GraphFinding | None:
    """Fold a stream's events into the empty `entity`, and compare it with the graph's rows of its id.

    `seen` is the version up to which the graph says that it has seen a stream without an entity; None when it need not
    say. Returns None when log and graph agree.
    """
    rows = sorted(rows, key=version_of, reverse=True)
    row = rows[0] if rows else None
    claimed = version_of(row) or seen or 0
    limit = omission.parked if omission.parked is not None and claimed < omission.parked else None
    history = _FieldHistory()
    claim: _ClaimedVersion | None = None
    parked = False
    for logged in events:
        if limit is not None and logged.version >= limit:
            parked = True
            break
        if logged.position > until and logged.version > claimed:
            break
        place = _place(logged)
        if claim is not None and claim.following is None:
            claim.following = place
        entity.take(logged)
        if entity.error is not None:
            return GraphFinding("unfoldable", entity.stream, place, reason=entity.error, graph=tuple(rows))
        now = of_state(entity.state)
        history.note(now, place)
        if logged.version == claimed:
            found = [difference for difference in differences(now, row) if difference.field != DIGEST]
            claim = _ClaimedVersion(found, history.first(found))
    wanted = of_state(entity.state)
    if len(rows) > 1:
        other = next((row for row in rows if canonical_text(row) != canonical_text(wanted)), row)
        event = history.first(differences(wanted, other))
        return GraphFinding("duplicate", entity.stream, event, log=wanted, graph=tuple(rows))
    if canonical_text(wanted) == canonical_text(row):
        if parked:
            return GraphFinding("parked", entity.stream, reason=omission.reason)
        if wanted is None and seen is not None and seen != entity.version:
            reason = (
                f"it has no entity; its last event has version {entity.version}, and the graph has seen it up to "
                f"{seen}: the next event would be a hole"
            )
            return GraphFinding("hole", entity.stream, reason=reason)
        return None
    if wanted is None:
        return GraphFinding("extra", entity.stream, graph=tuple(rows))
    if row is None:
        return GraphFinding("missing", entity.stream, history.created, log=wanted)
    found = differences(wanted, row)
    return GraphFinding("altered", entity.stream, _first(history, found, claim), tuple(found))


def _first(history: _FieldHistory, found: list[FieldDifference], claim: _ClaimedVersion | None) -> EventPlace | None:
    if claim is not None and claim.following is not None:
        if not claim.found:
            return claim.following
        if len(claim.found) < len(found):
            return claim.first
    return history.first(found)


def _place(logged: LoggedEvent) -> EventPlace:
    try:
        event = wire.decode(logged.value)
    except BadData:
        return EventPlace("unreadable", "unreadable", logged.version, logged.position)
    return EventPlace(event.id, event.type, logged.version, logged.position)
