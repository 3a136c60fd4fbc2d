"""Faster batches: requests that run while the next group is folded, and garbage collection when it pays."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Coroutine, Iterable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

from holonstream.sinks.base import RawRecord

T = TypeVar("T")

LARGE_RECORD = 1 << 16  # bytes


class Background(Generic[T]):
    """Tasks that end with the ``async with``: awaited when it raises (their errors are lost), cancelled when it is."""

    def __init__(self) -> None:
        self._tasks: list[asyncio.Task[T]] = []

    async def start(self, work: Coroutine[Any, Any, T]) -> None:
        """Start a task, and let it send its request before this returns."""
        self._tasks.append(asyncio.create_task(work))
        await asyncio.sleep(0)

    async def then(self, work: Coroutine[Any, Any, T]) -> None:
        """Start a task once the one before is done. Raises what that one raised."""
        try:
            if self._tasks:
                await self.result()
        except BaseException:
            work.close()
            raise
        await self.start(work)

    async def result(self) -> T:
        """The result of the task started last. Raises what it raised."""
        return await self._tasks[-1]

    async def all(self) -> None:
        """Wait for all tasks. Raises what the last one raised."""
        if self._tasks:
            await self.result()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        if kind is not None and issubclass(kind, asyncio.CancelledError):
            for task in self._tasks:
                task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


@contextmanager
def collection_paused() -> Iterator[None]:
    """No garbage collection in the block: the writing of a batch.

    A batch is thousands of objects that stay until it is written, and are then freed without the collector. It would
    visit them again and again, which takes a quarter of the worker's processor.
    """
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def collect_large(records: Iterable[RawRecord]) -> None:
    """Collect garbage now if there are large records among those that were written.

    The driver's results refer to themselves and to what was sent. The collector goes by the number of objects, and so
    leaves hundreds of megabytes of a few large records lying.
    """
    if any(record.value is not None and len(record.value) > LARGE_RECORD for record in records):
        gc.collect()
