"""The log as verification reads it: stream by stream, so that memory is bounded whatever the log's size.

An entity's state depends on the events of its own stream and on no others, so nothing is lost by folding one stream
after the other, and the fold then holds one state at a time. PostgreSQL has that order in the unique index on (stream,
version). It is walked in short statements, each going on where the one before ended, so that nothing is sorted, nothing
is spilled to a disk, no snapshot stays open, and one pass over the log is enough. (The rivals: hash ranges of the ids
read the whole log once per range; a temporary file of digests needs a disk as large as the log, or a state store with a
random access per event. The price here: the table's pages come in the order of streams, not of positions.)
"""

from __future__ import annotations

import random
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import cache
from importlib import resources
from types import TracebackType
from typing import LiteralString, NamedTuple, Self

from holonstream.producers.log_reader import READER_OPTIONS, ROWS_AT_ONCE
from holonstream.producers.postgres import connect, driver_errors, parse_queries
from holonstream.schemas import wire
from holonstream.schemas.catalogue import Catalogue
from holonstream.schemas.errors import BadData
from holonstream.schemas.event import RecordedEvent
from holonstream.schemas.projection import apply
from holonstream.schemas.state import State

STRETCH = 20_000  # events of one statement
BATCH_EVENTS = 5_000  # of a batch of entities, unless one entity has more
BATCH_ENTITIES = 1_000
BATCH_BYTES = 8 << 20  # of the events of a batch, which bound its states


class LoggedEvent(NamedTuple):
    """An event's place, and the event when it can be read."""

    stream: str
    version: int
    position: int
    event: RecordedEvent | None
    error: str | None = None


@dataclass(slots=True)
class Entity:
    """What the log says of one stream's entity, event by event."""

    catalogue: Catalogue
    stream: str
    left_out: frozenset[int] = frozenset()
    """versions that an operator has discarded: they move version and position, and nothing else"""
    state: State | None = None
    version: int = 0
    position: int = 0
    events: int = 0
    error: str | None = field(default=None)
    """why an event cannot be applied; the state is then the one before it, and stays"""

    def take(self, logged: LoggedEvent) -> None:
        """Fold one more event."""
        self.version, self.position = logged.version, logged.position
        self.events += 1
        if self.error is not None:
            return
        if logged.version in self.left_out:
            if self.state is not None:
                self.state = replace(self.state, version=logged.version, position=logged.position)
            return
        if logged.event is None:
            self.error = logged.error
            return
        try:
            self.state = apply(self.catalogue, self.state, logged.event)
        except BadData as error:
            self.error = str(error)


class LogReader:
    """Reads the log. Use as a context manager; `entities` may be read by one thread while another uses the rest.

    Every method raises LogUnavailable.
    """

    def __init__(self, dsn: str, catalogue: Catalogue) -> None:
        self._catalogue = catalogue
        self._walk = connect(dsn, "holonstream-verify", options=READER_OPTIONS)
        self._look = connect(dsn, "holonstream-verify", options=READER_OPTIONS)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._walk.close()
        self._look.close()

    def settled(self) -> int:
        """The position up to which the log is settled now."""
        with driver_errors():
            row = self._look.execute(_query("frontier")).fetchone()
        assert row is not None
        return int(row[1])

    def head(self) -> int:
        """The last position drawn."""
        with driver_errors():
            row = self._look.execute(_query("frontier")).fetchone()
        assert row is not None
        return int(row[0])

    def entities(self, until: int) -> Iterator[list[Entity]]:
        """Every entity as it is at a settled position, in batches of bounded size, in the order of the streams."""
        batch: list[Entity] = []
        events = size = 0
        entity: Entity | None = None
        for logged, length in self._by_stream(until):
            if entity is None or entity.stream != logged.stream:
                if entity is not None:
                    batch.append(entity)
                if len(batch) >= BATCH_ENTITIES or events >= BATCH_EVENTS or size >= BATCH_BYTES:
                    yield batch
                    batch, events, size = [], 0, 0
                entity = Entity(self._catalogue, logged.stream)
            entity.take(logged)
            events += 1
            size += length
        if entity is not None:
            yield [*batch, entity]

    def stream(self, stream: str) -> Generator[LoggedEvent, None, None]:
        """The events of one stream that are committed now, in order. Close it, or read it to its end."""
        with driver_errors(), self._look.cursor() as cursor:
            for name, version, position, value in cursor.stream(
                _query("one_stream"), {"stream": stream}, size=ROWS_AT_ONCE
            ):
                yield _logged(name, version, position, value)

    def entity(self, stream: str, until: int, *, before: int | None = None, left_out: frozenset[int]) -> Entity:
        """One entity as it is at a position, or before a version when one is given."""
        entity = Entity(self._catalogue, stream, left_out)
        with closing(self.stream(stream)) as events:
            for logged in events:
                if logged.position > until or (before is not None and logged.version >= before):
                    break
                entity.take(logged)
        return entity

    def unknown(self, streams: Sequence[str]) -> set[str]:
        """Those of some streams of which the log has no event."""
        known = [stream for stream in streams if "\0" not in stream]  # no log holds that character
        with driver_errors():
            rows = self._look.execute(_query("unknown_streams"), {"streams": known}).fetchall()
        return {stream for (stream,) in rows} | (set(streams) - set(known))

    def random_streams(self, count: int, until: int) -> list[str]:
        """At most `count` streams, each that of an event drawn at random: busy ones come more often."""
        positions = [random.randint(1, until) for _ in range(count)] if until else []
        with driver_errors():
            rows = self._look.execute(_query("streams_at"), {"positions": positions, "until": until}).fetchall()
        return sorted(stream for (stream,) in rows)

    def _by_stream(self, until: int) -> Iterator[tuple[LoggedEvent, int]]:
        place = {"stream": "", "version": 0}
        found = STRETCH
        while found == STRETCH:
            found = 0
            with driver_errors(), self._walk.cursor() as cursor:
                arguments = {**place, "until": until, "limit": STRETCH}
                for stream, version, position, value in cursor.stream(
                    _query("by_stream"), arguments, size=ROWS_AT_ONCE
                ):
                    found += 1
                    place = {"stream": stream, "version": version}
                    yield _logged(stream, version, position, value), len(value)


def _logged(stream: str, version: int, position: int, value: str) -> LoggedEvent:
    try:
        return LoggedEvent(stream, version, position, wire.decode(value.encode()))
    except BadData as error:
        return LoggedEvent(stream, version, position, None, str(error))


@cache
def _queries() -> dict[str, LiteralString]:
    # LiteralString: the text is ours, read from the package, and nothing from outside is in it
    text: LiteralString = (resources.files("holonstream.ops.verify") / "log.sql").read_text()
    return parse_queries(text)


def _query(name: str) -> LiteralString:
    return _queries()[name]
