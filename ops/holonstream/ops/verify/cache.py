"""Is what the cache holds what the log says, or said a moment ago?

Each entry is held against three things: the log, the graph, and what was *acknowledged*: the position up to which the
cache group has committed the holon's partition, or the slot of its fence, whichever is higher (`sinks.cache`). What is
acknowledged is read before the entry, so that a value that lacks an acknowledged event is a broken promise and never
bad timing. An entry is one of:

- *equal*: what the log says now;
- *lagging*: older than the log, by events that the cache group has not acknowledged: they will make it a tombstone;
- *tombstone*: no value; the graph has reached it, the next read fills it;
- *awaited*: a tombstone that the graph has not reached: reads go to the graph, and no older value can come in;
- *foreign*: no entry of this release: readers take it for none, and ask the graph;

or a violation:

- *stale*: a value or tombstone older than an event that was acknowledged;
- *altered*: not what the log said at its own position, as when it was filled from a damaged graph;
- *ahead*: beyond the end of the log, as after the log was restored from a backup: it would keep newer values out.

Age is the time since the first event that a value lacks, or that a tombstone awaits, was recorded. A value that is
newer than the graph is right (the graph is being made again) and only counted. A repair deletes violations: to delete
an entry is always safe.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from time import monotonic
from typing import cast

from redis.asyncio import Redis

from holonstream.ops.verify.cache_finding import VIOLATIONS, CacheFinding, CacheTally
from holonstream.ops.verify.log import Entity, LogReader
from holonstream.schemas import instant
from holonstream.schemas.catalogue import Catalogue
from holonstream.schemas.partition import partition_of
from holonstream.schemas.state import HOLON, Holon, stream_of
from holonstream.sinks.cache.driver import redis_errors
from holonstream.sinks.cache.entry import HEADER, Keys, decode_value, position_of, slot_of
from holonstream.sinks.graph.driver import GraphConnection
from holonstream.sinks.graph.read import freshness
from holonstream.sinks.graph.recovery.elements import GraphReader, Mark
from holonstream.sinks.graph.recovery.rows import Row, differences, of_state, text

BATCH = 200  # entries read at a time
FEW = 10_000  # keys of a Redis that is scanned whole even for a sample

Acknowledged = Callable[[], Awaitable[dict[int, int]]]
"""The log position, per partition, that the cache group has committed."""


class CacheVerifier:
    """Classifies cached entries; see the module's docstring.

    `found` is told each finding: all but equal values and plain tombstones. `verify` raises CacheUnavailable,
    LogUnavailable, GraphUnavailable, NotInitialised, and what `acknowledged` raises.
    """

    def __init__(
        self,
        redis: Redis,
        namespace: str,
        log: LogReader,
        connection: GraphConnection,
        catalogue: Catalogue,
        topic: str,
        acknowledged: Acknowledged,
        *,
        repairs: bool = False,
        found: Callable[[CacheFinding], None] = lambda finding: None,
    ) -> None:
        self._redis, self._keys, self._log, self._connection = redis, Keys(namespace), log, connection
        self._catalogue, self._topic, self._acknowledged = catalogue, topic, acknowledged
        self._graph = GraphReader(connection, catalogue)
        self._repairs, self._found = repairs, found

    async def verify(self, count: int | None, limit: int) -> CacheTally:
        """Look at all entries, or at `count` drawn at random; at most `limit` findings are kept, all are counted."""
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

    # --- which entries -----------------------------------------------------------------------------------------------

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
            for _ in range(20 * count // BATCH + 1):  # others may share this Redis: give up on a low yield
                pipeline = self._redis.pipeline(transaction=False)
                for _ in range(BATCH):
                    pipeline.randomkey()
                with redis_errors("drawing keys"):
                    drawn = await pipeline.execute()
                chosen.update(_text(key) for key in drawn if key is not None and key.startswith(prefix))
                if len(chosen) >= count:
                    break
        keys = sorted(chosen)[:count]
        for start in range(0, len(keys), BATCH):
            yield keys[start : start + BATCH]

    # --- what they are -----------------------------------------------------------------------------------------------

    async def _classify(self, keys: Sequence[str], tally: CacheTally) -> list[CacheFinding]:
        """The findings of one batch. The order of reading is the proof: acknowledged, entries, log."""
        ids = [key.removeprefix(self._keys.holon) for key in keys]
        acknowledged = await self._acknowledged_of(ids)
        with redis_errors("reading entries"):
            entries = cast("list[bytes | None]", await self._redis.mget(keys))
        checkpoints = [c.position for c in await freshness.checkpoints(self._connection, self._topic)]
        streams = [stream_of(HOLON, i) for i in ids]
        marks = await self._graph.marks(streams)
        rows = await self._graph.rows(streams)
        head = await asyncio.to_thread(self._log.head)
        findings = []
        for key, i, stream, entry in zip(keys, ids, streams, entries, strict=True):
            if entry is None:
                continue  # gone meanwhile
            tally.entries += 1
            row = next(iter(rows.get(stream, [])), None)
            mark = marks.get(stream, Mark())
            reached = checkpoints[partition_of(stream, len(checkpoints))]
            judged = await asyncio.to_thread(self._judge, key, i, entry, row, mark, acknowledged[i], reached, head)
            tally.verdicts[judged.verdict] += 1
            if judged.age is not None:
                tally.oldest[judged.verdict] = max(judged.age, tally.oldest.get(judged.verdict, 0.0))
            if entry[:1] == b"V" and judged.graph is not None and (judged.cached or 0) > judged.graph:
                tally.newer_than_graph += 1
            if judged.verdict not in ("equal", "tombstone"):
                findings.append(judged)
        return findings

    async def _acknowledged_of(self, ids: Sequence[str]) -> dict[str, int]:
        group = await self._acknowledged()
        partitions = {i: partition_of(stream_of(HOLON, i), len(group)) for i in ids}
        pipeline = self._redis.pipeline(transaction=False)
        for i in ids:
            pipeline.hget(self._keys.fence(partitions[i]), slot_of(i))
        with redis_errors("reading fences"):
            slots = await pipeline.execute()
        return {i: max(group[partitions[i]], int(slot or 0)) for i, slot in zip(ids, slots, strict=True)}

    def _judge(
        self,
        key: str,
        holon_id: str,
        entry: bytes,
        row: Row | None,
        mark: Mark,
        acknowledged: int,
        reached: int,
        head: int,
    ) -> CacheFinding:
        """What one entry is. Reads the log."""
        kind, digits = entry[:1], entry[1:HEADER]
        if kind not in (b"V", b"T") or len(digits) != HEADER - 1 or not digits.isdigit():
            return CacheFinding("foreign", key)
        position = position_of(entry)
        graph = None if row is None else row["properties"].get("_position")
        if position > head:
            return CacheFinding("ahead", key, cached=position, log=head, graph=graph)
        cached = decode_value(entry) if kind == b"V" else None
        if kind == b"V" and (cached is None or cached.id != holon_id or cached.position != position):
            return CacheFinding("foreign", key, cached=position)
        seen = self._read(holon_id, position, mark)
        finding = CacheFinding("equal", key, cached=position, log=seen.last, graph=graph, acknowledged=acknowledged)
        if seen.lacking is not None and seen.lacking <= acknowledged:
            return replace(finding, verdict="stale", age=seen.age)
        if cached is None:
            if reached >= position:
                return replace(finding, verdict="tombstone")
            return replace(finding, verdict="awaited", age=self._read(holon_id, position - 1, mark).age)
        wanted, found = of_state(seen.state), of_state(cached)
        if text(wanted) != text(found):
            return replace(finding, verdict="altered", differences=tuple(differences(wanted, found)))
        return finding if seen.lacking is None else replace(finding, verdict="lagging", age=seen.age)

    def _read(self, holon_id: str, position: int, mark: Mark) -> _Seen:
        """The holon as the log has it at a position, and what came after."""
        stream = stream_of(HOLON, holon_id)
        entity = Entity(self._catalogue, stream, mark.left_out)
        seen = _Seen()
        with closing(self._log.stream(stream)) as events:
            for logged in events:
                if logged.position <= position:
                    entity.take(logged)
                elif seen.lacking is None:
                    seen.lacking = logged.position
                    if logged.event is not None:
                        recorded = instant.parse(logged.event.recorded_at)
                        seen.age = max((datetime.now(UTC) - recorded).total_seconds(), 0.0)
                seen.last = logged.position
        seen.state = entity.state if isinstance(entity.state, Holon) else None
        return seen


@dataclass(slots=True)
class _Seen:
    """What the log says of a holon."""

    state: Holon | None = None
    last: int | None = None
    """position of its last event"""
    lacking: int | None = None
    """position of the first event beyond the one asked for"""
    age: float | None = None
    """seconds since that event was recorded"""


def _literal(prefix: str) -> str:
    """A prefix as a pattern that matches itself."""
    return "".join(f"\\{c}" if c in "*?[]\\" else c for c in prefix)


def _text(key: bytes | str) -> str:
    """A key's name; one that is no text is nobody's, and then found to be gone."""
    return key if isinstance(key, str) else key.decode(errors="replace")
