"""Envelopes, and a stream of which one event cannot be applied."""

from __future__ import annotations

from typing import Any

Envelope = dict[str, Any]


def envelope(type: str, *subjects: str, **payload: Any) -> Envelope:
    return {
        "type": type,
        "occurredAt": "2024-03-01T08:00:00.000Z",
        "actor": "test",
        "subjects": list(subjects),
        "payload": payload,
        "sourceSystem": "test",
    }


POISON = [
    envelope("OrganizationCreated", "poor", holonType="MeasureDefinition"),
    envelope("OrganizationRealigned", "poor", properties={"measurements": "no list"}),
    envelope("MeasureEmitted", "poor", "x", value=1, measureId="k"),  # version 3 cannot be applied
    envelope("OrganizationRealigned", "poor", properties={"measurements": []}),
    envelope("MeasureEmitted", "poor", "x", value=2, measureId="k"),
]
