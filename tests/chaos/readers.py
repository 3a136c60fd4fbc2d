"""Readers, with and without tokens. Each read is compared with what was known when it began.

A read with a token must not be older than the token. A value that came from the cache must not be older than an event
whose invalidation was acknowledged before the read began. The acknowledged position is the higher of two: the one that
the cache group had committed for the holon's partition, and the holon's slot in the partition's watermarks, which the
script that writes a tombstone raises (`sinks.cache`). Both are read before the value. Each state that a read shows must
be one that the log had at its position; the oracle checks that by digests.

A read that fails because a server is down, or that says NotYetVisible, breaks no promise.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from time import monotonic
from traceback import format_exception
from typing import Any

from redis.exceptions import RedisError

from holonstream.client import connections
from holonstream.ops.settings import Settings
from holonstream.schemas import jsontext
from holonstream.schemas.catalogue import Catalogue
from holonstream.schemas.errors import Unavailable
from holonstream.schemas.partition import partition_of
from holonstream.schemas.state import (
    HOLON,
    RELATIONSHIP,
    Holon,
    State,
    holon_document,
    relationship_document,
    stream_of,
)
from holonstream.sinks.cache.entry import Keys, slot_of
from holonstream.sinks.cache.reader import CachedGraphStore
from holonstream.sinks.errors import NotYetVisible
from holonstream.sinks.graph.read.store import Neo4jGraphStore
from holonstream.sinks.store import HolonPattern, Pattern, RelationshipPattern
from tests.chaos.ledger import AcknowledgedEvent, Ledger, position_in
from tests.chaos.thread import BackgroundThread
from tests.chaos.topic import TopicObserver, digest
from tests.chaos.violations import Violations
from tests.chaos.workload import BADGE, COLD, HOT, RELATIONSHIPS, relationship_ends
from tests.chaos.world import PARTITIONS

PAUSE = 0.02  # seconds between two reads of one reader
DEADLINE = 2.0  # seconds that a read with a token waits
CACHE_TIMEOUT = 0.25  # seconds; generous, so that a busy machine still gives hits
READERS = 2  # of each kind


def state_digest(state: State) -> bytes:
    """The same for equal states of any two stores."""
    document = holon_document(state) if isinstance(state, Holon) else relationship_document(state)
    return digest(jsontext.encode_sorted(document))


class Readers(BackgroundThread):
    """Reads in a thread of its own until `stop`.

    By stream and position: `shown` has the digest of every state that was read, `hits` the highest position that was
    acknowledged before a hit with this state.
    """

    def __init__(
        self,
        settings: Settings,
        ledger: Ledger,
        topic: TopicObserver,
        acknowledged: dict[int, int],
        violations: Violations,
        seed: int,
    ) -> None:
        super().__init__("readers")
        self._settings, self._ledger, self._topic = settings, ledger, topic
        self._acknowledged, self._violations = acknowledged, violations
        self._dice = random.Random(f"readers {seed}")
        self._catalogue = Catalogue.load()
        self._keys = Keys(settings.namespace)
        self.counts: Counter[str] = Counter()
        self.shown: dict[tuple[str, int], bytes] = {}
        self.hits: dict[tuple[str, int], int] = {}

    def _main(self) -> None:
        asyncio.run(self._read_until_stopped())

    async def _read_until_stopped(self) -> None:
        kinds = [self._read_without_token, self._read_with_token, self._read_relationships, self._read_pattern]
        tasks = [asyncio.create_task(self._reader(kind)) for kind in kinds for _ in range(READERS)]
        await asyncio.to_thread(self._stop.wait)
        for task in tasks:
            task.cancel()
        for outcome in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(outcome, BaseException) and not isinstance(outcome, asyncio.CancelledError):
                self._violations.add("a reader failed unexpectedly", error=repr(outcome))

    async def _reader(self, read: Callable[[CachedGraphStore, Any], Awaitable[None]]) -> None:
        """One reader with a store of its own, whose counters show whether a read was a hit."""
        never, pause = asyncio.Event(), PAUSE
        redis = connections.redis_client(self._settings, timeout=CACHE_TIMEOUT)
        connection = connections.graph_connection(self._settings)
        graph = Neo4jGraphStore(connection, self._catalogue, self._settings.topic)
        cached = CachedGraphStore(graph, redis, self._settings.namespace, retry_after=0.2)
        try:
            while not self._stop.is_set():  # Python 3.11's wait_for, the Redis client's too, can lose a cancellation
                with suppress(TimeoutError):
                    await asyncio.wait_for(never.wait(), self._dice.uniform(0, 2 * pause))
                pause = PAUSE
                try:
                    await connection.open()
                    await read(cached, redis)
                except (Unavailable, RedisError):
                    self.counts["unavailable"] += 1
                    pause = 10 * PAUSE
                except NotYetVisible:
                    self.counts["not yet visible"] += 1
                except Exception as error:
                    kind = read.__name__.strip("_")
                    self._violations.add("a read failed unexpectedly", read=kind, trace=format_exception(error))
        finally:
            await cached.close()
            await connection.close()

    def _token(self, *prefixes: str) -> AcknowledgedEvent | None:
        recent = [event for event in self._ledger.recent() if event.stream.startswith(prefixes)]
        return self._dice.choice(recent) if recent else None

    def _show(self, state: State, stream: str) -> None:
        found = state_digest(state)
        known = self.shown.setdefault((stream, state.position), found)
        if known != found:
            self._violations.add(
                "two states at one position", stream=stream, position=state.position, state=repr(state)
            )

    # --- kinds of reads ----------------------------------------------------------------------------------------------

    async def _read_without_token(self, cached: CachedGraphStore, redis: Any) -> None:
        hot = self._dice.random() < 0.5
        name = f"hot-{self._dice.randrange(HOT)}" if hot else f"cold-{self._dice.randrange(COLD // 8)}"
        stream = stream_of(HOLON, name)
        partition = partition_of(stream, PARTITIONS)
        committed = self._acknowledged.get(partition, 0)
        slot = int(await redis.hget(self._keys.watermarks(partition), slot_of(name)) or 0)
        hits, began = cached.counters.hits, monotonic()
        holon = await cached.get_holon(name)
        self.counts["without token"] += 1
        if holon is None:
            return
        self._show(holon, stream)
        if cached.counters.hits == hits:
            return
        self.counts["of these hits"] += 1
        acknowledged = max(committed, slot)
        place = (stream, holon.position)
        self.hits[place] = max(acknowledged, self.hits.get(place, 0))
        if (missed := self._topic.changed_between(stream, holon.position, acknowledged)) is not None:
            self._violations.add(
                "a cached value older than an acknowledged invalidation", stream=stream, position=holon.position,
                missed=missed, committed=committed, slot=slot, seconds=monotonic() - began,
            )  # fmt: skip

    async def _read_with_token(self, cached: CachedGraphStore, redis: Any) -> None:
        event = self._token("holon/")
        if event is None:
            return
        name = event.stream.partition("/")[2]
        holon = await cached.get_holon(name, at_least=event.token, deadline=DEADLINE)
        self.counts["get_holon with token"] += 1
        self._check(event, holon, "get_holon")

    async def _read_relationships(self, cached: CachedGraphStore, redis: Any) -> None:
        event = self._token("relationship/rel-")
        if event is None:
            return
        number = int(event.stream.rpartition("-")[2])
        type_, source, _ = relationship_ends(number)
        if self._dice.random() < 0.5:
            found = await cached.get_holon_relationships(source, at_least=event.token, deadline=DEADLINE)
        else:
            found = await cached.traverse_relationships(
                source, type_, "outgoing", at_least=event.token, deadline=DEADLINE
            )
        self.counts["traversal with token"] += 1
        one = next((r for r in found if r.id == f"rel-{number}"), None)
        self._check(event, one, "get_holon_relationships")
        for relationship in found:
            self._show(relationship, stream_of(RELATIONSHIP, relationship.id))

    async def _read_pattern(self, cached: CachedGraphStore, redis: Any) -> None:
        event = self._token("holon/hot-", "holon/cold-", "relationship/rel-")
        if event is None:
            return
        if event.stream.startswith("holon/"):
            pattern = Pattern((HolonPattern(properties={BADGE: event.stream.partition("/")[2]}),))
        else:
            number = int(event.stream.rpartition("-")[2]) % RELATIONSHIPS
            type_, source, _ = relationship_ends(number)
            holons = (HolonPattern(properties={BADGE: source}, alias="from"),)
            pattern = Pattern(holons, (RelationshipPattern(type=type_, source_alias="from"),))
        matches = await cached.match_pattern(pattern, at_least=event.token, deadline=DEADLINE)
        self.counts["pattern with token"] += 1
        streams: dict[str, State] = {}
        for match in matches:
            streams |= {stream_of(HOLON, holon.id): holon for holon in match.holons.values()}
            streams |= {stream_of(RELATIONSHIP, found.id): found for found in match.relationships}
        self._check(event, streams.get(event.stream), "match_pattern")
        for stream, state in streams.items():
            self._show(state, stream)

    def _check(self, event: AcknowledgedEvent, state: State | None, method: str) -> None:
        wanted = position_in(event.token, event.stream)
        if state is None or state.position < wanted:
            self._violations.add(
                "a read older than its token", method=method, stream=event.stream, wanted=wanted, version=event.version,
                state=None if state is None else repr(state),
            )  # fmt: skip
        if state is not None and method != "match_pattern":
            self._show(state, event.stream)
