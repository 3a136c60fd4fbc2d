"""The metrics of the log that a relay and the exporter have in common."""

from __future__ import annotations

from collections.abc import Iterator

from holonstream.producers.log.frontier import FrontierStatus
from holonstream.schemas.metrics import Sample


def frontier_samples(frontier: FrontierStatus) -> Iterator[Sample]:
    """Head, frontier and its holder."""
    yield "holonstream_log_head_position", frontier.head
    yield "holonstream_log_frontier_position", frontier.frontier
    age = 0.0 if frontier.holder is None else frontier.holder.age_seconds
    if age is not None:
        yield "holonstream_log_frontier_holder_seconds", age
