"""The client that blocks: every method of `Client`, on an event loop in a thread of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar

from holonstream.client.asynchronous import Client
from holonstream.client.loop import ClientClosed, LoopThread
from holonstream.client.metrics import ClientMetrics
from holonstream.client.settings import ClientSettings

__all__ = ["ClientClosed", "SyncClient"]

P = ParamSpec("P")
R = TypeVar("R")

CHUNK = 500  # items of an iterator that one call on the loop's thread fetches


def _blocking(
    method: Callable[Concatenate[Client, P], Coroutine[Any, Any, R]],
) -> Callable[Concatenate[SyncClient, P], R]:
    """The same method with its signature and docstring, returning what the coroutine returns."""

    @wraps(method)
    def call(self: SyncClient, /, *args: P.args, **kwargs: P.kwargs) -> R:
        own: Callable[P, Coroutine[Any, Any, R]] = getattr(self._client, method.__name__)  # the client may be traced
        return self._loop.run(lambda: own(*args, **kwargs))

    return call


def _blocking_iterator(
    method: Callable[Concatenate[Client, P], AsyncIterator[R]],
) -> Callable[Concatenate[SyncClient, P], Iterator[R]]:
    """The same for a method that gives an asynchronous iterator."""

    @wraps(method)
    def call(self: SyncClient, /, *args: P.args, **kwargs: P.kwargs) -> Iterator[R]:
        items = method(self._client, *args, **kwargs)
        while True:
            chunk, error = self._loop.run(lambda: _take(items))
            yield from chunk
            if error is not None:
                raise error
            if not chunk:
                return

    return call


async def _take(items: AsyncIterator[R]) -> tuple[list[R], Exception | None]:
    """The next items, and the error that follows them, if one does."""
    chunk: list[R] = []
    try:
        async for item in items:
            chunk.append(item)
            if len(chunk) == CHUNK:
                break
    except Exception as error:
        return chunk, error
    return chunk, None


class SyncClient:
    """`Client`, blocking: the same methods with the same arguments, answers and errors. Safe for several threads.

    A method used outside of the ``with`` raises ClientClosed. An interrupt (Ctrl-C) cancels the call under way.

    Examples:
        >>> with SyncClient.from_settings() as client:
        ...     appended = client.append([
        ...         Event(type="OrganizationCreated", occurred_at="2024-01-01", actor="hr", subjects=("wing",),
        ...               payload={"name": "Wing"}, source_system="hr"),
        ...         Event(type="AssignmentStarted", occurred_at="2024-02-01", actor="hr", subjects=("grace", "wing"),
        ...               payload={"relationshipId": "grace-wing", "relationshipType": "MEMBER_OF"},
        ...               source_system="hr"),
        ...     ])
        ...     token = merge_tokens(*appended)
        ...     for relationship in client.traverse_relationships("wing", "MEMBER_OF", "incoming", at_least=token):
        ...         print(relationship.source, "since", relationship.effective_start)
        ...     print([event.type for event in client.get_events(subjects=["wing"])])
        grace since 2024-02-01T00:00:00.000Z
        ['OrganizationCreated', 'AssignmentStarted']
    """

    def __init__(self, client: Client, loop: LoopThread) -> None:
        """For `over`."""
        self._client, self._loop = client, loop

    @classmethod
    @contextmanager
    def from_settings(cls, settings: ClientSettings | None = None) -> Iterator[SyncClient]:
        """A client that is open inside the ``with``. Settings and errors as for `Client.from_settings`."""
        with cls.over(Client.from_settings(settings)) as client:
            yield client

    @classmethod
    @contextmanager
    def over(cls, opening: AbstractAsyncContextManager[Client]) -> Iterator[SyncClient]:
        """The blocking side of a client, which is opened and closed on the loop that it will run on."""
        with LoopThread() as loop:
            client = loop.run(opening.__aenter__)
            try:
                yield cls(client, loop)
            finally:
                loop.run(lambda: opening.__aexit__(None, None, None))

    @property
    def metrics(self) -> ClientMetrics:
        """What this client counts; `register` hands it to a registry of prometheus_client."""
        return self._client.metrics

    append = _blocking(Client.append)
    get_holon = _blocking(Client.get_holon)
    get_relationship = _blocking(Client.get_relationship)
    get_holon_modifications = _blocking(Client.get_holon_modifications)
    get_relationship_modifications = _blocking(Client.get_relationship_modifications)
    get_event = _blocking(Client.get_event)
    get_events = _blocking_iterator(Client.get_events)
    query_holons_by_type = _blocking(Client.query_holons_by_type)
    get_all_holons = _blocking(Client.get_all_holons)
    get_holon_relationships = _blocking(Client.get_holon_relationships)
    traverse_relationships = _blocking(Client.traverse_relationships)
    query_relationships_by_type = _blocking(Client.query_relationships_by_type)
    get_all_relationships = _blocking(Client.get_all_relationships)
    get_connected_holons = _blocking(Client.get_connected_holons)
    traverse = _blocking(Client.traverse)
    match_pattern = _blocking(Client.match_pattern)
    export = _blocking_iterator(Client.export)
