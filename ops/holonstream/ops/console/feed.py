"""Following the log: one reader for all followers.

While anybody follows, one task polls the log and keeps the newest events. A follower who is that far gets them from
memory, whatever its filter; one who is further behind reads the log in pages until it has caught up. A follower holds a
page at most, and reads the next one when its client has taken it.

Positions have gaps, so a follower's place is the last position that it has passed, not a count.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import structlog

from holonstream.client import Client
from holonstream.producers.errors import BeyondLog, UnreadableEvents
from holonstream.schemas import instant, jsontext
from holonstream.schemas.errors import HolonstreamError
from holonstream.schemas.event import RecordedEvent, event_document
from holonstream.schemas.incident import incident

log = structlog.get_logger(__name__)

PAGE = 50  # events that a statement reads
KEPT, KEPT_BYTES = 500, 8 << 20  # newest events in memory
POLL = 0.25  # seconds between two polls of the log
RETRY = 2.0  # seconds after one that failed
QUIET = 15.0  # seconds, then a follower hears that it is alive
CATCHING_UP = 3  # followers that read the log at a time


@dataclass(frozen=True, slots=True, kw_only=True)
class EventFilter:
    """All parts that are given must hold. Instants are ISO-8601 text, and both ends of the range belong to it."""

    types: tuple[str, ...] = ()
    subjects: tuple[str, ...] = ()
    actor: str | None = None
    start_time: str | None = None
    end_time: str | None = None

    def arguments(self) -> dict[str, Any]:
        """For `Client.get_events`."""
        return {
            "type": self.types or None,
            "subjects": self.subjects or None,
            "actor": self.actor,
            "start_time": self.start_time,
            "end_time": self.end_time,
        }

    def check(self) -> None:
        """Raises InvalidEvent when a time is no instant."""
        self._occurred_within(instant.now())

    def matches(self, event: RecordedEvent) -> bool:
        """Whether an event passes, as `Client.get_events` decides it."""
        return (
            (not self.types or event.type in self.types)
            and (self.actor is None or event.actor == self.actor)
            and (not self.subjects or not set(self.subjects).isdisjoint(event.subjects))
            and self._occurred_within(event.occurred_at)
        )

    def _occurred_within(self, occurred_at: str) -> bool:
        start = None if self.start_time is None else instant.parse(self.start_time)
        end = None if self.end_time is None else instant.parse(self.end_time)
        at = instant.parse(occurred_at)
        return (start is None or start <= at) and (end is None or at <= end)


@dataclass(frozen=True, slots=True)
class Entry:
    """An event of the log, or why it cannot be read."""

    position: int
    event: RecordedEvent | None
    text: bytes
    """JSON: the event's document, or the fault"""


async def read_page(client: Client, filters: EventFilter, after: int, limit: int) -> list[Entry]:
    """The next events that pass a filter. Raises InvalidEvent, LogUnavailable."""
    entries: list[Entry] = []
    try:
        async for event in client.get_events(**filters.arguments(), after=after, limit=limit):
            entries.append(Entry(event.position, event, jsontext.encode(event_document(event))))
    except UnreadableEvents as error:
        entries += [
            Entry(position, None, jsontext.encode({"position": position, "fault": fault}))
            for position, fault in error.faults.items()
        ]
    return sorted(entries, key=lambda entry: entry.position)


class EventFeed:
    """The newest events, for any number of followers."""

    def __init__(self, client: Client, frontier: Callable[[], int]) -> None:
        """`frontier` asks for the gap-free position, and is called in a thread."""
        self._client, self._frontier = client, frontier
        self._newest: deque[Entry] = deque()
        self._bytes = 0
        self._since = self._until = 0  # what is kept are all events beyond the one, up to the other
        self._followers = 0
        self.reads = 0
        """how often the log was asked"""
        self._task: asyncio.Task[None] | None = None
        self._ready = asyncio.Event()
        self._news = asyncio.Event()
        self._reading = asyncio.Semaphore(CATCHING_UP)

    async def check(self, after: int | None) -> None:
        """Check that a follower can begin beyond a position. Raises BeyondLog, LogUnavailable."""
        if after is None or (self._ready.is_set() and after <= self._until):
            return
        end = await asyncio.to_thread(self._frontier)
        if after > end:
            raise BeyondLog(after, end)

    async def follow(self, filters: EventFilter, after: int | None) -> AsyncIterator[list[Entry] | int]:
        """Events beyond a position (None: from now on) that pass a filter, in pages, without end.

        Between them, and when it is quiet, the position that was passed. An outage of the log is waited out.
        """
        self._followers += 1
        if self._task is None:
            self._task = asyncio.create_task(self._poll())
        try:
            await self._ready.wait()
            place = self._until if after is None else after
            yield place
            while True:
                news = self._news
                if place < self._since:
                    entries, place = await self._catch_up(filters, place)
                else:
                    new = [entry for entry in self._newest if entry.position > place]
                    entries = [e for e in new if e.event is None or filters.matches(e.event)]
                    place = max(place, self._until)
                    if not new:
                        with suppress(TimeoutError):
                            await asyncio.wait_for(news.wait(), QUIET)
                if entries:
                    yield entries
                yield place
        finally:
            self._followers -= 1
            if not self._followers:
                self._stop()

    async def _catch_up(self, filters: EventFilter, place: int) -> tuple[list[Entry], int]:
        known = self._until  # the log is gap-free up to here: a page that is not full has all events up to it
        try:
            async with self._reading:
                self.reads += 1
                entries = await read_page(self._client, filters, place, PAGE)
        except HolonstreamError:
            await asyncio.sleep(RETRY)
            return [], place
        return entries, entries[-1].position if len(entries) == PAGE else max(known, place)

    def _stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
        self._task = None
        self._ready.clear()
        self._newest.clear()
        self._bytes = 0

    async def _poll(self) -> None:
        """Keep the newest events until it is cancelled."""
        while True:
            try:
                if not self._ready.is_set():
                    await self._begin()
                self.reads += 1
                found = await read_page(self._client, EventFilter(), self._until, PAGE)
            except HolonstreamError as error:
                log.warning("console.feed.unavailable", **incident(error))
                await asyncio.sleep(RETRY)
                continue
            except Exception as error:  # a bug: else all followers, and those to come, would wait for ever
                log.error("console.feed.failed", **incident(error))
                await asyncio.sleep(RETRY)
                continue
            for entry in found:
                self._keep(entry)
            if found:
                self._news.set()
                self._news = asyncio.Event()
            if len(found) < PAGE:
                await asyncio.sleep(POLL)

    async def _begin(self) -> None:
        """Start where the log is gap-free now: further on, an event might still come to an earlier position."""
        self._since = self._until = await asyncio.to_thread(self._frontier)
        self._ready.set()

    def _keep(self, entry: Entry) -> None:
        self._newest.append(entry)
        self._bytes += len(entry.text)
        self._until = entry.position
        while len(self._newest) > KEPT or self._bytes > KEPT_BYTES:
            dropped = self._newest.popleft()
            self._bytes -= len(dropped.text)
            self._since = dropped.position
