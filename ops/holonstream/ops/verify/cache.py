"""Does the cache hold what the log says, or said a moment ago?

Each entry is compared with the log, with the graph, and with what is *acknowledged*: the position up to which the cache
group has committed the holon's partition, or the slot of the partition's watermarks, whichever is higher
(`sinks.cache`). What is acknowledged is read before the entry. So a value that lacks an acknowledged event is a broken
promise, never bad timing. An entry is one of:

- *equal*: what the log says now;
- *lagging*: older than the log, by events that the cache group has not acknowledged yet. They will replace it by a
  tombstone;
- *tombstone*: no value. The graph has reached it, so the next read fills it;
- *awaited*: a tombstone that the graph has not reached. Reads go to the graph, and no older value can be stored;
- *foreign*: not an entry of this release, or of an earlier generation. Readers ignore it and ask the graph;

or a violation:

- *stale*: a value or tombstone older than an acknowledged event;
- *altered*: not what the log said at the entry's own position, as when it was filled from a damaged graph;
- *ahead*: beyond the end of the log, as after the log was restored from a backup. It would keep newer values out.

The age of an entry is the time since the first event was recorded that a value lacks or a tombstone awaits. A value
that is newer than the graph is correct (the graph is being rebuilt), and only counted. A repair deletes violations:
deleting an entry is always safe.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from time import monotonic
from typing import cast

from redis.asyncio import Redis
from redis.exceptions import ResponseError

from holonstream.ops.verify.cache_finding import VIOLATIONS, CacheFinding, CacheTally
from holonstream.ops.verify.log import Entity, EntityReader
from holonstream.schemas import instant, wire
from holonstream.schemas.catalogue import Catalogue
from holonstream.schemas.errors import InvalidEvent
from holonstream.schemas.partition import partition_of
from holonstream.schemas.state import HOLON, Holon, stream_of
from holonstream.sinks.cache.driver import redis_errors
from holonstream.sinks.cache.entry import Keys, decode_value, is_value, origin_of, position_of, slot_of
from holonstream.sinks.graph.checkpoint import checkpoints
from holonstream.sinks.graph.driver import GraphConnection
from holonstream.sinks.graph.recovery.elements import GraphReader, Omission
from holonstream.sinks.graph.recovery.rows import Row, canonical_text, differences, of_state

BATCH = 200  # entries read at a time
FEW = 10_000  # keys of a Redis that is scanned whole even for a sample

ReadAcknowledged = Callable[[], Awaitable[dict[int, int]]]
"""The log position, per partition, that the cache group has committed."""


class CacheVerifier:
    """Classifies cached entries; see the module's docstring.

    `found` is called with each finding: every entry but equal values and plain tombstones. `verify` raises
    CacheUnavailable, LogUnavailable, GraphUnavailable, NotInitialised, and what `acknowledged` raises.
    """

    def __init__(
        self,
        redis: Redis,
        namespace: str,
        log: EntityReader,
        connection: GraphConnection,
        catalogue: Catalogue,
        topic: str,
        acknowledged: ReadAcknowledged,
        *,
        repairs: bool = False,
        found: Callable[[CacheFinding], None] = lambda finding: None,
    ) -> None:
        self._redis, self._keys, self._log, self._connection = redis, Keys(namespace), log, connection
        self._catalogue, self._topic, self._acknowledged = catalogue, topic, acknowledged
        self._graph = GraphReader(connection, catalogue)
        self._repairs, self._found = repairs, found

    async def verify(self, count: int | None, limit: int) -> CacheTally:
        """Classify all entries, or `count` drawn at random. At most `limit` findings are kept; all are counted."""
        began = monotonic()
        tally = CacheTally()
        async for keys in self._all() if count is None else self._sample(count):
            for finding in await self._classify(keys, tally):
                if finding.verdict in VIOLATIONS and self._repairs:
                    with redis_errors("deleting an entry"):
                        await self._redis.unlink(finding.key)
                    tally.deleted += 1
                    finding = replace(finding, deleted=True)
                if len(tally.listed) < limit:
                    tally.listed.append(finding)
                    self._found(finding)
                else:
                    tally.unlisted += 1
        tally.seconds = monotonic() - began
        return tally

    # --- choosing entries ---------------------------------------------------------------------------------------------

    async def _all(self) -> AsyncIterator[list[str]]:
        prefix = self._keys.holon
        cursor = 0
        while True:
            with redis_errors("scanning"):
                cursor, found = await self._redis.scan(cursor, match=f"{_literal(prefix)}*", count=1_000)
            for start in range(0, len(found), BATCH):
                yield [_text(key) for key in found[start : start + BATCH]]
            if cursor == 0:
                return

    async def _sample(self, count: int) -> AsyncIterator[list[str]]:
        with redis_errors("counting keys"):
            size = await self._redis.dbsize()
        chosen: set[str] = set()
        if size <= max(FEW, 10 * count):
            there = [key async for keys in self._all() for key in keys]
            chosen.update(random.sample(there, min(count, len(there))))
        else:
            prefix = self._keys.holon.encode()
            for _ in range(20 * count // BATCH + 1):
                pipeline = self._redis.pipeline(transaction=False)
                for _ in range(BATCH):
                    pipeline.randomkey()
                with redis_errors("drawing keys"):
                    drawn = await pipeline.execute()
                chosen.update(_text(key) for key in drawn if key is not None and key.startswith(prefix))
                if len(chosen) >= count:
                    break
            else:  # most keys are of others: a scan, some 2 s for a million of them
                there = [key async for keys in self._all() for key in keys]
                chosen = set(random.sample(there, min(count, len(there))))
        keys = sorted(chosen)[:count]
        for start in range(0, len(keys), BATCH):
            yield keys[start : start + BATCH]

    # --- classifying them ---------------------------------------------------------------------------------------------

    async def _classify(self, keys: Sequence[str], tally: CacheTally) -> list[CacheFinding]:
        """The findings among some entries. Read in this order, or the proof fails: acknowledged, entries, log."""
        ids = [key.removeprefix(self._keys.holon) for key in keys]
        acknowledged, origins = await self._acknowledged_of(ids)
        with redis_errors("reading entries"):
            entries = cast("list[bytes | None]", await self._redis.mget(keys))
        reached_at = [c.visible_position for c in await checkpoints(self._connection, self._topic)]
        streams = [stream_of(HOLON, i) for i in ids]
        omissions = await self._graph.omissions(streams)
        rows = await self._graph.rows_of(streams)
        head = (await asyncio.to_thread(self._log.frontier)).head
        findings = []
        for key, i, stream, entry in zip(keys, ids, streams, entries, strict=True):
            if entry is None:
                continue  # deleted since its key was read
            tally.entries += 1
            if origin_of(entry) not in origins:
                entry = b""  # readers do not trust it
            row = next(iter(rows.get(stream, [])), None)
            omission = omissions.get(stream, Omission())
            reached = reached_at[partition_of(stream, len(reached_at))]
            judged = await asyncio.to_thread(self._judge, key, i, entry, row, omission, acknowledged[i], reached, head)
            tally.verdicts[judged.verdict] += 1
            if judged.age is not None:
                tally.oldest[judged.verdict] = max(judged.age, tally.oldest.get(judged.verdict, 0.0))
            if entry[:1] == b"V" and judged.graph is not None and (judged.cached or 0) > judged.graph:
                tally.newer_than_graph += 1
            if judged.verdict not in ("equal", "tombstone"):
                findings.append(judged)
        return findings

    async def _acknowledged_of(self, ids: Sequence[str]) -> tuple[dict[str, int], set[tuple[str, int]]]:
        """The acknowledged position of each holon, and the origins that readers trust."""
        group = await self._acknowledged()
        partitions = {i: partition_of(stream_of(HOLON, i), len(group)) for i in ids}
        with redis_errors("reading watermarks"):
            server = str((await self._redis.info("replication")).get("master_replid"))
            pipeline = self._redis.pipeline(transaction=False)
            for i in ids:
                pipeline.hmget(self._keys.watermarks(partitions[i]), "server", "generation", slot_of(i))
            marks = [_trusted(found, server) for found in await pipeline.execute(raise_on_error=False)]
        acknowledged, origins = {}, set()
        for i, (generation, slot) in zip(ids, marks, strict=True):
            if generation is not None:
                origins.add((generation, partitions[i]))
            acknowledged[i] = max(group[partitions[i]], slot)
        return acknowledged, origins

    def _judge(
        self,
        key: str,
        holon_id: str,
        entry: bytes,
        row: Row | None,
        omission: Omission,
        acknowledged: int,
        reached: int,
        head: int,
    ) -> CacheFinding:
        """Classify one entry. Reads the log."""
        position = position_of(entry)
        if position is None:
            return CacheFinding("foreign", key)
        graph = None if row is None else row["properties"].get("_position")
        if position > head:
            return CacheFinding("ahead", key, cached=position, log=head, graph=graph)
        cached = decode_value(entry, holon_id) if is_value(entry) else None
        if cached is None and is_value(entry):
            return CacheFinding("foreign", key, cached=position)
        view = self._read(holon_id, position, omission)
        finding = CacheFinding("equal", key, cached=position, log=view.last, graph=graph, acknowledged=acknowledged)
        if view.lacking is not None and view.lacking <= acknowledged:
            return replace(finding, verdict="stale", age=view.age)
        if cached is None:
            if reached >= position:
                return replace(finding, verdict="tombstone")
            return replace(finding, verdict="awaited", age=self._read(holon_id, position - 1, omission).age)
        wanted, found = of_state(view.state), of_state(cached)
        if canonical_text(wanted) != canonical_text(found):
            return replace(finding, verdict="altered", differences=tuple(differences(wanted, found)))
        return finding if view.lacking is None else replace(finding, verdict="lagging", age=view.age)

    def _read(self, holon_id: str, position: int, omission: Omission) -> _LogView:
        """The holon as the log has it at a position, and the first event after that."""
        stream = stream_of(HOLON, holon_id)
        entity = Entity(self._catalogue, stream, omission.discarded)
        view = _LogView()
        with closing(self._log.stream(stream)) as events:
            for logged in events:
                if logged.position <= position:
                    entity.take(logged)
                elif view.lacking is None:
                    view.lacking = logged.position
                    with suppress(InvalidEvent):
                        recorded = instant.parse(wire.decode_position(logged.value).recorded_at)
                        view.age = max((datetime.now(UTC) - recorded).total_seconds(), 0.0)
                view.last = logged.position
        view.state = entity.state if isinstance(entity.state, Holon) else None
        return view


@dataclass(slots=True)
class _LogView:
    """What the log says of a holon at a position, and beyond it."""

    state: Holon | None = None
    last: int | None = None
    """position of its last event"""
    lacking: int | None = None
    """position of the first event beyond that position"""
    age: float | None = None
    """seconds since that event was recorded"""


def _trusted(marks: list[bytes | None] | Exception, server: str) -> tuple[str | None, int]:
    """Of watermarks, the generation that readers trust on this server, and the position of a slot in it."""
    if isinstance(marks, ResponseError) and str(marks).startswith("WRONGTYPE"):
        return None, 0  # something else is there: the worker will make them again
    if isinstance(marks, Exception):
        raise marks
    written_on, generation, slot = marks
    if generation is None or _text(written_on or b"") != server:
        return None, 0
    return _text(generation), int(slot) if slot is not None and slot.isdigit() else 0


def _literal(prefix: str) -> str:
    """A prefix as a Redis pattern that matches only itself."""
    return "".join(f"\\{c}" if c in "*?[]\\" else c for c in prefix)


def _text(key: bytes | str) -> str:
    """A key as text. One that is not UTF-8 is not ours: its replacement text names no key, so it reads as absent."""
    return key if isinstance(key, str) else key.decode(errors="replace")
