"""Envelopes, and a stream of which one event cannot be applied."""

from __future__ import annotations

from typing import Any

Envelope = dict[str, Any]


def envelope(type: str, *subjects: str, **payload: Any) -> Envelope:
    """An envelope without an id."""
    return {
        "type": type,
        "occurredAt": "2024-03-01T08:00:00.000Z",
        "actor": "test",
        "subjects": list(subjects),
        "payload": payload,
        "sourceSystem": "test",
    }


def poisoned(name: str) -> list[Envelope]:
    """The events of a holon's stream; version 3 cannot be applied."""
    return [
        envelope("OrganizationCreated", name, holonType="MeasureDefinition"),
        envelope("OrganizationRealigned", name, properties={"measurements": "no list"}),
        envelope("MeasureEmitted", name, "x", value=1, measureId="k"),
        envelope("OrganizationRealigned", name, properties={"measurements": []}),
        envelope("MeasureEmitted", name, "x", value=2, measureId="k"),
    ]


POISON = poisoned("poor")
