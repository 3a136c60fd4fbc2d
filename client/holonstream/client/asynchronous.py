"""The client for asyncio."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import TypeVar
from uuid import UUID

from holonstream.client import connections
from holonstream.client.history import At, modifications_at, state_at
from holonstream.client.metrics import ClientMetrics
from holonstream.client.settings import ClientSettings
from holonstream.producers.errors import UnreadableEvents
from holonstream.producers.log.append import Appended
from holonstream.producers.log.store import EventStore
from holonstream.schemas import tracing
from holonstream.schemas.catalogue import Catalogue
from holonstream.schemas.event import AnyEvent, RecordedEvent
from holonstream.schemas.fork import forget_after_fork
from holonstream.schemas.state import HOLON, RELATIONSHIP, Holon, Relationship, stream_of
from holonstream.schemas.token import Token
from holonstream.sinks.freshness import DEADLINE
from holonstream.sinks.store import GraphReads, SemanticGraphStore

T = TypeVar("T")

LOG_CALLS = 4  # at a time; each has a connection and a thread
PAGE = 1_000  # events that `get_events` holds


class Client(SemanticGraphStore):
    """The log, the graph and the cache behind one set of methods. One client serves any number of tasks of a loop.

    Besides the errors of `SemanticGraphStore`, reads of the present raise NotInitialised, GraphRefused, MissingExtra.

    Examples:
        >>> import asyncio
        >>> async def hire_and_promote() -> None:
        ...     async with Client.from_settings() as client:
        ...         fact = {"actor": "hr", "subjects": ("ada",), "source_system": "hr"}
        ...         (hired, promoted) = await client.append([
        ...             Event(type="PersonCreated", occurred_at="2024-03-01", payload={"rank": "O-3"}, **fact),
        ...             Event(type="PersonModified", occurred_at="2025-03-01", payload={"diff": {"rank": "O-4"}},
        ...                   **fact),
        ...         ])
        ...         now = await client.get_holon("ada", at_least=promoted.token)  # waits until it shows the write
        ...         then = await client.get_holon("ada", at="2024-12-31")
        ...         print(now.properties, then.properties, now.last_modified)
        >>> asyncio.run(hire_and_promote())
        {'rank': 'O-4'} {'rank': 'O-3'} 2025-03-01T00:00:00.000Z
    """

    def __init__(
        self,
        graph: SemanticGraphStore,
        log: EventStore,
        catalogue: Catalogue,
        *,
        deadline: float = DEADLINE,
        metrics: ClientMetrics | None = None,
    ) -> None:
        """Uses the given stores, which the caller closes.

        `deadline`, in seconds, is for reads that give none; `metrics` are those that the stores report to.
        """
        self._graph, self._deadline = graph, deadline
        self._log, self._catalogue = log, catalogue
        self._log_calls = asyncio.Semaphore(LOG_CALLS)
        forget_after_fork(self)
        self._metrics = ClientMetrics() if metrics is None else metrics

    @property
    def metrics(self) -> ClientMetrics:
        """What this client counts; `register` hands it to a registry of prometheus_client."""
        return self._metrics

    @classmethod
    @asynccontextmanager
    async def from_settings(cls, settings: ClientSettings | None = None) -> AsyncIterator[Client]:
        """A client that is open inside the ``async with``; settings come from the environment unless given.

        Nothing is connected to yet: each call connects to what it needs when it first needs it, also in a child that
        was forked. So appending needs PostgreSQL alone, reads of the present work without the log, reads of the past
        without the graph, and all without the cache. Reading the present needs ``pip install 'holonstream[read]'``.

        Raises InvalidSettings, and MissingExtra when it is to make traces. Every call raises the error of the server
        that it cannot reach.
        """
        settings = ClientSettings.load() if settings is None else settings
        if settings.traces:
            from holonstream.client.traced import TracedClient

            tracing.enable(settings.traces)
            cls = TracedClient if cls is Client else cls
        known = connections.catalogue(settings)
        metrics = ClientMetrics()
        graph = connections.reads(settings, known, metrics.cache)
        log = connections.event_store(settings, known, max_connections=LOG_CALLS, on_append=metrics.appended)
        try:
            yield cls(graph, log, known, deadline=settings.read_deadline, metrics=metrics)
        finally:
            await graph.close()
            await asyncio.to_thread(log.close)

    def _forget(self) -> object:
        """Start without calls under way in a child that was forked."""
        dropped, self._log_calls = self._log_calls, asyncio.Semaphore(LOG_CALLS)
        return dropped

    async def _fresh(self, at_least: Token | str | None, deadline: float | None) -> GraphReads:
        return await self._graph._fresh(at_least, self._patience(deadline))

    def _patience(self, deadline: float | None) -> float:
        return self._deadline if deadline is None else deadline

    async def append(self, events: Sequence[AnyEvent], *, expected: Mapping[str, int] | None = None) -> list[Appended]:
        """Append events, all or none. Returns the place and the token of each, in the order given.

        `expected` maps streams (``holon/ada``) to the version that they must be at, 0 for one that must not exist. An
        event whose id is in the log with the same content is not written again: its place is returned. So give the
        events ids (`new_event_id`) to be able to repeat an append after LogUnavailable or a cancellation. `append_in`
        appends in a transaction of your own.

        Raises InvalidEvent (UnknownEventType, EventTooLarge), WrongExpectedVersion, EventIdConflict, LogUnavailable.
        """
        return await self._in_thread(lambda: self._log.append(events, expected=expected))

    async def get_holon(
        self,
        holon_id: str,
        *,
        at_least: Token | str | None = None,
        deadline: float | None = None,
        at: At | None = None,
    ) -> Holon | None:
        """The holon, of any status; None when there is none.

        With `at` it is the state as of an instant or of a log position (`client.history` says which events count). That
        is folded from the log, at a cost that grows with the events of the holon, and `at_least` changes nothing: the
        log is never behind a token.

        Raises NotYetVisible, InvalidToken, GraphUnavailable; with `at` InvalidEvent when it is no instant, CannotApply
        when an event of the holon does not fit, LogUnavailable.
        """
        if at is None:
            return await self._graph.get_holon(holon_id, at_least=at_least, deadline=self._patience(deadline))
        state = await self._in_thread(lambda: state_at(self._log, self._catalogue, stream_of(HOLON, holon_id), at))
        return state if isinstance(state, Holon) else None

    async def get_relationship(self, relationship_id: str, *, at: At | None = None) -> Relationship | None:
        """The relationship, ended or not; None when there is none. Always read from the log, so never behind it.

        `at` and errors as for `get_holon`.
        """
        stream = stream_of(RELATIONSHIP, relationship_id)
        state = await self._in_thread(lambda: state_at(self._log, self._catalogue, stream, at))
        return state if isinstance(state, Relationship) else None

    async def get_holon_modifications(self, holon_id: str, *, at: At | None = None) -> tuple[str, ...]:
        """The ids of the events that reached the holon, from its last create on, in log order; read from the log.

        `at` and errors as for `get_holon`.
        """
        stream = stream_of(HOLON, holon_id)
        return await self._in_thread(lambda: modifications_at(self._log, self._catalogue, stream, at))

    async def get_relationship_modifications(self, relationship_id: str, *, at: At | None = None) -> tuple[str, ...]:
        """The ids of the events that reached the relationship; as `get_holon_modifications`."""
        stream = stream_of(RELATIONSHIP, relationship_id)
        return await self._in_thread(lambda: modifications_at(self._log, self._catalogue, stream, at))

    async def get_event(self, event_id: str | UUID) -> RecordedEvent | None:
        """The event of that id, None when there is none. Raises InvalidEvent when it is no UUID, LogUnavailable."""
        return await self._in_thread(lambda: self._log.get_event(event_id))

    async def get_events(
        self,
        *,
        type: str | Iterable[str] | None = None,
        start_time: str | None = None,
        end_time: str | None = None,
        actor: str | None = None,
        subjects: str | Iterable[str] | None = None,
        after: int = 0,
        limit: int | None = None,
    ) -> AsyncIterator[RecordedEvent]:
        """Events that satisfy every filter given, in log order, as far as the log is gap-free.

        Of one of the types; occurred from `start_time` to `end_time` (inclusive); by the actor; about any of the
        subjects; beyond the position `after`. Read in pages, so that neither memory nor a connection is held meanwhile.

        An event that cannot be read does not hide the others: they come first, then UnreadableEvents names it by its
        position. Raises InvalidEvent when a time is no instant, LogUnavailable.
        """
        types = type if type is None or isinstance(type, str) else list(type)
        about = subjects if subjects is None or isinstance(subjects, str) else list(subjects)

        faults: dict[int, str] = {}

        def read(after: int, size: int) -> tuple[list[RecordedEvent], dict[int, str]]:
            """A page, and those of its events that cannot be read."""
            page: list[RecordedEvent] = []
            events = self._log.get_events(
                type=types,
                start_time=start_time,
                end_time=end_time,
                actor=actor,
                subjects=about,
                after=after,
                limit=size,
            )
            try:
                for event in events:
                    page.append(event)
            except UnreadableEvents as error:
                return page, error.faults
            return page, {}

        left = limit
        while left is None or left > 0:
            size = PAGE if left is None else min(PAGE, left)
            page, unreadable = await self._in_thread(partial(read, after, size))
            for event in page:
                yield event
            faults |= unreadable
            if len(page) + len(unreadable) < size:
                break
            after = max((*unreadable, *(event.position for event in page[-1:])))
            left = None if left is None else left - size
        if faults:
            raise UnreadableEvents(faults)

    async def _in_thread(self, call: Callable[[], T]) -> T:
        async with self._log_calls:
            return await asyncio.to_thread(call)
