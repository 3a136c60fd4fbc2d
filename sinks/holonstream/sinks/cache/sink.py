"""The invalidating sink: puts tombstones in place of what events have changed (protocol: `sinks.cache`)."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from time import monotonic, perf_counter

import structlog
from redis.asyncio import Redis

from holonstream.schemas.errors import InvalidEvent
from holonstream.schemas.incident import incident
from holonstream.schemas.wire import EventPosition, decode_position
from holonstream.sinks.base import Batch, RawRecord, WriteResult, is_keyed_by
from holonstream.sinks.cache.counters import CacheCounters
from holonstream.sinks.cache.driver import Call, Script, UnsafeRedis, check_server, redis_errors
from holonstream.sinks.cache.entry import (
    STREAM_PREFIX,
    Keys,
    new_generation,
    partition_text,
    position_text,
    slot_of,
)
from holonstream.sinks.errors import CacheUnavailable

log = structlog.get_logger(__name__)

CHUNK = 1000  # records per script, or per scripts sent together: some 7 ms in which Redis serves no other client
_TURNS_TO_SEND = 4  # turns of the loop in which redis-py gets a command onto its socket
_invalidate = Script("invalidate")
_floor = Script("floor")


class InvalidationSink:
    """A `sinks.base.Sink` over Redis; idempotent, so it keeps no checkpoint of its own.

    `redis` is a client of `sinks.cache.driver.connect`; the sink closes it. Lives are in whole seconds; `value_ttl` is
    what readers give to values. For `grace_period` seconds after a floor was made no fill is accepted; floors are
    checked every `floor_interval` seconds, which should be several times in a grace period, and Redis's settings every
    `settings_interval` seconds. Readers trust what is cached for `lease` seconds after a check. Raises ValueError when
    tombstones would not outlive values.
    """

    def __init__(
        self,
        redis: Redis,
        namespace: str = "holonstream",
        *,
        value_ttl: int = 3_600,
        tombstone_ttl: int = 86_400,
        grace_period: float = 3.0,
        floor_interval: float = 1.0,
        lease: float = 30.0,
        settings_interval: float = 60.0,
        counters: CacheCounters | None = None,
    ) -> None:
        if tombstone_ttl <= value_ttl:
            raise ValueError(f"tombstone_ttl ({tombstone_ttl} s) must be longer than value_ttl ({value_ttl} s)")
        self.counters = counters or CacheCounters()
        self._redis = redis
        self._keys = Keys(namespace)
        self._tombstone_ttl = tombstone_ttl
        self._grace_ms = round(grace_period * 1000)
        self._lease_ms = round(lease * 1000)
        self._floor_interval = floor_interval
        self._settings_interval = settings_interval
        self._unsafe: str | None = None
        """what is wrong with Redis's settings, as it was logged last"""
        self._processed: dict[int, int] = {}
        """per partition held, the position up to which this worker has written tombstones, or has begun to"""
        self._acknowledged: dict[int, int] = {}
        """per partition held, the position up to which Redis has confirmed them, to this worker or to one before"""
        self._topic_id = ""
        self._floor_task: asyncio.Task[None] | None = None
        self._closing = asyncio.Event()

    async def open(self) -> None:
        """Connect and check Redis's settings.

        Raises UnsafeRedis when it persists or evicts by another policy, CacheUnavailable when it is down.
        """
        if self._floor_task is None:
            await check_server(self._redis)
            self._closing.clear()
            self._floor_task = asyncio.create_task(self._check_floors(), name="cache-floors")

    async def close(self) -> None:
        """Stop the checks of floors and disconnect; closing twice is fine."""
        if self._floor_task is not None:
            # Asked, not cancelled: Python 3.11's wait_for, which the client uses, can lose a cancellation.
            self._closing.set()
            await asyncio.gather(self._floor_task, return_exceptions=True)
            self._floor_task = None
        await self._redis.aclose()

    async def ping(self) -> None:
        """Find out whether Redis answers. Raises CacheUnavailable."""
        with redis_errors("pinging"):
            await self._redis.ping()

    async def assign(
        self, topic: str, partition: int, committed_position: int | None, topic_id: str | None = None
    ) -> int | None:
        """Take a partition. Reading continues at the group's own offset. Raises CacheUnavailable."""
        with redis_errors("deleting watermarks of an earlier version"):
            await self._redis.delete(self._keys.former_watermarks(partition))
        for reached in (self._processed, self._acknowledged):
            reached[partition] = max(committed_position or 0, reached.get(partition, 0))
        self._topic_id = topic_id or ""
        await self.make_floors()
        return None

    def revoke(self, topic: str, partition: int) -> None:
        """Give a partition back."""
        for reached in (self._processed, self._acknowledged):
            reached.pop(partition, None)

    async def write(self, batch: Batch) -> WriteResult:
        """Invalidate every holon that one batch changes; see `write_batches`."""
        (written,) = await self.write_batches([batch])
        return written

    async def write_batches(self, batches: Sequence[Batch]) -> list[WriteResult]:
        """Invalidate every holon that the batches change; may be repeated.

        Raises CacheUnavailable; some of the tombstones may be written then.
        """
        if self._floor_task is not None and self._floor_task.done():
            self._floor_task.result()  # a bug in the checks of floors must not go unnoticed
        results: list[WriteResult] = []
        calls: list[Call] = []
        waiting = 0
        in_flight: asyncio.Task[None] | None = None
        try:
            for batch in batches:
                highest = _last_position(batch.records)
                if highest is None:
                    results.append(WriteResult(applied=0, skipped=len(batch.records), dead=0, position=None))
                    continue
                undecodable = 0
                for start in range(0, len(batch.records), CHUNK):
                    records = batch.records[start : start + CHUNK]
                    if waiting + len(records) > CHUNK:
                        in_flight = await self._send(calls, in_flight)
                        calls, waiting = [], 0
                    began = perf_counter()
                    latest, top, bad = _latest_positions(records)
                    highest = max(highest, top)  # positions rise, but for records that the relay has not written
                    if batch.partition in self._processed:
                        # Before the script: a floor that is made between two scripts must cover the first one.
                        self._processed[batch.partition] = max(highest, self._processed[batch.partition])
                    undecodable += bad
                    calls.append(self._call(batch.partition, latest, highest))
                    waiting += len(records)
                    self.counters.fold_seconds += perf_counter() - began
                applied = len(batch.records) - undecodable
                results.append(WriteResult(applied=applied, skipped=undecodable, dead=0, position=highest))
            in_flight = await self._send(calls, in_flight)
            await in_flight
        finally:
            if in_flight is not None:
                in_flight.cancel()  # nothing, unless this write is given up
        for batch, written in zip(batches, results, strict=True):
            self._skip(batch, written.skipped)
            if written.position is not None and batch.partition in self._acknowledged:
                self._acknowledged[batch.partition] = max(written.position, self._acknowledged[batch.partition])
        return results

    async def make_floors(self) -> None:
        """Make the floors of the held partitions where they are lost; renew the leases. Raises CacheUnavailable."""
        held = {partition: (reached, self._acknowledged[partition]) for partition, reached in self._processed.items()}
        if not held:
            return
        keys = [self._keys.watermarks(partition) for partition in held]
        with redis_errors("making floors"):
            made = await _floor.run(
                self._redis,
                keys,
                self._grace_ms,
                self._lease_ms,
                self._topic_id,
                new_generation(),
                *[position_text(reached) for pair in held.values() for reached in pair],
            )
        if made:
            self.counters.floors += made
            log.info("cache.floors.made", count=made, held=len(held))

    def _call(self, partition: int, latest: Mapping[str, int], last: int) -> Call:
        """Keys and arguments of the script."""
        prefix, ids = self._keys.holon, [stream[len(STREAM_PREFIX) :] for stream in latest]
        positions, slots = "".join(map(position_text, latest.values())), "".join(map(slot_of, ids))
        keys = [self._keys.watermarks(partition), *[prefix + i for i in ids]]
        acknowledged = position_text(self._acknowledged.get(partition, 0))
        arguments: list[str | int] = [position_text(last), acknowledged, self._tombstone_ttl, positions, slots]
        arguments += [partition_text(partition), self._topic_id, self._grace_ms, self._lease_ms, new_generation()]
        return keys, arguments

    async def _send(self, calls: Sequence[Call], in_flight: asyncio.Task[None] | None) -> asyncio.Task[None]:
        """Send calls once those in flight are through: Redis works on them while the next are decoded."""
        if in_flight is not None:
            await in_flight
        sent = asyncio.create_task(self._invalidate(calls))
        try:
            for _ in range(_TURNS_TO_SEND):
                await asyncio.sleep(0)
        except BaseException:
            sent.cancel()
            raise
        return sent

    async def _invalidate(self, calls: Sequence[Call]) -> None:
        if calls:
            holons = sum(len(keys) - 1 for keys, _ in calls)
            partitions = ", ".join(keys[0].rpartition(":")[2] for keys, _ in calls)  # as their watermarks are named
            with redis_errors(f"invalidating {holons} holons of partition {partitions}"):
                answers = await _invalidate.run_each(self._redis, calls)
                self.counters.tombstones += sum(answer for answer in answers if isinstance(answer, int))
                for answer in answers:
                    if isinstance(answer, Exception):
                        raise answer

    def _skip(self, batch: Batch, undecodable: int) -> None:
        if undecodable:
            self.counters.undecodable += undecodable
            log.warning(
                "cache.records.undecodable",
                partition=batch.partition,
                first=batch.records[0].offset,
                next=batch.next_offset,
                count=undecodable,
                cause=InvalidEvent.__name__,
            )

    async def _check_floors(self) -> None:
        failing, next_settings = False, monotonic() + self._settings_interval
        while not await self._closes_within(self._floor_interval):
            try:
                await self.make_floors()
                failing = False
                if monotonic() >= next_settings:
                    next_settings = monotonic() + self._settings_interval
                    await self._check_settings()
            except CacheUnavailable as error:
                if not failing:
                    log.warning("cache.floors.unavailable", held=len(self._processed), **incident(error))
                failing = True

    async def _check_settings(self) -> None:
        """Log what somebody has changed since the start: nothing goes stale by it, but watermarks may be evicted, and
        with them the trust in all entries of their partition. Raises CacheUnavailable.
        """
        try:
            await check_server(self._redis, logs=False)
            self._unsafe = None
        except UnsafeRedis as error:
            if str(error) != self._unsafe:  # one line for a change
                log.warning("cache.settings.unsafe", **incident(error))
            self._unsafe = str(error)

    async def _closes_within(self, seconds: float) -> bool:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._closing.wait()
        return self._closing.is_set()


def _last_position(records: Sequence[RawRecord]) -> int | None:
    """The position of the last record that has one."""
    for record in reversed(records):
        with suppress(InvalidEvent):
            return _place(record).position
    return None


def _place(record: RawRecord) -> EventPosition:
    """Where an event is. Raises InvalidEvent for a record that does not say it, or whose key is not its stream.

    The relay has not written such a record, so no floor may rise to its position.
    """
    where = decode_position(record.value)
    if not is_keyed_by(record, where.stream):
        raise InvalidEvent(f"Record of another producer: its key is {(record.key or b'')[:80]!r}")
    return where


def _latest_positions(records: Sequence[RawRecord]) -> tuple[dict[str, int], int, int]:
    """The highest position of each holon stream, the highest of all, and how many records cannot be decoded."""
    latest: dict[str, int] = {}
    highest = undecodable = 0
    for record in records:
        try:
            where = _place(record)
        except InvalidEvent:
            undecodable += 1
            continue
        if where.position > highest:
            highest = where.position
        if where.stream.startswith(STREAM_PREFIX) and where.position > latest.get(where.stream, 0):
            latest[where.stream] = where.position
    return latest, highest, undecodable
