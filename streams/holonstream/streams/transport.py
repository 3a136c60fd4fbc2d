"""A Faust transport whose message is a batch: the consecutive records of one partition that one fetch brought.

Stock Faust makes a message of every record and spends four tasks and three turns of the event loop on each. Here a
fetch becomes one message per partition, and what is committed is what `written` was told, never what Faust believes to
be acknowledged. The overridden methods are private: the four packages are pinned exactly, and
``tests/integration/test_transport.py`` holds the contract.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import aiokafka
from aiokafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor
from aiokafka.errors import CommitFailedError
from aiokafka.structs import OffsetAndMetadata, TopicPartition
from faust.serializers.schemas import Schema
from faust.transport.drivers import TRANSPORTS
from faust.transport.drivers import aiokafka as stock
from faust.types import TP
from faust.types.tuples import ConsumerMessage

SCHEME = "holonstream"  # of the broker URL that selects this transport
FETCH_MAX_WAIT = 500  # ms that a broker may hold an empty fetch back; data is answered at once

TRANSPORTS[SCHEME] = f"{__name__}:BatchTransport"


@dataclass(frozen=True, slots=True)
class FetchedBatch:
    """What one fetch brought of one partition; reading started at `start` and goes on at `next_offset`.

    `records` may be empty: then only transaction markers were passed.
    """

    topic: str
    partition: int
    start: int
    next_offset: int
    records: Sequence[Any]


@dataclass(frozen=True, slots=True)
class Mark:
    """How far a partition is written: the offset to go on from, and the log position reached."""

    offset: int
    position: int | None


def _metadata(position: int | None) -> str:
    # confluent-kafka 2.16.1 reads metadata beyond its end up to the next zero byte; so it brings its own.
    return "" if position is None else f"{position}\0"


def _position(metadata: str) -> int | None:
    digits = metadata.rstrip("\0")
    return int(digits) if digits.isdigit() else None


class BatchSchema(Schema):  # type: ignore[misc]
    """Hands a batch through as it is."""

    def compile(self, app: Any, **kwargs: Any) -> Any:
        create_event = app.create_event

        async def decode(message: ConsumerMessage, *, propagate: bool = False) -> Any:
            return create_event(message.key, message.value, message.headers, message)

        return decode


class BatchThread(stock.AIOKafkaConsumerThread):  # type: ignore[misc]
    """The thread that owns the aiokafka consumer."""

    _next_start: dict[TP, int]

    def _create_worker_consumer(self, transport: Any) -> aiokafka.AIOKafkaConsumer:
        self._next_start = {}
        conf = self.app.conf
        self._assignor = RoundRobinPartitionAssignor
        return aiokafka.AIOKafkaConsumer(
            client_id=conf.broker_client_id,
            group_id=conf.id,
            bootstrap_servers=stock.server_list(transport.url, transport.default_port),
            partition_assignment_strategy=[RoundRobinPartitionAssignor],
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            isolation_level="read_committed",
            max_poll_records=conf.broker_max_poll_records,
            max_poll_interval_ms=int(conf.broker_max_poll_interval * 1000),
            max_partition_fetch_bytes=conf.consumer_max_fetch_size,
            fetch_max_wait_ms=FETCH_MAX_WAIT,
            request_timeout_ms=int(conf.broker_request_timeout * 1000),
            session_timeout_ms=int(conf.broker_session_timeout * 1000),
            rebalance_timeout_ms=int(conf.broker_rebalance_timeout * 1000),
            heartbeat_interval_ms=int(conf.broker_heartbeat_interval * 1000),
            check_crcs=conf.broker_check_crcs,
            metadata_max_age_ms=conf.consumer_metadata_max_age_ms,
            **stock.credentials_to_aiokafka_auth(conf.broker_credentials, conf.ssl_context),
        )

    async def _fetch_records(
        self, consumer: Any, active_partitions: Any, timeout: float | None = None, max_records: int | None = None
    ) -> dict[TP, FetchedBatch]:
        fetched = await super()._fetch_records(consumer, active_partitions, timeout=timeout, max_records=max_records)
        # No await from here on: positions and records must be of the same moment.
        subscription = consumer._subscription.subscription
        if subscription is None or subscription.assignment is None:
            return {}
        batches = {}
        for tp in subscription.assignment.tps:
            state = subscription.assignment.state_value(tp)
            start = self._next_start.get(tp)
            if start is not None and state.has_valid_position and state.position > start:
                batches[TP(*tp)] = FetchedBatch(tp.topic, tp.partition, start, state.position, fetched.get(tp, ()))
                self._next_start[tp] = state.position
        return batches

    async def seek_to_marks(self) -> dict[TP, Mark]:
        """Seek every assigned partition to what its group has committed, else to its beginning."""
        return cast(dict[TP, Mark], await self.call_thread(self._seek_to_marks))

    async def _seek_to_marks(self) -> dict[TP, Mark]:
        consumer = self._ensure_consumer()
        self._next_start.clear()
        assigned = list(consumer.assignment())
        committed = await consumer._coordinator.fetch_committed_offsets(assigned)
        fresh = [tp for tp in assigned if tp not in committed or committed[tp].offset < 0]
        beginnings = await consumer.beginning_offsets(fresh) if fresh else {}
        marks = {}
        for tp in assigned:
            if tp in beginnings:
                mark = Mark(beginnings[tp], None)
            else:
                mark = Mark(committed[tp].offset, _position(committed[tp].metadata))
            if tp in consumer.assignment():  # a rebalance may have come in between
                marks[TP(*tp)] = mark
                self._seek(consumer, tp, mark.offset)
        return marks

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

    async def commit_marks(self, marks: Mapping[TP, Mark]) -> bool:
        """Commit offsets, each with its log position as metadata; False when the group has moved on."""
        return cast(bool, await self.call_thread(self._commit_marks, marks))

    async def _commit_marks(self, marks: Mapping[TP, Mark]) -> bool:
        consumer = self._ensure_consumer()
        assigned = consumer.assignment()
        offsets = {
            TopicPartition(*tp): OffsetAndMetadata(mark.offset, _metadata(mark.position))
            for tp, mark in marks.items()
            if TopicPartition(*tp) in assigned
        }
        if not offsets:
            return False
        try:
            await consumer.commit(offsets)
        except CommitFailedError:
            return False  # the new owner reads on from the last commit
        return True

    async def check_coordinator(self) -> None:
        """Let an error of the group's join or sync phase come out; without this call it waits for ever."""
        consumer = self._consumer
        if consumer is not None and consumer._coordinator is not None:
            await self.call_thread(self._check_coordinator)

    async def _check_coordinator(self) -> None:
        self._ensure_consumer()._coordinator.check_errors()

    async def end_offsets(self) -> dict[TP, int]:
        """The last stable offset of every assigned partition, asked of the brokers."""
        return cast(dict[TP, int], await self.call_thread(self._end_offsets))

    async def _end_offsets(self) -> dict[TP, int]:
        consumer = self._ensure_consumer()
        assigned = list(consumer.assignment())
        ends = await consumer.end_offsets(assigned) if assigned else {}
        return {TP(*tp): offset for tp, offset in ends.items()}


