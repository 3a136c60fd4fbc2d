"""Making envelopes whose ids follow from their content, so that the same data set always gives the same events."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from holonstream.schemas.event import Event


class EnvelopeFactory:
    """Events of one source system, by one actor."""

    def __init__(self, source_system: str, actor: str) -> None:
        self._source_system = source_system
        self._actor = actor
        self._namespace = uuid5(NAMESPACE_URL, f"urn:holonstream:dataset:{source_system}")

    def event(self, name: str, type_: str, day: str, subjects: Sequence[str], payload: dict[str, Any]) -> Event:
        """An event that happened at midnight (UTC) of an ISO day; `name` must be unique in the data set."""
        return Event(
            id=str(uuid5(self._namespace, name)),
            type=type_,
            occurred_at=f"{day}T00:00:00.000Z",
            actor=self._actor,
            subjects=tuple(subjects),
            payload=payload,
            source_system=self._source_system,
        )
