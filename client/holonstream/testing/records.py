"""Recorded events as the records of a partition, in the wire form that the log's SQL makes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from holonstream.schemas import jsontext
from holonstream.schemas.event import RecordedEvent
from holonstream.schemas.wire import dataschema
from holonstream.sinks.base import Batch


@dataclass(frozen=True)
class Record:
    """A record as a sink sees it."""

    offset: int
    key: bytes | None
    value: bytes | None


def wire_value(event: RecordedEvent) -> bytes:
    """The CloudEvents JSON of an event."""
    document: dict[str, Any] = {
        "specversion": "1.0",
        "id": event.id,
        "type": event.type,
        "subject": event.stream,
        "time": event.occurred_at,
        "source": quote(event.source_system, safe=""),
        "dataschema": dataschema(event.type, event.schema_version),
        "datacontenttype": "application/json",
        "data": event.payload,
        "sequence": f"{event.position:019}",
        "streamversion": str(event.version),
        "recordedtime": event.recorded_at,
        "actor": event.actor,
        "subjects": _text(event.subjects),
        "causallinks": _text(event.causal_links),
    }
    if event.source_document is not None:
        document["sourcedocument"] = event.source_document
    if event.validity_window is not None:
        document["validitywindow"] = _text(event.validity_window)
    if event.traceparent is not None:
        document["traceparent"] = event.traceparent
    return jsontext.encode(document)


def _text(value: object) -> str:
    return jsontext.encode(value).decode()


def records_of(events: Iterable[RecordedEvent], first_offset: int = 0) -> list[Record]:
    """One record per event, at consecutive offsets."""
    return [Record(offset, e.stream.encode(), wire_value(e)) for offset, e in enumerate(events, first_offset)]


def batches_of(records: Sequence[Record], size: int, topic: str, partition: int = 0) -> list[Batch]:
    """The records in batches of `size`."""
    batches = []
    for start in range(0, len(records), size):
        part = records[start : start + size]
        batches.append(Batch(topic, partition, part, part[-1].offset + 1))
    return batches
