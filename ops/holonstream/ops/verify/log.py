"""The log as verification reads it: entity by entity, so that memory is bounded for a log of any size.

An entity's state depends on the events of its own stream and on no others, so nothing is lost by folding one stream
after the other, and the fold then holds one state at a time. (Rejected: hash ranges of the ids read the whole log
once per range; a temporary file of digests needs a disk as large as the log, or a state store with a random access per
event. The price here: the table's pages come in the order of streams, not of positions.)
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field

from msgspec.structs import replace

from holonstream.producers.log.reader import LogReader
from holonstream.schemas import wire
from holonstream.schemas.catalogue import Catalogue
from holonstream.schemas.errors import BadData
from holonstream.schemas.projection import apply
from holonstream.schemas.state import State
from holonstream.schemas.wire import LoggedEvent

BATCH_EVENTS = 5_000  # of a batch of entities, unless one entity has more
BATCH_ENTITIES = 1_000
BATCH_BYTES = 8 << 20  # of the events of a batch, which bound its states


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
    error_position: int | None = None
    """the position of that event"""

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
        try:
            self.state = apply(self.catalogue, self.state, wire.decode(logged.value))
        except BadData as error:
            self.error, self.error_position = str(error), logged.position


class EntityReader(LogReader):
    """Reads the log entity by entity; `entities` may be read by one thread while another uses the rest."""

    def __init__(self, dsn: str, catalogue: Catalogue) -> None:
        super().__init__(dsn, "holonstream-verify")
        self._catalogue = catalogue
        self._walk = LogReader(dsn, "holonstream-verify")

    def close(self) -> None:
        self._walk.close()
        super().close()

    def entities(self, until: int) -> Iterator[list[Entity]]:
        """Every entity as it is at a gap-free position, in batches of bounded size, in the order of the streams."""
        batch: list[Entity] = []
        events = size = 0
        entity: Entity | None = None
        for logged in self._walk.all_streams(until):
            if entity is None or entity.stream != logged.stream:
                if entity is not None:
                    batch.append(entity)
                if len(batch) >= BATCH_ENTITIES or events >= BATCH_EVENTS or size >= BATCH_BYTES:
                    yield batch
                    batch, events, size = [], 0, 0
                entity = Entity(self._catalogue, logged.stream)
            entity.take(logged)
            events += 1
            size += len(logged.value)
        if entity is not None:
            yield [*batch, entity]

    def entity(self, stream: str, until: int, *, before: int | None = None, left_out: frozenset[int]) -> Entity:
        """One entity as it is at a position, or before a version when one is given."""
        entity = Entity(self._catalogue, stream, left_out)
        with closing(self.stream(stream)) as events:
            for logged in events:
                if logged.position > until or (before is not None and logged.version >= before):
                    break
                entity.take(logged)
        return entity

    def random_streams(self, count: int, until: int) -> list[str]:
        """At most `count` streams, each that of an event drawn at random: busy ones come more often."""
        positions = [random.randint(1, until) for _ in range(count)] if until else []
        return self.streams_at(positions, until)