class _NoReadOffsets(dict[TP, Any]):
    """In place of Faust's read offsets, below which it drops what arrives without a word.

    Faust notes one when a message is through, even if a seek or a rebalance has come in between: what is then read
    again would never arrive. Which batch joins is the follower's to say.
    """

    def __getitem__(self, tp: TP) -> None:
        return None

    def __setitem__(self, tp: TP, offset: Any) -> None:
        pass


class BatchConsumer(stock.Consumer):  # type: ignore[misc]
    """Delivers batches and commits what was written."""

    _thread: BatchThread

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._read_offset = _NoReadOffsets()
        self._written: dict[TP, Mark] = {}
        self._committed: dict[TP, Mark] = {}

    def _new_consumer_thread(self) -> BatchThread:
        return BatchThread(self, loop=self.loop, beacon=self.beacon)

    def written(self, tp: TP, mark: Mark) -> None:
        """Take note that a partition is written up to a mark; it is committed at the next commit."""
        self._written[tp] = mark

    async def seek_to(self, tp: TP, offset: int) -> None:
        """Go on reading a partition at an offset, if it is still assigned."""
        await self._thread.seek_to(tp, offset)

    async def check_coordinator(self) -> None:
        """Raise what the group coordinator has to complain of."""
        await self._thread.check_coordinator()

    async def end_offsets(self) -> dict[TP, int]:
        """The last stable offset of every assigned partition, asked of the brokers."""
        return await self._thread.end_offsets()

    def marks(self) -> dict[TP, Mark]:
        """How far each assigned partition is written."""
        return dict(self._written)

    def unwritten(self, ends: Mapping[TP, int]) -> dict[TP, int]:
        """Per assigned partition, how many offsets lie between what is written and its end."""
        return {tp: end - self._written[tp].offset for tp, end in ends.items() if tp in self._written}

    # --- reading ---------------------------------------------------------------------------------------------------

    async def perform_seek(self) -> None:
        marks = await self._thread.seek_to_marks()
        self._written = dict(marks)
        self._committed = dict(marks)
        self.app.follower.begin(marks)

    async def getmany(self, timeout: float) -> AsyncIterator[tuple[TP, ConsumerMessage]]:
        generation = self.app.consumer_generation_id
        batches, _ = await self._wait_next_records(timeout)
        for tp, batch in (batches or {}).items():
            if self.should_stop:
                return
            if not self.flow_active or self.app.consumer_generation_id != generation:
                # A rebalance came in between, and it cannot be told on which side of its seek this was fetched: read it
                # again. Dropped without a seek it would be missing until more comes. A start that the rebalance has
                # overtaken does not join, and the follower seeks to the one that does.
                await self.seek_to(tp, batch.start)
                continue
            yield tp, self._message(tp, batch)

    def _message(self, tp: TP, batch: FetchedBatch) -> ConsumerMessage:
        return ConsumerMessage(
            batch.topic, batch.partition, batch.start, 0.0, 0, (), None, batch, None, 0, 0, tp,
            generation_id=self.app.consumer_generation_id,
        )  # fmt: skip

    def on_buffer_full(self, tp: TP) -> None:
        # The put into a full queue waits; taking the partition out of the fetch would idle the fetcher for a second.
        pass

    # --- committing ------------------------------------------------------------------------------------------------

    async def force_commit(self, topics: Any = None, start_new_transaction: bool = True) -> bool:
        self._acked.clear()
        self._acked_index.clear()
        marks = {tp: mark for tp, mark in self._written.items() if self._committed.get(tp) != mark}
        if not marks or not await self._thread.commit_marks(marks):
            return False
        self._committed.update(marks)
        return True

    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        await super().on_partitions_revoked(revoked)  # waits for the batch in hand, then commits
        self.app.follower.end(revoked)
        for tp in revoked:
            self._written.pop(tp, None)
            self._committed.pop(tp, None)


class BatchTransport(stock.Transport):  # type: ignore[misc]
    """Selected by a broker URL that starts with ``holonstream://``."""

    Consumer = BatchConsumer
