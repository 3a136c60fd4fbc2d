"""Whether a process lives and makes progress, as reasons why not."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from typing import Protocol

from holonstream.schemas.metrics import Sample


class Health(Protocol):
    """What `/livez` and `/readyz` answer from; a reason contains no secret and nothing of an event."""

    def dead(self) -> str | None:
        """Why the process should be restarted; None while it lives."""

    def unready(self) -> str | None:
        """Why the process makes no progress; None while it does, or has nothing to do."""


class ObservedProcess(ABC):
    """A process's metrics (a `schemas.metrics.MetricSource`) and health."""

    process: str

    @abstractmethod
    def samples(self) -> Iterator[Sample]:
        """See `MetricSource`."""

    @abstractmethod
    def dead(self) -> str | None:
        """See `Health`."""

    @abstractmethod
    def unready(self) -> str | None:
        """See `Health`."""

    def close(self) -> None:  # noqa: B027 - most have nothing to close
        """Stop the polling behind the samples."""


def stale(what: str, age: float, limit: float) -> str | None:
    """The reason when something happened too long ago; both in seconds."""
    return f"{what} {age:.1f} s ago, the limit is {limit:g} s" if age > limit else None


def first(*questions: Callable[[], str | None]) -> str | None:
    """The first reason that is given, or None."""
    return next((reason for question in questions if (reason := question()) is not None), None)
