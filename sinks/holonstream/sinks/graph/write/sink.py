"""The graph sink: load, fold, write, with the checkpoint in the same transaction.

Who is authoritative. The event log says what happened; the graph says how far it has come: its checkpoints
(`sinks.graph.checkpoint`) move in the transaction that writes a batch. Kafka's group offset is for tools. A worker that
takes a partition reads from the checkpoint.

A batch, one transaction:

1. *claim the checkpoint*: take its write lock and compare: it must stand where this worker left it. If it does not,
   another worker has the partition: nothing is written, CheckpointMoved, and the worker's cached states are gone;
2. *load* the states of the entities that the batch touches, except those in the cache (this worker wrote them, and a
   partition has one writer) and those whose first event here is version 1 (they have none);
3. *fold* each stream's events over its state with `schemas.projection.apply`. Versions are dense, and rise with the
   positions, so an earlier one was applied before and is skipped. A larger one proves a loss (HoleInStream), and one
   whose position does not fit proves that somebody else wrote to the topic (Contradiction): both park the stream. How
   far a stream without an entity has come is recorded too (`sinks.graph.empty_streams`);
4. *write* the final states: many events of one entity are one write;
5. *park*: a stream whose event cannot be applied is recorded as parked from that version on, in this transaction, and
   the records go to the dead letters before the commit. Its later events follow; other streams continue;
6. *commit*;
7. *publish the visible position*, in a transaction of its own: once the commit has returned, readers may rely on it.

A crash before the commit leaves no trace but dead letters, which the next attempt publishes again. A crash after it
finds the checkpoint moved: the redelivered records lie below it and are skipped. When the connection breaks during the
commit, its outcome is unknown. The next attempt then reads the checkpoint under its lock, and continues from the offset
found, whether that is the one before the batch or the one after it; at any other offset it raises CheckpointMoved. A
crash before the last step leaves it to the worker that takes the partition. Cached states never survive a transaction
that did not commit.

What Neo4j itself refuses is written in halves until the guilty event is found (`sinks.graph.write.bisect`); each half
is a batch with its own transaction. The guilty one's stream is parked like that of any event that cannot be applied.

A batch that fits into one group of entities is the normal case. It is loaded and folded first. Its steps 1, 4 and 6 are
then one statement that commits by itself: one round trip (docs/adr/0014). That statement writes nothing unless every
checkpoint stands where it should. When something is to be parked, or is of a rare kind, the steps are taken one by one.
A larger batch is handled in groups: while Neo4j writes one group, the next is loaded and folded. Those that need no
load come first.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from time import perf_counter
from typing import NamedTuple

import structlog

from holonstream.schemas import wire
from holonstream.schemas.catalogue import Catalogue
from holonstream.schemas.errors import BadData, NotInitialised
from holonstream.schemas.retry import retry_deadlock
from holonstream.schemas.state import State
from holonstream.sinks.base import Batch, PublishDeadLetters, WriteResult, is_keyed_by
from holonstream.sinks.errors import CheckpointMoved
from holonstream.sinks.graph import checkpoint, schema
from holonstream.sinks.graph.checkpoint import (
    advance_visible,
    check_numbers,
    check_topic,
    checkpoints,
    claim,
    publish_all,
)
from holonstream.sinks.graph.driver import Deadlock, GraphConnection, Transaction
from holonstream.sinks.graph.empty_streams import NOTHING, LastSeen, empty_streams, write_empty_streams
from holonstream.sinks.graph.parking import park, parked_in
from holonstream.sinks.graph.read.load import Loader
from holonstream.sinks.graph.write.background import Background, collect_large, collection_paused
from holonstream.sinks.graph.write.batch import (
    fold_stream,
    park_refused,
    sort_out,
)
from holonstream.sinks.graph.write.batch_work import BatchWork, by_stream, claims_of
from holonstream.sinks.graph.write.bisect import REFUSALS, canary, reason_of, write_in_halves
from holonstream.sinks.graph.write.changes import Changes, Pair, changes, fits_one_statement, perform, write_at_once
from holonstream.sinks.graph.write.partition import HeldPartition, StateCache

log = structlog.get_logger(__name__)

CACHED_STATES = 4096  # per partition
GROUP = 1000  # entities written by one statement
BATCH_TIMEOUT = (
    45.0  # seconds: more than a worker gives a write; a worker that hangs keeps its checkpoints locked as long
)


@dataclass(slots=True)
class GraphCounters:
    """What the graph sink counts since the process began, as plain numbers: a process exports them as it likes."""

    fold_seconds: float = 0.0
    """spent on decoding and folding; partly while Neo4j loads or writes"""
    out_of_order: int = 0
    """records whose position does not rise in their partition: another program than the relay writes to the topic"""


class _Loaded(NamedTuple):
    """What the graph has of some streams."""

    states: Mapping[str, State]
    empty: Mapping[str, LastSeen]
    """how far streams without an entity have come, where the graph says so"""


class _EpochRaised(Exception):
    """The checkpoint stands where it should, but an operator's command wrote the partition's entities meanwhile."""

    def __init__(self, partition: int) -> None:
        super().__init__(partition)
        self.partition = partition


class GraphSink:
    """Keeps the graph as the log says; see the module's docstring for the protocol.

    `publish` sends dead letters and returns once they are acknowledged. `cached_states` bounds the states kept per
    partition (default 4,096; 1-2 KB each is usual).
    """

    def __init__(
        self,
        connection: GraphConnection,
        catalogue: Catalogue,
        topic: str,
        publish: PublishDeadLetters,
        *,
        cached_states: int = CACHED_STATES,
        group: int = GROUP,
    ) -> None:
        self._connection, self._catalogue, self._topic, self._publish = connection, catalogue, topic, publish
        self._cached_states, self._group = cached_states, group
        self._partitions: dict[tuple[str, int], HeldPartition] = {}
        self._loader = Loader(connection, catalogue)
        self._checkpoints = 0
        self.counters = GraphCounters()

    async def open(self) -> None:
        """Connect and check that the graph is ready. Raises NotInitialised, GraphUnavailable, GraphRefused."""
        await self._connection.open()
        await schema.check(self._connection, self._catalogue, self._topic)
        # Writes nothing: the server plans its longest statements now, and not when the first batch waits for them.
        nothing = write_at_once(self._connection, self._catalogue, [], Changes(), {}, BATCH_TIMEOUT)
        await asyncio.gather(nothing, self._loader.warm())

    async def close(self) -> None:
        """Close all connections; closing twice is fine."""
        self._partitions.clear()
        await self._connection.close()

    async def ping(self) -> None:
        """Check that the graph answers, has its constraints, and stands where this worker left it.

        Raises GraphUnavailable, GraphRefused, NotInitialised (constraints or checkpoints are gone), CheckpointMoved (a
        checkpoint was moved back: the graph is another one, or an older copy of itself).
        """
        left = {key: held for key, held in self._partitions.items() if held.attempted is None}
        offsets = {key: held.offset for key, held in left.items()}
        await schema.check_indexes(self._connection, self._catalogue)
        stands = await checkpoint.offsets(self._connection, self._topic, [partition for _, partition in left])
        for (topic, partition), offset in offsets.items():
            if self._partitions.get((topic, partition)) is not left[topic, partition]:
                continue
            if partition not in stands:
                raise NotInitialised(
                    f"{self._connection}: {topic}[{partition}] has no checkpoint any more: run `holonstream init`"
                )
            check_numbers(topic, partition, stands[partition])
            if stands[partition] < offset:  # it only rises, and was read after it was here
                raise CheckpointMoved(
                    topic,
                    partition,
                    f"is at offset {stands[partition]}, and this worker had moved it to {offset}: was the graph "
                    "restored from a backup, or emptied?",
                )

    @property
    def parked_streams(self) -> int:
        """How many streams of the partitions held are parked."""
        return sum(len(held.parked) for held in list(self._partitions.values()))

    async def assign(
        self, topic: str, partition: int, committed_position: int | None, topic_id: str | None = None
    ) -> int:
        """Take a partition; returns the offset of the graph's own checkpoint, whatever the group committed.

        Raises NotInitialised when the partition has no checkpoint, TopicReplaced when its checkpoint is one in another
        topic, GraphUnavailable.
        """
        await check_topic(self._connection, topic, partition, topic_id)
        self._checkpoints = self._checkpoints or len(await checkpoints(self._connection, topic))
        held = await self._read_partition(topic, partition)
        self._loader.forget_types()
        self._partitions[topic, partition] = held
        log.info("graph.partition.taken", topic=topic, partition=partition, offset=held.offset, parked=len(held.parked))
        return held.offset

    def revoke(self, topic: str, partition: int) -> None:
        """Give a partition back: forget what is remembered of it."""
        self._partitions.pop((topic, partition), None)

    async def write(self, batch: Batch) -> WriteResult:
        """Apply one batch; see `write_batches`."""
        (written,) = await self.write_batches([batch])
        return written

    async def write_batches(self, batches: Sequence[Batch]) -> list[WriteResult]:
        """Apply batches of different partitions in one transaction; those that Neo4j refuses in several.

        Raises GraphUnavailable (retry), CheckpointMoved (another worker has the partition that it names: assign it
        again or leave it; the others may be written), GraphRefused (Neo4j refuses more than these data); anything else
        is a bug. Part of refused batches may be written then; it is skipped the next time.
        """
        try:
            with collection_paused():
                return await self._write_batches(batches)
        except REFUSALS as refused:
            # Neo4j's own words may quote a value: they are in the parked mark and the dead letter, not in the log.
            cause = type(refused).__name__
            log.warning("graph.batch.refused", partitions=[batch.partition for batch in batches], cause=cause)
            return await write_in_halves(batches, refused, self._write_batches, self._park_guilty)
        finally:
            collect_large(record for batch in batches for record in batch.records)

    async def _park_guilty(self, batch: Batch, refused: Exception) -> WriteResult:
        """Park the stream of a batch's only record, if that is what Neo4j refuses; else raise the refusal."""
        if not batch.records:
            raise refused
        await canary(self._connection, self._catalogue, self._topic)
        try:
            (written,) = await self._write_batches([batch])
        except REFUSALS as again:
            (written,) = await self._write_batches([batch], reason_of(again))
        return written

    async def _write_batches(self, batches: Sequence[Batch], refused: str | None = None) -> list[WriteResult]:
        """Apply batches in one transaction, all of them or none; with `refused`, park their streams for that reason."""
        while True:
            try:
                return await retry_deadlock(partial(self._attempt, batches, refused), Deadlock)
            except CheckpointMoved as moved:
                self.revoke(moved.topic, moved.partition)
                raise
            except _EpochRaised as raised:
                log.info("graph.partition.epoch_raised", partition=raised.partition)

    async def _attempt(self, batches: Sequence[Batch], refused: str | None) -> list[WriteResult]:
        written: dict[int, WriteResult] = {}
        works: list[BatchWork] = []
        for batch in batches:
            held = await self._current(batch)
            if batch.next_offset <= held.offset:
                written[batch.partition] = WriteResult(0, len(batch.records), 0, _last_position(batch))
            else:
                works.append(BatchWork(batch, held))
        try:
            if works:
                written |= await self._write(works, refused)
        finally:
            for work in works:
                if work.held.attempted is not None:
                    work.held.states.clear()
        await self._publish_visible([batch.partition for batch in batches])
        return [written[batch.partition] for batch in batches]

    async def _current(self, batch: Batch) -> HeldPartition:
        held = self._partitions.get((batch.topic, batch.partition))
        if held is None:
            raise CheckpointMoved(batch.topic, batch.partition, "is not assigned to this worker")
        if held.attempted is None:
            return held
        now = await self._read_partition(batch.topic, batch.partition)
        self._loader.forget_types()
        if now.offset not in (held.offset, held.attempted):
            self.revoke(batch.topic, batch.partition)
            raise CheckpointMoved(
                batch.topic,
                batch.partition,
                f"is at offset {now.offset}; this worker left it at {held.offset} and tried {held.attempted}",
            )
        self._partitions[batch.topic, batch.partition] = now
        return now

    async def _read_partition(self, topic: str, partition: int) -> HeldPartition:
        place = await publish_all(self._connection, topic, partition)
        parked = await parked_in(self._connection, topic, partition)
        states = StateCache(self._cached_states)
        return HeldPartition(place.offset, place.epoch, place.position, parked, states, place.known, place.proves_holes)

    async def _write(self, works: Sequence[BatchWork], refused: str | None) -> dict[int, WriteResult]:
        for work in works:
            work.held.attempted = work.batch.next_offset
            with self._folding():
                work.streams, work.position = sort_out(work.batch, work.held.offset, work.outcome, work.held.position)
            if refused is not None:
                park_refused(work.batch, work.streams, refused, work.outcome)
                work.streams = {}
        of_stream = by_stream(works, self._checkpoints)
        if len(of_stream) <= self._group:
            await self._write_small(works, of_stream)
        else:
            await self._write_in_groups(works, of_stream)
        return {work.batch.partition: self._remember(work) for work in works}

    async def _write_small(self, works: Sequence[BatchWork], of_stream: Mapping[str, BatchWork]) -> None:
        """Write what fits into one group: in one statement, unless something is to be parked or of a rare kind."""
        ready, missing = self._groups(of_stream)
        pairs: list[Pair] = []
        for group in ready:
            pairs += self._fold(group, of_stream, None)
        for group in missing:
            pairs += self._fold(group, of_stream, await self._load(group))
        pairs.sort(key=lambda pair: pair[1].id)  # one lock order for every worker
        todo = changes(pairs)
        if fits_one_statement(todo) and not any(work.outcome.letters for work in works):
            empty = {stream: seen for work in works for stream, seen in work.empty.items()}
            stood = await write_at_once(self._connection, self._catalogue, claims_of(works), todo, empty, BATCH_TIMEOUT)
            self._check_claims(works, stood)
        else:
            async with self._connection.transaction(BATCH_TIMEOUT) as transaction:
                self._check_claims(works, await claim(transaction, claims_of(works)))
                await perform(transaction, self._catalogue, todo)
                await self._finish(transaction, works)
        self._loader.add_types({row["t"] for row in todo.created})

    async def _write_in_groups(self, works: Sequence[BatchWork], of_stream: Mapping[str, BatchWork]) -> None:
        ready, missing = self._groups(of_stream)
        types: set[str] = set()
        async with Background[_Loaded]() as loads:
            # Loads may run before the claim: a checkpoint that it finds unmoved was unmoved when they ran.
            if missing:
                await loads.start(self._load(missing[0]))
            async with self._connection.transaction(BATCH_TIMEOUT) as transaction:
                self._check_claims(works, await claim(transaction, claims_of(works)))
                async with Background[None]() as writes:
                    for group in ready:
                        todo = changes(self._fold(group, of_stream, None))
                        types.update(row["t"] for row in todo.created)
                        await writes.then(perform(transaction, self._catalogue, todo))
                    for number, group in enumerate(missing):
                        before = await loads.result()
                        if number + 1 < len(missing):
                            await loads.start(self._load(missing[number + 1]))
                        todo = changes(self._fold(group, of_stream, before))
                        types.update(row["t"] for row in todo.created)
                        await writes.then(perform(transaction, self._catalogue, todo))
                    await writes.all()
                await self._finish(transaction, works)
        self._loader.add_types(types)

    async def _load(self, streams: Sequence[str]) -> _Loaded:
        states = await self._loader.load(streams)
        absent = [stream for stream in streams if stream not in states]
        return _Loaded(states, await empty_streams(self._connection, absent) if absent else {})

    @contextmanager
    def _folding(self) -> Iterator[None]:
        began = perf_counter()
        yield
        self.counters.fold_seconds += perf_counter() - began

    async def _finish(self, transaction: Transaction, works: Sequence[BatchWork]) -> None:
        """Write what a batch leaves beside its entities, and publish its dead letters, before the commit."""
        for work in works:
            await write_empty_streams(transaction, work.empty)
        await park(transaction, [parked.stream for work in works for parked in work.outcome.parked])
        letters = [
            letter for work in works for letter in sorted(work.outcome.letters, key=lambda letter: letter.offset)
        ]
        if letters:
            await self._publish(letters)

    async def _publish_visible(self, partitions: Sequence[int]) -> None:
        """Let readers rely on what has been committed. Raises GraphUnavailable: a retry loses nothing."""
        held = {p: self._partitions.get((self._topic, p)) for p in sorted(partitions)}
        waiting = {p: h for p, h in held.items() if h and not h.is_visible}  # one that has left: its next owner does it
        if waiting:
            await advance_visible(self._connection, self._topic, list(waiting))
        for partition in waiting.values():
            partition.is_visible = True

    def _remember(self, work: BatchWork) -> WriteResult:
        """Take note of what has been committed."""
        held, outcome = work.held, work.outcome
        held.offset, held.attempted, held.is_visible = work.batch.next_offset, None, False
        held.position = max(held.position, work.position or 0)
        held.states.update(work.states)
        held.parked |= {p.stream.stream: (p.stream.version, p.stream.reason) for p in outcome.parked}
        for parked in outcome.parked:
            log.warning("graph.stream.parked", partition=work.batch.partition, **parked.place())
        if outcome.out_of_order:
            self.counters.out_of_order += outcome.out_of_order
            log.error(
                "graph.records.out_of_order",
                partition=work.batch.partition,
                first=work.batch.records[0].offset,
                next=work.batch.next_offset,
                count=outcome.out_of_order,
                position=held.position,
            )
        for report in outcome.reports:
            log.warning("graph.event.applied_in_part", partition=work.batch.partition, reason=report)
        return WriteResult(outcome.applied, outcome.skipped, len(outcome.letters), work.position)

    def _check_claims(self, works: Sequence[BatchWork], stood: Mapping[int, tuple[int, int]]) -> None:
        """Check that each checkpoint stood where this worker left it. Raises CheckpointMoved, _EpochRaised."""
        for work in works:
            topic, partition = work.batch.topic, work.batch.partition
            if partition not in stood:
                raise NotInitialised(
                    f"{self._connection}: {topic}[{partition}] has no checkpoint: run `holonstream init`"
                )
            offset, epoch = stood[partition]
            check_numbers(topic, partition, offset, epoch)
            if offset != work.held.offset:
                raise CheckpointMoved(
                    topic, partition, f"is at offset {offset}; this worker left it at {work.held.offset}"
                )
            if epoch != work.held.epoch:
                raise _EpochRaised(partition)

    def _groups(self, works: Mapping[str, BatchWork]) -> tuple[list[Sequence[str]], list[Sequence[str]]]:
        """The streams in groups: those that need no load, and those that do. Sorted, as every worker locks in that
        order."""
        ready: list[str] = []
        missing: list[str] = []
        for stream in sorted(works):
            work = works[stream]
            held, first = work.held, work.streams[stream][0].event
            # else an old record was put there again, or the partition is read once more
            is_new = first.version == 1 and first.position > max(held.position, held.known)
            (ready if is_new or stream in held.states or stream in held.parked else missing).append(stream)
        return list(_chunks(ready, self._group)), list(_chunks(missing, self._group))

    def _fold(self, group: Sequence[str], works: Mapping[str, BatchWork], loaded: _Loaded | None) -> list[Pair]:
        """States before and after a group's events, if they changed; `loaded` None means that the states are known."""
        pairs: list[Pair] = []
        with self._folding():
            for stream in group:
                work = works[stream]
                held, items, outcome = work.held, work.streams[stream], work.outcome
                old = (held.states if loaded is None else loaded.states).get(stream)
                seen = None
                if loaded is None:
                    seen = NOTHING
                elif held.proves_holes:
                    seen = loaded.empty.get(stream, NOTHING)
                parked, parked_before = held.parked.get(stream), len(outcome.parked)
                new = fold_stream(self._catalogue, work.batch, old, items, parked, outcome, seen)
                if new is None and parked is None and len(outcome.parked) == parked_before:
                    last = max(LastSeen(item.event.version, item.event.position) for item in items)
                    work.empty[stream] = max(last, seen or NOTHING)
                elif new is not None and new is not old:
                    work.states[stream] = new
                    pairs.append((old, new))
        return pairs


def _chunks(streams: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    return (streams[i : i + size] for i in range(0, len(streams), size))


def _last_position(batch: Batch) -> int | None:
    for record in reversed(batch.records):
        try:
            where = wire.decode_position(record.value)
        except BadData:
            continue
        if is_keyed_by(record, where.stream):
            return where.position
    return None
