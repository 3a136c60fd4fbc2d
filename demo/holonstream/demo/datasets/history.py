"""A history that is simulated day by day: an agenda of what is still to come, and the events so far."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, time, timedelta
from random import Random
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from holonstream.schemas import instant
from holonstream.schemas.event import Event, ValidityWindow

Moment = date | datetime
"""A day stands for its midnight (UTC)."""


class History:
    """The agenda and the events of one data set; the same name and seed give the same events."""

    def __init__(self, name: str, seed: int, first_day: date, last_day: date) -> None:
        self.random = Random(seed)
        self.today = first_day
        self._last_day = last_day
        self._namespace = uuid5(NAMESPACE_URL, f"urn:holonstream:dataset:{name}")
        self._agenda: list[tuple[date, int, Callable[..., None], tuple[Any, ...]]] = []
        self._planned = 0
        self._log: list[tuple[datetime, Event]] = []

    def on(self, day: date, action: Callable[..., None], *arguments: Any) -> None:
        """Do something on a day; what was planned first for a day comes first."""
        self._planned += 1
        heapq.heappush(self._agenda, (max(day, self.today), self._planned, action, arguments))

    def after(self, days: int, action: Callable[..., None], *arguments: Any) -> None:
        """Do something so many days from now."""
        self.on(self.today + timedelta(days), action, *arguments)

    def within(self, first: int, last: int, action: Callable[..., None], *arguments: Any) -> None:
        """Do something `first` to `last` days from now."""
        self.after(self.random.randint(first, last), action, *arguments)

    def run(self) -> list[Event]:
        """Go through the agenda to the last day. The events are in the order in which they were recorded."""
        while self._agenda and self._agenda[0][0] <= self._last_day:
            self.today, _, action, arguments = heapq.heappop(self._agenda)
            action(*arguments)
        return [event for _, event in sorted(self._log, key=lambda entry: entry[0])]  # stable within a moment

    def chance(self, probability: float) -> bool:
        """Whether something of this probability happens."""
        return self.random.random() < probability

    def at(self, hour: int, minute: int = 0) -> datetime:
        """A time of today."""
        return datetime.combine(self.today, time(hour, minute), UTC)

    def event(
        self,
        type_: str,
        *subjects: str,
        by: str,
        payload: Mapping[str, Any],
        happened: Moment | None = None,
        recorded: Moment | None = None,
        valid: tuple[Moment, Moment] | None = None,
    ) -> None:
        """Something happened, today unless it says otherwise, and was recorded then, unless it says otherwise."""
        happened = happened or self.today
        event = Event(
            id=str(uuid5(self._namespace, str(len(self._log)))),
            type=type_,
            occurred_at=text(happened),
            actor=by,
            subjects=subjects,
            payload=dict(payload),
            source_system="coastal-rescue",
            validity_window=valid and ValidityWindow(start=text(valid[0]), end=text(valid[1])),
        )
        self._log.append((_instant(recorded or happened), event))

    def start(
        self,
        id_: str,
        type_: str,
        source: str,
        target: str,
        *,
        by: str,
        happened: Moment | None = None,
        recorded: Moment | None = None,
        **properties: Any,
    ) -> None:
        """A relationship with these properties begins."""
        payload = {
            "relationshipId": id_,
            "relationshipType": type_,
            **({"properties": properties} if properties else {}),
        }
        self.event("AssignmentStarted", source, target, by=by, payload=payload, happened=happened, recorded=recorded)

    def end(
        self, id_: str, source: str, target: str, *, by: str, happened: Moment | None = None, **details: Any
    ) -> None:
        """A relationship ends, on the day that the details name as `endDate` if they do."""
        payload = {"relationshipId": id_, **details}
        self.event("AssignmentEnded", source, target, by=by, payload=payload, happened=happened)


def text(moment: Moment) -> str:
    """The canonical text of a moment."""
    return instant.render(_instant(moment))


def _instant(moment: Moment) -> datetime:
    return moment if isinstance(moment, datetime) else datetime.combine(moment, time(), UTC)
