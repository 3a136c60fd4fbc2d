"""A Faust transport whose message is a poll: for each partition the consecutive records that were fetched of it.

Stock Faust makes a message of every record and spends four tasks and three turns of the event loop on each. Here all
that a poll brought is one message, so that it is also written together. What is committed is what `mark_written` was
given, never what Faust believes to be acknowledged.

This is the only module that uses private parts of Faust, mode and aiokafka, but for `streams.aiokafka_fixes`. The four
packages are pinned exactly, and ``tests/integration/test_transport.py`` holds the contract.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple, Protocol, cast

import aiokafka
import faust
import structlog
from aiokafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor
from aiokafka.coordinator.assignors.sticky.sticky_assignor import StickyPartitionAssignor
from aiokafka.errors import (
    CommitFailedError,
    KafkaError,
    NoOffsetForPartitionError,
    OffsetOutOfRangeError,
)
from aiokafka.structs import OffsetAndMetadata, TopicPartition
from faust.serializers.schemas import Schema
from faust.transport.drivers import TRANSPORTS
from faust.transport.drivers import aiokafka as stock
from faust.types import TP
from faust.types.tuples import ConsumerMessage

from holonstream.schemas.errors import TopicCut, Unavailable
from holonstream.schemas.offset_metadata import OffsetMetadata
from holonstream.schemas.retry import backoff
from holonstream.sinks.base import RawRecord
from holonstream.streams import aiokafka_fixes  # noqa: F401

log = structlog.get_logger(__name__)

SCHEME = "holonstream"  # of the broker URL that selects this transport
RECORD_BYTES = 1 << 20  # of a record, as long as none was seen
POLL_BYTES = 4 << 20  # of records that one poll takes, were all as large as the largest of the poll before
RETRY_BACKOFF = 500  # ms until a request that failed is sent again; several tasks do so while no broker answers
FETCH_MAX_WAIT = 500  # ms that a broker may hold an empty fetch back; data is answered at once

TRANSPORTS[SCHEME] = f"{__name__}:FetchTransport"


@dataclass(frozen=True)
class Fetch:
    """What one poll brought of one partition; reading started at `start` and continues at `next_offset`.

    `records` may be empty: then only transaction markers were passed.
    """

    topic: str
    partition: int
    start: int
    next_offset: int
    records: Sequence[RawRecord]

    @cached_property
    def size(self) -> int:
        """Bytes of all records' values."""
        return sum(len(record.value or b"") for record in self.records)


@dataclass(frozen=True, slots=True)
class GroupOffset:
    """What a group commits for a partition: the offset to continue from, and the log position reached before it."""

    offset: int
    position: int | None
    topic_id: str | None = None
    """of the topic that the offset is in; None when an earlier version has committed it"""
    parked: int | None = None
    """streams of the partition that are parked, for a sink whose store only it can read; else None"""


class Bounds(NamedTuple):
    """The offsets that a partition has."""

    first: int
    """of the first record that was not deleted"""
    end: int
    """the last stable offset"""

    def check(self, tp: TP, offset: int) -> None:
        """Check that reading can continue at an offset without missing a record. Raises TopicCut."""
        partition = f"{tp.topic}[{tp.partition}]"
        if offset < self.first:
            raise TopicCut(
                f"{partition}: offsets {offset} to {self.first - 1} were deleted (retention, compaction or "
                f"DeleteRecords) before they were handled"
            )
        if offset > self.end:
            raise TopicCut(
                f"{partition} ends at offset {self.end}, but was handled up to {offset}: its end was lost (unclean "
                f"election, a disk), or the topic was made again"
            )


class RebalanceListener(Protocol):
    """Is called when partitions come and go. Those assigned replace all that were assigned before."""

    def on_rebalance_start(self) -> None:
        """Called from the consumer's thread."""

    def on_assigned(self, offsets: Mapping[TP, GroupOffset]) -> None:
        """Reading starts at these offsets."""

    def on_revoked(self, partitions: Iterable[TP]) -> None:
        """Called when what was being written of these is through, or was given up."""


