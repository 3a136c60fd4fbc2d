"""What the cache's tests share: a Redis of their own, batches of records, a graph in memory that a test sets."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event
from typing import ParamSpec, cast

import msgspec
from redis.asyncio import Redis

from holonstream.local import ports
from holonstream.local.redis_server import RedisServer
from holonstream.schemas.state import Holon
from holonstream.sinks.base import Batch
from holonstream.sinks.cache.entry import encode_holon
from holonstream.sinks.store import HolonRead

P = ParamSpec("P")
TOPIC = "cache-test.events"
LONGEST_TEST = 480.0  # seconds; a test that waits for what never comes must fail


def in_loop(test: Callable[P, Coroutine[None, None, None]]) -> Callable[P, None]:
    """Run an async test in a loop of its own."""

    @functools.wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        asyncio.run(asyncio.wait_for(test(*args, **kwargs), LONGEST_TEST))

    return run


@contextmanager
def own_redis(folder: Path) -> Iterator[RedisServer]:
    """A Redis that the test may flush, stop and starve."""
    server = RedisServer(folder, ports.choose(RedisServer.port_names()))
    start(server)
    try:
        yield server
    finally:
        server.kill()


def start(server: RedisServer) -> None:
    server.start(lambda _: None, Event())


def url_of(server: RedisServer) -> str:
    return server.env()["HOLONSTREAM_REDIS_URL"]


@dataclass(frozen=True)
class Record:
    offset: int
    key: bytes | None
    value: bytes | None


def record(stream: str, position: int) -> Record:
    place = {
        "subject": stream,
        "sequence": f"{position:019}",
        "streamversion": "1",
        "recordedtime": "2024-03-01T08:00:00.000Z",
    }
    return Record(position, stream.encode(), msgspec.json.encode({**place, "data": {"never": "read"}}))


GENERATION = "test-written"


def entry_of(state: Holon | int, generation: str = GENERATION, partition: int = 0) -> bytes:
    """The value of a holon, or the tombstone at a position."""
    if isinstance(state, int):
        return b"T%020d%b%05d" % (state, generation.encode(), partition)
    return b"V%020d%b%05d%b" % (state.position, generation.encode(), partition, encode_holon(state))


async def get_entry(redis: Redis, key: str) -> bytes | None:
    """The entry at a key, with the origin that `entry_of` gives."""
    entry = cast("bytes | None", await redis.get(key))
    return entry and entry[:21] + GENERATION.encode() + b"00000" + entry[38:]


async def generation_of(redis: Redis, namespace: str, partition: int = 0) -> str:
    """The generation that a partition's watermarks began."""
    found = cast("bytes | None", await redis.hget(f"{namespace}:watermarks:{partition}", "generation"))
    assert found is not None
    return found.decode()


def batch_of(*events: tuple[str, int] | Record, partition: int = 0) -> Batch:
    """A batch of (stream, position) pairs, or of records as they are."""
    records = [e if isinstance(e, Record) else record(*e) for e in events]
    return Batch(TOPIC, partition, records, records[-1].offset + 1 if records else 0)


def holon(holon_id: str, position: int, **properties: object) -> Holon:
    return Holon(
        id=holon_id,
        type="Person",
        properties=properties,
        status="active",
        created_at="2024-03-01T08:00:00.000Z",
        created_by="tests",
        source_documents=(),
        last_modified="2024-03-01T08:00:00.000Z",
        version=1,
        position=position,
    )


@dataclass
class MemoryGraph:
    """A graph whose state a test sets; it knows which holons it has handed out."""

    partition: int = 0
    checkpoint: int = 0
    holons: dict[str, Holon] = field(default_factory=dict)
    reads: int = 0
    answers: list[Holon] = field(default_factory=list)
    before_read: Callable[[], None] | None = None

    def apply(self, holon_id: str, position: int, **properties: object) -> None:
        """Apply an event at this position to the graph: a new state, and the checkpoint reaches it."""
        self.holons[holon_id] = holon(holon_id, position, **properties)
        self.checkpoint = max(position, self.checkpoint)

    async def read_holon(self, holon_id: str) -> HolonRead:
        self.reads += 1
        if self.before_read is not None:
            self.before_read()
        found = self.holons.get(holon_id)
        if found is not None:
            self.answers.append(found)
        return HolonRead(found, self.partition, self.checkpoint)

    def gave(self, answer: Holon) -> bool:
        """Whether this very object came from here, and not out of Redis."""
        return any(answer is given for given in self.answers)
