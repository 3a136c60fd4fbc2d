"""How far every part of the pipeline has come: the log, the relay, and each consumer group by partition."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from threading import Event
from time import monotonic, time
from typing import Any

from confluent_kafka import (
    Consumer,
    IsolationLevel,
    KafkaException,
    Message,
    TopicPartition,
)
from confluent_kafka.admin import ConsumerGroupDescription, OffsetSpec

from holonstream.ops.output import counted
from holonstream.ops.settings import Settings
from holonstream.ops.topics import topic_problems
from holonstream.producers.kafka import (
    PAUSE,
    TIMEOUT,
    Admin,
    answer,
    driver_errors,
    partitions_added,
    topic_identity,
)
from holonstream.producers.relay.topic_tail import first_event, first_records
from holonstream.schemas import instant, names
from holonstream.schemas.errors import InvalidEvent, TopicCut
from holonstream.schemas.offset_metadata import OffsetMetadata
from holonstream.schemas.wire import decode_position

LISTING_TIMEOUT = 1.0  # seconds that each broker has to list its groups; those of one that is down have moved
LONG_OPEN = 5.0  # seconds that a transaction may be open on the topic before it is reported
WATCHED = 1.0  # seconds for which one is watched whose age nobody knows


@dataclass(frozen=True, slots=True)
class PartitionLag:
    """How far a group is on one partition."""

    partition: int
    offset: int
    """next offset that the group reads; 0 when it has committed none, or another program has set one"""
    end: int
    lag: int
    """offsets to go, transaction markers counted; 0 means that every event is handled"""
    position: int | None
    """log position of the last event handled"""
    lag_seconds: float
    """age of the oldest event not handled, 0.0 without lag"""
    parked: int | None = None
    """streams that a sink of one's own has parked, as its worker has committed; None for the graph, whose store has
    them, for the cache, which parks none, and where nothing is known"""


@dataclass(frozen=True, slots=True)
class Member:
    """A worker, as the brokers know it."""

    client: str
    host: str
    partitions: list[int]

    def __str__(self) -> str:
        return f"{self.client} on {self.host} with {counted(len(self.partitions), 'partition')}"


def members_of(described: ConsumerGroupDescription | None) -> list[Member]:
    """The workers of a group as `producers.kafka.Admin` gives it."""
    return [
        Member(
            m.member_id,
            m.host.lstrip("/"),
            sorted(tp.partition for tp in m.assignment.topic_partitions) if m.assignment else [],
        )
        for m in (described.members if described else ())
    ]


@dataclass(frozen=True, slots=True)
class GroupStatus:
    """A consumer group."""

    name: str
    state: str
    workers: list[Member]
    partitions: list[PartitionLag]

    @property
    def members(self) -> int:
        """How many workers there are."""
        return len(self.workers)

    @property
    def lag(self) -> int:
        """Offsets to go over all partitions."""
        return sum(p.lag for p in self.partitions)

    @property
    def lag_seconds(self) -> float:
        """Age of the oldest event not handled."""
        return max((p.lag_seconds for p in self.partitions), default=0.0)

    @property
    def parked(self) -> int | None:
        """Streams that a sink of one's own has parked, None where nothing is known (`PartitionLag.parked`)."""
        known = [p.parked for p in self.partitions if p.parked is not None]
        return sum(known) if known else None


@dataclass(frozen=True, slots=True)
class TopicTransaction:
    """A transaction that is open on a partition: readers of committed records see nothing beyond its first one."""

    partition: int
    offset: int
    """of its first record: the last stable offset"""
    end: int
    """the high-water mark"""
    seconds: float
    """age of its first record, or for how long it has been seen, if that is more"""
    is_of_the_future: bool
    """whether its first record is dated after now, so that `seconds` is how long it has been seen"""

    @property
    def is_long_open(self) -> bool:
        """Whether it is reported."""
        return self.seconds > LONG_OPEN or self.is_of_the_future