def _metadata(offset: GroupOffset) -> str:
    # confluent-kafka 2.16.1 reads metadata beyond its end up to the next zero byte; so it brings its own.
    text = OffsetMetadata(offset.position, offset.topic_id, parked=offset.parked).text()
    return f"{text}\0" if text else ""


class WorkerApp(faust.App):  # type: ignore[misc]
    """A Faust app on this transport, without tables and files."""

    rebalance_listener: RebalanceListener
    request_timeout: float
    """seconds that a broker has for each answer"""

    @property
    def fetch_consumer(self) -> FetchConsumer | None:
        """The consumer; None until the app has started it."""
        return cast("FetchConsumer | None", self._consumer)

    def _create_directories(self) -> None:
        pass  # no tables, so no files

    def on_rebalance_start(self) -> None:
        self.rebalance_listener.on_rebalance_start()
        super().on_rebalance_start()


class FetchSchema(Schema):  # type: ignore[misc]
    """Passes the fetches of a poll through as they are."""

    def compile(self, app: Any, **kwargs: Any) -> Any:
        create_event = app.create_event

        async def decode(message: ConsumerMessage, *, propagate: bool = False) -> Any:
            return create_event(message.key, message.value, message.headers, message)

        return decode


def worker_assignor() -> type[StickyPartitionAssignor]:
    """An assignor for one consumer, since aiokafka's keeps what it was assigned in its class.

    It goes by the name of the assignor that workers had before, so that old and new ones share a group during an
    upgrade: members must agree on a name, and aiokafka joins twice when it offers two. A leader of either kind divides
    the partitions of members of either kind.
    """
    return type("WorkerAssignor", (StickyPartitionAssignor,), {"name": RoundRobinPartitionAssignor.name})


