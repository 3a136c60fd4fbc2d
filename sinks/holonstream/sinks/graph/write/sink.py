"""The graph sink: load, fold, write, with the checkpoint in the same transaction.

Who is authoritative. The event log says what happened; the graph says how far it has come: a node
``(:HolonstreamCheckpoint {topic, partition, offset, position, visible, epoch})`` per partition, moved in the
transaction that writes the batch. Kafka's group offset is for tools. A worker that takes a partition reads from the
checkpoint.

A batch, one transaction:

1. *fence*: take the checkpoint's write lock and compare: it must stand where this worker left it. If it does not,
   another worker has the partition: nothing is written, CheckpointMoved, and the worker's cached states are gone;
2. *load* the states of the entities that the batch touches, except those in the cache (this worker wrote them, and a
   partition has one writer) and those whose first event here is version 1 (they have none);
3. *fold* each stream's events over its state with `schemas.projection.apply`. Versions are dense, so a smaller one was
   applied before and is skipped, a larger one proves a loss: HoleInStream, an alarm;
4. *write* the final states: many events of one entity are one write;
5. *park*: a stream whose event cannot be applied is recorded as parked from that version on, in this transaction, and
   the records go to the dead letters before the commit. Its later events follow; other streams go on;
6. *commit*;
7. *settle*, a transaction of its own: raise ``visible`` to the position. Neo4j applies a committed transaction piece by
   piece, so that a reader may see the moved position before the entities that were written with it; when the commit has
   returned, all of it is there. Readers and tokens go by ``visible``.

A crash before the commit leaves no trace but dead letters, which the next attempt publishes again. A crash after it
finds the checkpoint moved: the redelivered records lie below it and are dropped. When the connection breaks during the
commit its outcome is unknown: the next attempt reads the checkpoint, under the lock that a transaction holds until it
is applied, and takes both answers for good. A crash before the settling leaves it to whoever takes the partition.
Cached states never survive a transaction that did not commit.

What Neo4j itself refuses is written in halves until the guilty event is found (`sinks.graph.write.bisect`); each half
is a batch with its own transaction. The guilty one's stream is parked like that of any event that cannot be applied.

The batch is handled in groups of entities: while Neo4j writes one group, the next is loaded and folded. Those that need
no load come first.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from time import perf_counter

import structlog

from holonstream.schemas import wire
from holonstream.schemas.catalogue import Catalogue
from holonstream.schemas.errors import BadData, NotInitialised
from holonstream.schemas.state import State
from holonstream.sinks.base import Batch, PublishDeadLetters, WriteResult
from holonstream.sinks.errors import CheckpointMoved
from holonstream.sinks.graph import schema
from holonstream.sinks.graph.driver import Deadlock, GraphConnection, Transaction
from holonstream.sinks.graph.mapping import parked_key
from holonstream.sinks.graph.read.load import Loader
from holonstream.sinks.graph.statements import text
from holonstream.sinks.graph.write.background import Background, collection_paused
from holonstream.sinks.graph.write.batch import (
    Item,
    Outcome,
    Parked,
    StreamInTwoPartitions,
    fold_stream,
    park_refused,
    sort_out,
)
from holonstream.sinks.graph.write.bisect import REFUSALS, canary, reason_of, write_in_halves
from holonstream.sinks.graph.write.cache import StateCache
from holonstream.sinks.graph.write.changes import Changes, changes, perform
from holonstream.sinks.graph.write.counters import GraphCounters

log = structlog.get_logger(__name__)

CACHED_STATES = 4096  # per partition
GROUP = 1000  # entities written by one statement
RUN_TIMEOUT = 45.0  # seconds: more than a worker gives a write; a worker that hangs holds its partitions up for so long
DEADLOCK_ATTEMPTS = 5  # at once; after that the worker's own backoff decides


@dataclass(slots=True)
class _Partition:
    """What a worker knows of a partition that it has."""

    offset: int
    epoch: int
    parked: dict[str, tuple[int, str]]
    """version and reason, by stream"""
    states: StateCache
    attempted: int | None = None
    """where a commit of unknown outcome may have moved the checkpoint; such a partition is read again before use"""
    settled: bool = True
    """whether readers have been told of the last batch"""


@dataclass(slots=True)
class _Work:
    """A batch on its way into the graph, and what is to be remembered of it once the transaction has committed."""

    batch: Batch
    taken: _Partition
    outcome: Outcome = field(default_factory=Outcome)
    streams: dict[str, list[Item]] = field(default_factory=dict)
    position: int | None = None
    states: dict[str, State] = field(default_factory=dict)


class _Redriven(Exception):
    """The checkpoint stands where it should, but somebody else wrote the partition's entities meanwhile."""

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
        self._partitions: dict[tuple[str, int], _Partition] = {}
        self._loader = Loader(connection, catalogue)
        self.counters = GraphCounters()

    async def open(self) -> None:
        """Connect and check that the graph is ready. Raises NotInitialised, GraphUnavailable, GraphRefused."""
        await self._connection.open()
        await schema.check(self._connection, self._catalogue, self._topic)

    async def close(self) -> None:
        """Let go of all connections; closing twice is fine."""
        self._partitions.clear()
        await self._connection.close()

    async def ping(self) -> None:
        """Find out whether the graph answers. Raises GraphUnavailable, GraphRefused."""
        await self._connection.ping()

    @property
    def parked_streams(self) -> int:
        """How many streams of the partitions held are parked."""
        return sum(len(taken.parked) for taken in list(self._partitions.values()))

    async def assign(self, topic: str, partition: int, committed_position: int | None) -> int:
        """Take a partition; returns the offset of the graph's own checkpoint, whatever the group committed.

        Raises NotInitialised when the partition has no checkpoint, GraphUnavailable.
        """
        taken = await self._read_partition(topic, partition)
        self._loader.forget_types()
        self._partitions[topic, partition] = taken
        log.info(
            "graph.partition.taken", topic=topic, partition=partition, offset=taken.offset, parked=len(taken.parked)
        )
        return taken.offset

    def revoke(self, topic: str, partition: int) -> None:
        """Give a partition back: drop what is remembered of it."""
        self._partitions.pop((topic, partition), None)

    async def write(self, batch: Batch) -> WriteResult:
        """Apply one batch; see `write_batches`."""
        (written,) = await self.write_batches([batch])
        return written

    async def write_batches(self, batches: Sequence[Batch]) -> list[WriteResult]:
        """Apply batches of different partitions in one transaction; those that Neo4j refuses in several.

        Raises GraphUnavailable (try again), CheckpointMoved (another worker has the partition that it names: assign it
        anew or leave it, the others may be written), HoleInStream (events are missing), GraphRefused (whatever the
        data) and whatever else is a bug. Part of refused batches may be written then; it is skipped the next time.
        """
        try:
            return await self._write_batches(batches)
        except REFUSALS as refused:
            # Neo4j's own words may quote a value: they are in the parked mark and the dead letter, not in the log.
            cause = type(refused).__name__
            log.warning("graph.run.refused", partitions=[batch.partition for batch in batches], cause=cause)
            return await write_in_halves(batches, refused, self._write_batches, self._park_guilty)

    async def _park_guilty(self, batch: Batch, refused: Exception) -> WriteResult:
        """Park the stream of a batch's only record, which was refused, unless the record is not the reason."""
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
        attempt = 0
        while True:
            written: dict[int, WriteResult] = {}
            works: list[_Work] = []
            for batch in batches:
                taken = await self._current(batch)
                if batch.next_offset <= taken.offset:
                    written[batch.partition] = WriteResult(0, len(batch.records), 0, _last_position(batch))
                else:
                    works.append(_Work(batch, taken))
            attempt += 1
            try:
                if works:
                    written |= await self._write(works, refused)
                await self._settle([batch.partition for batch in batches])
                return [written[batch.partition] for batch in batches]
            except CheckpointMoved as moved:
                self.revoke(moved.topic, moved.partition)
                raise
            except _Redriven as redriven:
                log.info("graph.partition.redriven", partition=redriven.partition)
            except Deadlock:
                if attempt >= DEADLOCK_ATTEMPTS:
                    raise
                log.info("graph.run.deadlock", partitions=[work.batch.partition for work in works], attempt=attempt)
            finally:
                for work in works:
                    if work.taken.attempted is not None:
                        work.taken.states.clear()

    async def _current(self, batch: Batch) -> _Partition:
        taken = self._partitions.get((batch.topic, batch.partition))
        if taken is None:
            raise CheckpointMoved(batch.topic, batch.partition, "is not assigned to this worker")
        if taken.attempted is None:
            return taken
        now = await self._read_partition(batch.topic, batch.partition)
        self._loader.forget_types()
        if now.offset not in (taken.offset, taken.attempted):
            self.revoke(batch.topic, batch.partition)
            raise CheckpointMoved(
                batch.topic,
                batch.partition,
                f"is at offset {now.offset}; this worker left it at {taken.offset} and tried {taken.attempted}",
            )
        self._partitions[batch.topic, batch.partition] = now
        return now

    async def _read_partition(self, topic: str, partition: int) -> _Partition:
        rows = await self._connection.rows(text("checkpoint"), topic=topic, partition=partition)
        if not rows:
            raise NotInitialised(f"{self._connection}: {topic}[{partition}] has no checkpoint: run `holonstream init`")
        offset, epoch, _ = rows[0]
        parked = await self._connection.rows(text("parked"), topic=topic, partition=partition)
        return _Partition(
            offset,
            epoch,
            {stream: (version, reason) for stream, version, reason in parked},
            StateCache(self._cached_states),
        )

    async def _write(self, works: Sequence[_Work], refused: str | None) -> dict[int, WriteResult]:
        for work in works:
            work.taken.attempted = work.batch.next_offset
            with collection_paused(), self._folding():
                work.streams, work.position = sort_out(work.batch, work.taken.offset, work.outcome)
            if refused is not None:
                park_refused(work.batch, work.streams, refused, work.outcome)
                work.streams = {}
        of_stream = _of_stream(works)
        ready, missing = self._groups(of_stream)
        types: set[str] = set()
        async with Background[dict[str, State]]() as loads:
            # Loads may run ahead of the fence: what it finds unmoved was unmoved when they ran.
            if missing:
                await loads.start(self._loader.load(missing[0]))
            async with self._connection.transaction(RUN_TIMEOUT) as transaction:
                await self._fence(transaction, works)
                async with Background[None]() as writes:
                    for group in ready:
                        todo = self._fold(group, of_stream, None)
                        types.update(row["t"] for row in todo.created)
                        await writes.then(perform(transaction, self._catalogue, todo))
                    for number, group in enumerate(missing):
                        before = await loads.result()
                        if number + 1 < len(missing):
                            await loads.start(self._loader.load(missing[number + 1]))
                        todo = self._fold(group, of_stream, before)
                        types.update(row["t"] for row in todo.created)
                        await writes.then(perform(transaction, self._catalogue, todo))
                    await writes.all()
                await self._park(transaction, works)
        self._loader.add_types(types)
        return {work.batch.partition: self._remember(work) for work in works}

    @contextmanager
    def _folding(self) -> Iterator[None]:
        began = perf_counter()
        yield
        self.counters.fold_seconds += perf_counter() - began

    async def _park(self, transaction: Transaction, works: Sequence[_Work]) -> None:
        if rows := [_parked_row(work.batch, parked) for work in works for parked in work.outcome.parked]:
            await transaction.rows(text("park"), rows=rows)
        letters = [
            letter for work in works for letter in sorted(work.outcome.letters, key=lambda letter: letter.offset)
        ]
        if letters:
            await self._publish(letters)

    async def _settle(self, partitions: Sequence[int]) -> None:
        """Let readers rely on what has been committed. Raises GraphUnavailable: nothing is lost by trying again."""
        held = [(p, taken) for p in sorted(partitions) if (taken := self._partitions.get((self._topic, p)))]
        waiting = [(p, taken) for p, taken in held if not taken.settled]  # one that has left: its next owner does it
        if waiting:
            await self._connection.rows(text("settle"), topic=self._topic, partitions=[p for p, _ in waiting])
        for _, taken in waiting:
            taken.settled = True

    def _remember(self, work: _Work) -> WriteResult:
        """Take note of what has been committed."""
        taken, outcome = work.taken, work.outcome
        taken.offset, taken.attempted, taken.settled = work.batch.next_offset, None, False
        taken.states.update(work.states)
        taken.parked |= {p.stream: (p.version, p.reason) for p in outcome.parked}
        for parked in outcome.parked:
            log.warning("graph.stream.parked", partition=work.batch.partition, **parked.place())
        return WriteResult(outcome.applied, outcome.skipped, len(outcome.letters), work.position)

    async def _fence(self, transaction: Transaction, works: Sequence[_Work]) -> None:
        wanted = {work.batch.partition: work for work in works}
        rows = [
            {
                "topic": work.batch.topic,
                "partition": partition,
                "expected": work.taken.offset,
                "epoch": work.taken.epoch,
                "next": work.batch.next_offset,
                "position": work.position,
            }
            for partition, work in sorted(wanted.items())  # one lock order for every worker
        ]
        for partition, offset, epoch in await transaction.rows(text("fence"), rows=rows):
            work = wanted.pop(partition)
            if offset != work.taken.offset:
                raise CheckpointMoved(
                    work.batch.topic, partition, f"is at offset {offset}; this worker left it at {work.taken.offset}"
                )
            if epoch != work.taken.epoch:
                raise _Redriven(partition)
        if wanted:
            raise NotInitialised(
                f"{self._connection}: {self._topic}{sorted(wanted)} has no checkpoint: run `holonstream init`"
            )

    def _groups(self, works: Mapping[str, _Work]) -> tuple[list[Sequence[str]], list[Sequence[str]]]:
        """The streams in groups: those that need no load, and those that do. Sorted, as every worker locks in that
        order."""
        ready: list[str] = []
        missing: list[str] = []
        for stream in sorted(works):
            work = works[stream]
            taken = work.taken
            known = stream in taken.states or work.streams[stream][0].event.version == 1 or stream in taken.parked
            (ready if known else missing).append(stream)
        return list(_chunks(ready, self._group)), list(_chunks(missing, self._group))

    def _fold(self, group: Sequence[str], works: Mapping[str, _Work], loaded: Mapping[str, State] | None) -> Changes:
        """What a group's events change; `loaded` None means that the states are known."""
        pairs: list[tuple[State | None, State]] = []
        with collection_paused(), self._folding():
            for stream in group:
                work = works[stream]
                taken = work.taken
                old = (taken.states if loaded is None else loaded).get(stream)
                new = fold_stream(
                    self._catalogue, work.batch, old, work.streams[stream], taken.parked.get(stream), work.outcome
                )
                if new is not None and new is not old:
                    work.states[stream] = new
                    pairs.append((old, new))
            return changes(pairs)


def _of_stream(works: Sequence[_Work]) -> dict[str, _Work]:
    found: dict[str, _Work] = {}
    for work in works:
        for stream in work.streams:
            other = found.setdefault(stream, work)
            if other is not work:
                raise StreamInTwoPartitions(
                    f"{stream} comes from {work.batch.topic}[{other.batch.partition}] and [{work.batch.partition}]"
                )
    return found


def _chunks(streams: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    return (streams[i : i + size] for i in range(0, len(streams), size))


def _parked_row(batch: Batch, parked: Parked) -> dict[str, object]:
    return {
        "key": parked_key(parked.stream),
        "stream": parked.stream,
        "version": parked.version,
        "position": parked.position,
        "topic": batch.topic,
        "partition": batch.partition,
        "offset": parked.offset,
        "reason": parked.reason,
        "since": parked.position,
    }


def _last_position(batch: Batch) -> int | None:
    for record in reversed(batch.records):
        try:
            return wire.decode_place(record.value).position
        except BadData:
            continue
    return None