class TopicStatus:
    """Asks the brokers about one topic and its groups. Use as a context manager."""

    def __init__(self, client: Mapping[str, Any], topic: str) -> None:
        """`client` as `ops.kafka.client` makes it. Raises KafkaUnavailable when its certificates cannot be read."""
        self._client = dict(client)
        with driver_errors(f"making a client for topic {topic}"):
            self._admin = Admin(self._client)
        self._members: dict[str, Consumer] = {}
        self._topic = topic
        self._held: dict[tuple[int, int], float] = {}
        """by partition and last stable offset: since when a transaction has been seen there, by the monotonic clock"""

    def __enter__(self) -> TopicStatus:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Close all connections; closing twice is fine."""
        for member in self._members.values():
            member.close()

    def _member(self, group: str) -> Consumer:
        """A client that asks for a group's offsets without joining it.

        (AdminClient.list_consumer_group_offsets of confluent-kafka 2.16.1 crashes the process while the brokers make
        their topic of offsets, or are late: see COORDINATOR_LIMIT.)
        """
        if group not in self._members:
            self._members[group] = Consumer(
                {
                    **self._client,
                    "group.id": group,
                    "enable.auto.commit": False,
                    "isolation.level": "read_committed",
                    "auto.offset.reset": "error",  # else it continues at the end, as if it had read what lies before
                    "enable.partition.eof": True,
                    "fetch.wait.max.ms": 10,  # a question that is in the way of the next one
                }
            )
        return self._members[group]

    def ends(self) -> dict[int, int]:
        """The last stable offset of each partition. Raises NotInitialised, NotPermitted, KafkaUnavailable."""
        with driver_errors(f"reading the end of topic {self._topic}"):
            return answer(partial(self._offsets, OffsetSpec.latest()))

    def high_watermarks(self) -> dict[int, int]:
        """The end of each partition, with what is not committed. Raises as `ends`."""
        with driver_errors(f"reading the end of topic {self._topic}"):
            return answer(partial(self._offsets, OffsetSpec.latest(), IsolationLevel.READ_UNCOMMITTED))

    def open_transactions(self, group: str) -> list[TopicTransaction]:
        """The transactions behind which readers wait; `group` is one whose offsets may be read.

        The relay's own are among them, for the moments that they take. A record's time is what its producer says: one
        that is dated after now is watched for a second, so that only those that stay open are said to be of the future.
        Raises as `ends`.
        """
        stable, high = self.ends(), self.high_watermarks()
        held = {p: offset for p, offset in self.ends().items() if offset == stable.get(p) and offset < high.get(p, 0)}
        self._held = {place: self._held.get(place, monotonic()) for place in held.items()}
        if not held:
            return []
        written = self._times_of_records(group, held)
        pause = Event()
        while any(at > time() and self._seen(p, held[p]) <= WATCHED for p, at in written.items()):
            pause.wait(PAUSE)
            ends = self.ends()
            written = {p: at for p, at in written.items() if ends.get(p) == held[p]}
        now = time()
        return [
            TopicTransaction(p, held[p], high[p], max(now - at, self._seen(p, held[p])), at > now)
            for p, at in written.items()
        ]

    def _seen(self, partition: int, offset: int) -> float:
        """For how many seconds a transaction has been seen that is open from an offset on."""
        return monotonic() - self._held[partition, offset]

    def _times_of_records(self, group: str, held: Mapping[int, int]) -> dict[int, float]:
        """When the first record at or after an offset of each partition was written, in seconds since the epoch.

        Raises as `ends`.
        """
        reader = Consumer(
            {
                **self._client,
                "group.id": group,
                "enable.auto.commit": False,
                "isolation.level": "read_uncommitted",
                "auto.offset.reset": "error",
            }
        )
        try:
            with driver_errors(f"reading an open transaction on topic {self._topic}"):
                return {p: self._time_of_record(reader, p, offset) for p, offset in held.items()}
        finally:
            reader.close()

    def _time_of_record(self, reader: Consumer, partition: int, offset: int) -> float:
        """As `_times_of_records`, of one. Raises TimeoutError, KafkaException."""
        reader.assign([TopicPartition(self._topic, partition, offset)])
        message = reader.poll(TIMEOUT)
        if message is None:
            raise TimeoutError
        if message.error() is not None:
            raise KafkaException(message.error())
        return float(message.timestamp()[1]) / 1000

    def check_whole(self, group: str, log_begins: int | None) -> None:
        """Check that the topic has what a view needs that is built from offset zero.

        `log_begins` is the position of the log's first event. Raises TopicCut, NotInitialised, KafkaUnavailable.
        """
        with driver_errors(f"reading the beginning of topic {self._topic}"):
            firsts = answer(partial(self._offsets, OffsetSpec.earliest()))
        for partition, first in firsts.items():
            if first > 0:
                raise TopicCut(f"{self._topic}[{partition}]: offsets 0 to {first - 1} were deleted")
        event = first_event(self._member(group), self._topic)
        if event is not None and event.position != log_begins:
            raise TopicCut(
                f"Topic {self._topic} begins with position {event.position}, and the log with {log_begins}: it was "
                "made again, and does not hold what was published before"
            )

    def problems(self, relay: str, witness: str, groups: Iterable[GroupStatus]) -> list[str]:
        """Why committed offsets of the relay (its position) and of groups cannot be true for the topic as it is.

        `witness` is the other topic for which the relay commits. Raises NotInitialised, KafkaUnavailable, NotPermitted.
        """
        with driver_errors(f"comparing what was committed with topic {self._topic}"):
            identity = topic_identity(self._admin.client, self._topic, TIMEOUT)
            now = identity.id
            firsts = answer(partial(self._offsets, OffsetSpec.earliest()))
            places = [TopicPartition(self._topic, 0), TopicPartition(witness, 0)]
            relayed = answer(partial(self._committed, relay, places))
            found = [_of_another(relay, tp, now) for tp in relayed]
            if any(map(_is_set_by_hand, relayed)):
                found.append(
                    f"{relay}: another program set the offset of the relay, which says nothing of what was published: "
                    "it counts as 0, and a relay that leads commits its position again within seconds"
                )
            had = max((OffsetMetadata.parse(tp.metadata).partitions or 0 for tp in relayed), default=0)
            if 0 < had < identity.partitions:
                found.append(f"{relay}: {partitions_added(self._topic, had, identity.partitions)} (PartitionsAdded)")
            missed: set[int] = set()
            for group in groups:
                places = [TopicPartition(self._topic, lag.partition) for lag in group.partitions]
                committed = answer(partial(self._committed, group.name, places))
                ends = answer(partial(self._offsets, OffsetSpec.latest()))  # after them: both move
                found += [_of_another(group.name, tp, now) for tp in committed]
                if by_hand := [tp.partition for tp in committed if _is_set_by_hand(tp)]:
                    found.append(
                        f"{group.name}: another program set the offsets of {self._topic} {by_hand}, so they count as "
                        "none: a graph worker goes by its checkpoints, a cache worker reads all again"
                    )
                for tp, lag in zip(committed, group.partitions, strict=True):
                    where = f"{group.name}: {self._topic}[{lag.partition}]"
                    if tp.offset > ends[tp.partition]:
                        found.append(
                            f"{where} ends at offset {ends[tp.partition]}, and was handled up to {tp.offset} (TopicCut)"
                        )
                    elif lag.offset < firsts[lag.partition]:
                        last = firsts[lag.partition] - 1
                        found.append(f"{where}: offsets {lag.offset} to {last} were deleted unhandled (TopicCut)")
                        missed.add(lag.partition)
            handled = sorted(partition for partition, first in firsts.items() if first > 0 and partition not in missed)
            if handled:
                found.append(
                    f"{self._topic} {handled}: the first records were deleted. Every group has handled them, but no "
                    "view can be built again from the topic (TopicCut)"
                )
        return list(dict.fromkeys(filter(None, found)))

    def unsafe(self, settings: Settings) -> list[str]:
        """Why the topic, as it is set up now, may lose events. Raises as `problems`."""
        with driver_errors(f"reading the settings of topic {self._topic}"):
            return topic_problems(self._admin.client, settings)

    def describe(self, opened: TopicTransaction) -> str:
        """An open transaction, and how it is found and ended."""
        tool = f"kafka-transactions.sh --bootstrap-server {self._client['bootstrap.servers']}"
        place = f"--topic {self._topic} --partition {opened.partition}"
        since = "with records of the future" if opened.is_of_the_future else f"for {opened.seconds:.0f} s"
        return (
            f"{self._topic}[{opened.partition}]: a transaction is open {since}, and readers wait at "
            f"offset {opened.offset} of {opened.end} (OpenTransaction). Whose it is: `{tool} describe-producers "
            f"{place}`; to end it: `{tool} abort {place} --start-offset {opened.offset}`"
        )

    def _offsets(self, spec: OffsetSpec, isolation: IsolationLevel = IsolationLevel.READ_COMMITTED) -> dict[int, int]:
        found = self._admin.client.list_topics(self._topic, timeout=TIMEOUT).topics[self._topic]
        if found.error is not None:
            raise KafkaException(found.error)
        asked = {TopicPartition(self._topic, p): spec for p in sorted(found.partitions)}
        answers = self._admin.client.list_offsets(asked, isolation_level=isolation, request_timeout=TIMEOUT)
        return {tp.partition: future.result(TIMEOUT).offset for tp, future in answers.items()}

    def relayed(self, group: str) -> int:
        """The log position that the relay's group has committed; 0 for an offset that another program has set.

        Raises KafkaUnavailable, NotPermitted.
        """
        with driver_errors(f"reading the position that group {group} committed on {self._topic}"):
            self._admin.describe(group)
            (place,) = answer(lambda: self._committed(group, [TopicPartition(self._topic, 0)]))
        return 0 if _is_set_by_hand(place) else max(int(place.offset), 0)

    def group(self, name: str, ends: Mapping[int, int], *, seconds: bool = True) -> GroupStatus:
        """A group's offsets on the topic; `seconds` False leaves out the ages, which cost a read per lagging partition.

        Raises KafkaUnavailable, NotPermitted.
        """
        with driver_errors(f"reading the offsets of group {name} on {self._topic}"):
            partitions = [TopicPartition(self._topic, p) for p in sorted(ends)]
            described = self._admin.describe(name)
            committed = answer(lambda: self._committed(name, partitions))
            state = described.state.name if described else "UNKNOWN"
        lags = []
        for tp in committed:
            offset, end = 0 if _is_set_by_hand(tp) else max(tp.offset, 0), ends[tp.partition]
            lag = max(end - offset, 0)
            known = OffsetMetadata.parse(tp.metadata)
            lags.append(PartitionLag(tp.partition, offset, end, lag, known.position, 0.0, known.parked))
        if seconds:
            lags = self._with_ages(self._member(name), lags)
        return GroupStatus(name, state.lower(), members_of(described), lags)

    def has_members(self, group: str) -> bool:
        """Whether a group has a worker. Raises KafkaUnavailable, NotPermitted."""
        with driver_errors(f"asking for group {group}"):
            return bool(members_of(self._admin.describe(group)))

    def views(self, settings: Settings) -> list[str]:
        """Every view that a group of the namespace follows the log for: graph, cache, and the sinks of one's own that
        the brokers know a group of.

        Raises KafkaUnavailable. The brokers list only groups that the login may describe.
        """
        with driver_errors("listing the consumer groups"):
            listed = self._admin.client.list_consumer_groups(request_timeout=LISTING_TIMEOUT).result(TIMEOUT)
            if listed.errors and not listed.valid:
                raise listed.errors[0]
        groups = [group.group_id for group in listed.valid]
        return [*names.VIEWS, *names.own_sinks(settings.namespace, groups, settings.group_suffix)]

    def compared(self, group: GroupStatus, checkpoints: Mapping[int, int]) -> tuple[GroupStatus, list[str]]:
        """The graph's group as the graph's checkpoints say, and what is wrong when the graph lacks what it committed.

        A graph that was restored or emptied, or another one, has less than its group has committed. `checkpoints` are
        offsets, read after those of the group: a worker moves the checkpoint first. Raises KafkaUnavailable.
        """
        places = {lag.partition: checkpoints.get(lag.partition, 0) for lag in group.partitions}
        committed = {lag.partition: lag.offset for lag in group.partitions}
        before = {partition: place for partition, place in places.items() if place < committed[partition]}
        with driver_errors(f"comparing the graph's checkpoints with {self._topic}"):
            records = self._first_records(self._member(group.name), before)
        lags, behind = [], []
        for lag in group.partitions:
            record, place = records.get(lag.partition), places[lag.partition]
            offset = None if record is None else record.offset()
            if offset is None or offset >= lag.offset:  # else only markers of transactions lie between
                lags.append(lag)
                continue
            age = _age(record)
            lags.append(replace(lag, offset=place, lag=max(lag.end - place, 0), position=None, lag_seconds=age))
            behind.append(lag.partition)
        problem = (
            f"{group.name}: the graph lacks what the group has committed in {self._topic} {behind}: it was restored "
            "from a backup, emptied, or is another one (GraphBehind). A worker reads that again"
        )
        return replace(group, partitions=lags), [problem] if behind else []

    def _first_records(self, consumer: Consumer, offsets: Mapping[int, int]) -> dict[int, Message]:
        """The first committed record at or after an offset of each partition, where there is one."""
        if not offsets:
            return {}
        firsts = answer(partial(self._offsets, OffsetSpec.earliest()))
        ends = answer(partial(self._offsets, OffsetSpec.latest()))
        starts = {partition: max(offset, firsts[partition]) for partition, offset in offsets.items()}
        return first_records(consumer, self._topic, starts, ends)

    def _committed(self, group: str, partitions: list[TopicPartition]) -> list[TopicPartition]:
        committed: list[TopicPartition] = self._member(group).committed(partitions, TIMEOUT)
        for tp in committed:
            if tp.error is not None:
                raise KafkaException(tp.error)
        return committed

    def _with_ages(self, consumer: Consumer, lags: Iterable[PartitionLag]) -> list[PartitionLag]:
        lags = list(lags)
        # Where only markers of transactions lie ahead there is no record, and nothing is late.
        with driver_errors(f"reading the oldest events to handle on {self._topic}"):
            records = self._first_records(consumer, {lag.partition: lag.offset for lag in lags if lag.lag})
        return [replace(lag, lag_seconds=_age(records.get(lag.partition))) for lag in lags]


def _recorded(message: Message) -> datetime | None:
    """When the event in a record was recorded; None for a record of another program."""
    try:
        return instant.parse(decode_position(message.value()).recorded_at)
    except InvalidEvent:
        return None


def _age(message: Message | None) -> float:
    """Seconds since the event in a record was recorded."""
    recorded = None if message is None else _recorded(message)
    return 0.0 if recorded is None else max((datetime.now(UTC) - recorded).total_seconds(), 0.0)


def _is_set_by_hand(committed: TopicPartition) -> bool:
    """Whether an offset says neither position nor topic, as every one of ours does: it proves nothing."""
    return committed.offset > 0 and OffsetMetadata.parse(committed.metadata) == OffsetMetadata()


def _of_another(group: str, committed: TopicPartition, topic: str) -> str | None:
    """What is wrong when an offset was committed for a topic with another id."""
    known = OffsetMetadata.parse(committed.metadata).topic_id
    if committed.offset < 0 or known in (None, topic):
        return None
    return f"{group}: the topic was deleted and made again (its id was {known}, and is {topic}; TopicReplaced)"