class FetchThread(stock.AIOKafkaConsumerThread):  # type: ignore[misc]
    """The thread that owns the aiokafka consumer."""

    _next_start: dict[TP, int]
    _largest: int
    """bytes of the largest record of the last poll that had any"""
    at_seek: dict[TP, Bounds]
    """what every assigned partition had when it was sought to its place"""

    def _create_worker_consumer(self, transport: Any) -> aiokafka.AIOKafkaConsumer:
        self._next_start = {}
        self._largest = RECORD_BYTES
        self.at_seek = {}
        conf = self.app.conf
        self._assignor = worker_assignor()
        return aiokafka.AIOKafkaConsumer(
            client_id=conf.broker_client_id,
            group_id=conf.id,
            bootstrap_servers=stock.server_list(transport.url, transport.default_port),
            partition_assignment_strategy=[self._assignor],
            enable_auto_commit=False,
            auto_offset_reset="none",  # an offset that is not there is an error, never a silent jump
            isolation_level="read_committed",
            max_poll_records=conf.broker_max_poll_records,
            max_poll_interval_ms=int(conf.broker_max_poll_interval * 1000),
            max_partition_fetch_bytes=conf.consumer_max_fetch_size,
            fetch_max_wait_ms=min(FETCH_MAX_WAIT, int(self.app.request_timeout * 500)),  # half of the limit below
            # Of every request, JoinGroup too: a member that joins again is still the same one, and a coordinator that
            # has vanished meanwhile is noticed.
            request_timeout_ms=int(self.app.request_timeout * 1000),
            retry_backoff_ms=RETRY_BACKOFF,
            session_timeout_ms=int(conf.broker_session_timeout * 1000),
            rebalance_timeout_ms=int(conf.broker_rebalance_timeout * 1000),
            heartbeat_interval_ms=int(conf.broker_heartbeat_interval * 1000),
            check_crcs=conf.broker_check_crcs,
            metadata_max_age_ms=conf.consumer_metadata_max_age_ms,
            **stock.credentials_to_aiokafka_auth(conf.broker_credentials, conf.ssl_context),
        )

    async def _fetch_records(
        self, consumer: Any, active_partitions: Any, timeout: float | None = None, max_records: int | None = None
    ) -> dict[TP, Fetch]:
        # A fetch is bounded in bytes as they travel. What compresses well may be hundreds of times as much.
        few = max(1, POLL_BYTES // self._largest)
        max_records = few if max_records is None else min(max_records, few)
        try:
            fetched = await super()._fetch_records(
                consumer, active_partitions, timeout=timeout, max_records=max_records
            )
        except NoOffsetForPartitionError:
            return {}  # just assigned, and not yet sought to its place
        except OffsetOutOfRangeError as error:
            ((tp, offset),) = error.args[0].items()
            if self._next_start.get(tp) != offset:
                return {}  # from before a seek
            raise await self._explained(tp, offset) from error
        # No await from here on: positions and records must be of the same moment.
        sizes = [len(record.value or b"") for records in fetched.values() for record in records]
        self._largest = max(sizes, default=self._largest) or 1
        subscription = consumer._subscription.subscription
        if subscription is None or subscription.assignment is None:
            return {}
        fetches = {}
        for tp in subscription.assignment.tps:
            state = subscription.assignment.state_value(tp)
            start = self._next_start.get(tp)
            if start is not None and state.has_valid_position and state.position > start:
                fetches[TP(*tp)] = Fetch(tp.topic, tp.partition, start, state.position, fetched.get(tp, ()))
                self._next_start[tp] = state.position
        return fetches

    async def _explained(self, tp: TopicPartition, offset: int) -> TopicCut:
        try:
            (await self._bounds([tp]))[tp].check(TP(*tp), offset)
        except TopicCut as cut:
            return cut
        return TopicCut(f"{tp.topic}[{tp.partition}] had no offset {offset}, and has it now: it was made again")

    async def bounds(self, tps: Iterable[TP]) -> dict[TP, Bounds]:
        """The offsets that partitions have, asked of the brokers. Raises Unavailable."""
        return cast(dict[TP, Bounds], await self.call_thread(self._bounds, [TopicPartition(*tp) for tp in tps]))

    async def _bounds(self, tps: Sequence[TopicPartition]) -> dict[TP, Bounds]:
        if not tps:
            return {}
        consumer = self._ensure_consumer()
        try:
            # In this order: an end that is asked for first could lie before a beginning that was cut meanwhile.
            firsts = await consumer.beginning_offsets(tps)
            ends = await consumer.end_offsets(tps)
        except KafkaError as error:
            raise Unavailable(f"Kafka does not say where {tps[0].topic} begins and ends: {error!r}") from error
        return {TP(*tp): Bounds(firsts[tp], ends[tp]) for tp in tps}

    async def _bounds_when_available(self, tps: Sequence[TopicPartition]) -> dict[TP, Bounds]:
        delays = backoff()
        while True:
            try:
                return await self._bounds(tps)
            except Unavailable as error:
                if self.should_stop:
                    raise
                log.warning("assignment.delayed", reason=str(error))
                await asyncio.sleep(next(delays))

    async def seek_to_committed(self) -> dict[TP, GroupOffset]:
        """Seek every assigned partition to what its group has committed, else to zero."""
        return cast(dict[TP, GroupOffset], await self.call_thread(self._seek_to_committed))

    async def _seek_to_committed(self) -> dict[TP, GroupOffset]:
        consumer = self._ensure_consumer()
        self._next_start.clear()
        assigned = list(consumer.assignment())
        committed = await consumer._coordinator.fetch_committed_offsets(assigned)
        bounds = await self._bounds_when_available(assigned)
        self.at_seek = {TP(*tp): found for tp, found in bounds.items()}
        offsets = {}
        for tp in assigned:
            if tp not in committed or committed[tp].offset < 0:
                start = GroupOffset(0, None)
            else:
                known = OffsetMetadata.parse(committed[tp].metadata)
                start = GroupOffset(committed[tp].offset, known.position, known.topic_id, known.parked)
            if tp in consumer.assignment():  # a rebalance may have come in between
                offsets[TP(*tp)] = start
                # Whether the group's offset counts, and is there, the follower finds out.
                within = bounds[TP(*tp)]
                self._seek(consumer, tp, min(max(start.offset, within.first), within.end))
        return offsets

    async def seek_to(self, tp: TP, offset: int) -> None:
        """Go on reading a partition at an offset, if it is still assigned."""
        await self.call_thread(self._seek_to, tp, offset)

    async def _seek_to(self, tp: TP, offset: int) -> None:
        consumer = self._ensure_consumer()
        if TopicPartition(*tp) in consumer.assignment():
            self._seek(consumer, TopicPartition(*tp), offset)

    def _seek(self, consumer: Any, tp: TopicPartition, offset: int) -> None:
        consumer.seek(tp, offset)
        self._next_start[tp] = offset

    async def commit_offsets(self, offsets: Mapping[TP, GroupOffset]) -> bool:
        """Commit offsets, each with its log position as metadata.

        False when the group has moved on, or when this thread ends meanwhile, as it does after a crash.
        """
        if self.crashed:
            return False  # nobody answers any more
        try:
            return cast(bool, await self.call_thread(self._commit_offsets, offsets))
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            return False  # the thread was cancelled, not the caller: without this the caller's stop would end here

    async def _commit_offsets(self, offsets: Mapping[TP, GroupOffset]) -> bool:
        consumer = self._ensure_consumer()
        assigned = consumer.assignment()
        held = {
            TopicPartition(*tp): OffsetAndMetadata(offset.offset, _metadata(offset))
            for tp, offset in offsets.items()
            if TopicPartition(*tp) in assigned
        }
        if not held:
            return False
        try:
            await consumer.commit(held)
        except CommitFailedError:
            return False  # the new owner reads on from the last commit
        return True

    async def check_coordinator(self) -> None:
        """Raise the error that stopped the group's join or sync phase; nothing else asks aiokafka for it."""
        consumer = self._consumer
        if consumer is not None and consumer._coordinator is not None:
            await self.call_thread(self._check_coordinator)

    async def _check_coordinator(self) -> None:
        self._ensure_consumer()._coordinator.check_errors()

    @property
    def has_coordinator(self) -> bool:
        """Whether the task that keeps this worker in its group is running, or has not begun yet."""
        consumer = self._consumer
        return consumer is None or consumer._coordinator is None or not consumer._coordinator._coordination_task.done()

    async def assigned_bounds(self) -> dict[TP, Bounds]:
        """The offsets that every assigned partition has, asked of the brokers. Raises Unavailable."""
        return cast(dict[TP, Bounds], await self.call_thread(self._assigned_bounds))

    async def _assigned_bounds(self) -> dict[TP, Bounds]:
        return await self._bounds(list(self._ensure_consumer().assignment()))


class _NoReadOffsets(dict[TP, Any]):
    """Replaces Faust's read offsets, below which it silently drops what arrives.

    Faust notes one when a message is handled, even if a seek or a rebalance has come in between: what is then read
    again would never arrive. Which fetch comes next is the follower's decision.
    """

    def __getitem__(self, tp: TP) -> None:
        return None

    def __setitem__(self, tp: TP, offset: Any) -> None:
        pass


class FetchConsumer(stock.Consumer):  # type: ignore[misc]
    """Delivers polls and commits what was written."""

    _thread: FetchThread

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._read_offset = _NoReadOffsets()
        self._written: dict[TP, GroupOffset] = {}
        self._committed: dict[TP, GroupOffset] = {}

    def _new_consumer_thread(self) -> FetchThread:
        return FetchThread(self, loop=self.loop, beacon=self.beacon)

    def mark_written(self, tp: TP, offset: GroupOffset) -> None:
        """Take note that a partition is written up to an offset; it is committed at the next commit."""
        self._written[tp] = offset

    def release(self, message: Any) -> None:
        """Forget a message: Faust would wait for its acknowledgement before it stops or rebalances."""
        self.unacked.discard(message)

    async def seek_to(self, tp: TP, offset: int) -> None:
        """Go on reading a partition at an offset, if it is still assigned."""
        await self._thread.seek_to(tp, offset)

    async def check_coordinator(self) -> None:
        """Raise the error that stopped the group's join or sync phase; nothing else asks aiokafka for it."""
        await self._thread.check_coordinator()

    @property
    def has_coordinator(self) -> bool:
        """Whether the task that keeps this worker in its group is running, or has not begun yet."""
        return self._thread.has_coordinator

    async def check_place(self, tp: TP, offset: int) -> None:
        """Check that a partition has the offset to continue from. Raises TopicCut, Unavailable.

        The brokers are asked again only where what they said of all partitions, before the seek, does not suffice: an
        answer waits behind a fetch that waits for records, and one question after the other took half a second for
        each partition.
        """
        known = self._thread.at_seek.get(tp)
        if known is None or not known.first <= offset <= known.end:
            known = (await self._thread.bounds([tp]))[tp]
        known.check(tp, offset)

    async def assigned_bounds(self) -> dict[TP, Bounds]:
        """The offsets that every assigned partition has, asked of the brokers. Raises Unavailable."""
        return await self._thread.assigned_bounds()

    def written_offsets(self) -> dict[TP, GroupOffset]:
        """How far each assigned partition is written."""
        return dict(self._written)

    def verify_event_path(self, now: float, tp: TP) -> None:
        """Nothing. Faust would warn of healthy workers: it judges by its own acks. `streams.health` finds stalls."""

    # --- reading ---------------------------------------------------------------------------------------------------

    async def perform_seek(self) -> None:
        offsets = await self._thread.seek_to_committed()
        self._written = dict(offsets)
        self._committed = dict(offsets)
        self.app.rebalance_listener.on_assigned(offsets)

    async def getmany(self, timeout: float) -> AsyncIterator[tuple[TP, ConsumerMessage]]:
        generation = self.app.consumer_generation_id
        fetches, _ = await self._wait_next_records(timeout)
        if not fetches or self.should_stop:
            return
        if not self.flow_active or self.app.consumer_generation_id != generation:
            # A rebalance came in between. Whether this was fetched before or after its seek is unknown: read it
            # again. Dropped without a seek, it would be missing until more records come. If the start is an old
            # one, the follower sees that it does not follow what is written, and seeks to the right one.
            for tp, fetch in fetches.items():
                await self.seek_to(tp, fetch.start)
            return
        tp = next(iter(fetches))  # Faust wants one; nothing goes by it
        yield tp, self._message(tp, list(fetches.values()))

    def _message(self, tp: TP, fetches: Sequence[Fetch]) -> ConsumerMessage:
        return ConsumerMessage(
            tp.topic, tp.partition, fetches[0].start, 0.0, 0, (), None, fetches, None, 0, 0, tp,
            generation_id=self.app.consumer_generation_id,
        )  # fmt: skip

    def on_buffer_full(self, tp: TP) -> None:
        # The put into a full queue waits; taking the partition out of the fetch would idle the fetcher for a second.
        pass

    # --- committing ------------------------------------------------------------------------------------------------

    async def force_commit(self, topics: Any = None, start_new_transaction: bool = True) -> bool:
        self._acked.clear()
        self._acked_index.clear()
        offsets = {tp: offset for tp, offset in self._written.items() if self._committed.get(tp) != offset}
        if not offsets or not await self._thread.commit_offsets(offsets):
            return False
        self._committed.update(offsets)
        return True

    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        await super().on_partitions_revoked(revoked)  # waits for the write in progress, then commits
        self.app.rebalance_listener.on_revoked(revoked)
        for tp in revoked:
            self._written.pop(tp, None)
            self._committed.pop(tp, None)


class FetchTransport(stock.Transport):  # type: ignore[misc]
    """Selected by a broker URL that starts with ``holonstream://``."""

    Consumer = FetchConsumer
