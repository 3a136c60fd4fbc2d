"""The relay on real servers: each event once and in order, whatever happens to it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from time import monotonic
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from confluent_kafka import OFFSET_INVALID, Consumer, ConsumerGroupTopicPartitions, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewPartitions, NewTopic
from msgspec.structs import replace
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from holonstream.ops.status import TopicStatus
from holonstream.producers import kafka
from holonstream.producers.errors import (
    KafkaUnavailable,
    LogBehind,
    LogReplaced,
    NamespaceCollision,
    NotPermitted,
    ProducerFenced,
    TopicBehind,
)
from holonstream.producers.kafka import topic_identity
from holonstream.producers.log.batches import EventBatch
from holonstream.producers.log.schema import apply_schema
from holonstream.producers.log.store import PostgresEventStore
from holonstream.producers.relay import committer, topic_tail
from holonstream.producers.relay.committer import PositionCommitter
from holonstream.producers.relay.lease import acquire_leadership, current_leader, leader_key, namespace_key
from holonstream.producers.relay.progress import RelayProgress
from holonstream.producers.relay.publisher import PRODUCER, Publisher
from holonstream.producers.relay.recovery import log_identity
from holonstream.producers.relay.relay import Relay
from holonstream.schemas import wire
from holonstream.schemas.catalogue import Catalogue
from holonstream.schemas.errors import NotInitialised, PartitionsAdded, TopicCut, TopicReplaced
from holonstream.schemas.event import RecordedEvent
from holonstream.schemas.offset_metadata import OffsetMetadata
from holonstream.schemas.partition import partition_of
from holonstream.testing.records import wire_value
from tests.support.event_log import append, envelope, insert_unreadable, person
from tests.support.proxy import LOOPBACK, FaultProxy
from tests.support.waiting import wait_until

PARTITIONS = 6
CATALOGUE = Catalogue.load()
DEADLINE = 60.0  # seconds


@dataclass
class Place:
    """A log, a topic, and what connects them."""

    dsn: str
    bootstrap: str
    namespace: str
    store: PostgresEventStore

    def __post_init__(self) -> None:
        self.admin = AdminClient({"bootstrap.servers": self.bootstrap})

    @property
    def topic(self) -> str:
        return f"{self.namespace}.events"

    @property
    def witness(self) -> str:
        return f"{self.namespace}.dead-letters"

    def create_topic(self, name: str | None = None) -> None:
        name = name or self.topic
        self.admin.create_topics([NewTopic(name, PARTITIONS, 1)])[name].result(30)
        wait_until(lambda: name in self.admin.list_topics(timeout=10).topics, f"{name} is there")

    def delete_topic(self) -> None:
        self.admin.delete_topics([self.topic])[self.topic].result(30)
        wait_until(lambda: self.topic not in self.admin.list_topics(timeout=10).topics, f"{self.topic} is gone")

    def append(self, count: int, prefix: str = "p") -> int:
        """That many events, over a few streams; returns the last position."""
        events = [person(f"{prefix}-{n % 11}") for n in range(count)]
        return self.store.append(events)[-1].position

    def relay(self, **options: Any) -> Relay:
        return Relay(self.dsn, self.bootstrap, namespace=self.namespace, **options)

    def publisher(self) -> Publisher:
        """One that has fenced those before."""
        name = f"{self.namespace}-relay"
        made = Publisher(self.bootstrap, self.topic, self.witness, group=name, compression="lz4", config={})
        made.open()
        return made

    def published(self) -> dict[int, list[RecordedEvent]]:
        """What who reads committed finds on the topic, by partition."""
        consumer = Consumer(
            {
                "bootstrap.servers": self.bootstrap,
                "group.id": f"{self.namespace}-test",
                "isolation.level": "read_committed",
                "enable.partition.eof": True,
                "enable.auto.commit": False,
            }
        )
        found: dict[int, list[RecordedEvent]] = defaultdict(list)
        consumer.assign([TopicPartition(self.topic, p, 0) for p in range(PARTITIONS)])
        ended: set[int] = set()
        while len(ended) < PARTITIONS:
            message = consumer.poll(DEADLINE)
            assert message is not None
            if message.error() is not None:
                ended.add(message.partition())
                continue
            event = wire.decode(message.value())
            assert message.key() == event.stream.encode()
            assert message.partition() == partition_of(event.stream, PARTITIONS)
            assert message.headers() == [("content-type", wire.CONTENT_TYPE.encode())]
            found[message.partition()].append(event)
        consumer.close()
        return found

    def check_published(self) -> None:
        """Every event of the log is on the topic once, as the log has it, in the order of the log."""
        barrier = self.publisher()  # a commit returns before its markers are on all partitions
        barrier.close()
        found = self.published()
        for events in found.values():
            assert [e.position for e in events] == sorted({e.position for e in events})
        everything = sorted((e for events in found.values() for e in events), key=lambda e: e.position)
        assert everything == list(self.store.read())


@pytest.fixture
def place(postgres_dsn: str, kafka_bootstrap: str, topic_prefix: str) -> Iterator[Place]:
    apply_schema(postgres_dsn, CATALOGUE)
    with PostgresEventStore(postgres_dsn, CATALOGUE) as store:
        made = Place(postgres_dsn, kafka_bootstrap, topic_prefix.rstrip("."), store)
        made.create_topic()
        made.create_topic(made.witness)
        yield made


@contextmanager
def running(*relays: Relay) -> Iterator[None]:
    """The relays in threads; an error of one is raised on leaving."""
    stop = threading.Event()
    errors: list[BaseException] = []

    def run(relay: Relay) -> None:
        try:
            relay.run(stop)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=[relay]) for relay in relays]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join(DEADLINE)
            assert not thread.is_alive()
    if errors:
        raise errors[0]


def reaches(relay: Relay, position: int) -> None:
    assert relay.progress.wait_for(lambda p: p.position >= position, DEADLINE), relay.progress.now


def rises(relay: Relay, count: Callable[[RelayProgress], int], before: int) -> None:
    """A count, since `error` may have been cleared by then."""
    assert relay.progress.wait_for(lambda p: count(p) > before, DEADLINE), relay.progress.now


def leads(relay: Relay) -> bool:
    return relay.progress.wait_for(lambda p: p.state == "leader", DEADLINE)


def end_session(place: Place) -> None:
    """End the leader's PostgreSQL session from outside."""
    with psycopg.connect(place.dsn, autocommit=True) as admin:
        ended = admin.execute(
            "SELECT pg_terminate_backend(pid, 10000) FROM pg_locks "
            "WHERE locktype = 'advisory' AND classid::bigint >> 16 = 18516 AND granted "
            "AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
        ).fetchall()
        assert ended == [(True,)]


def test_backlog_and_later_events_are_published_as_the_log_has_them(place: Place) -> None:
    place.append(300)
    relay = place.relay(batch_events=64)
    with running(relay):
        for _ in range(5):
            reaches(relay, place.append(3, "later"))
        now = relay.progress.now
        assert (now.relayed, now.state) == (315, "leader")
        assert now.transactions >= 5 + 4  # the first of the later ones may have joined the backlog
    place.check_published()
    assert relay.progress.now.state == "stopped"


def test_what_is_committed_while_it_lingers_shares_a_transaction(place: Place) -> None:
    relay = place.relay(linger=5.0)
    with running(relay):
        reaches(relay, place.append(1))
        for _ in range(4):
            position = place.append(1)
        reaches(relay, position)
        assert relay.progress.now.transactions == 2
    place.check_published()


def test_it_lingers_longer_after_many_events(place: Place) -> None:
    relay = place.relay(linger=2.0)
    with running(relay):
        assert relay.progress.wait_for(lambda now: now.state == "leader", DEADLINE)
        began = monotonic()
        reaches(relay, place.append(20))  # at once
        reaches(relay, place.append(1))
        assert monotonic() - began >= 3.0
        assert relay.progress.now.transactions == 2
    place.check_published()


def test_a_held_frontier_holds_the_relay_and_a_rollback_lets_it_pass(place: Place) -> None:
    relay = place.relay()
    with running(relay), psycopg.connect(place.dsn) as slow:
        before = place.append(1)
        place.store.append([person("slow")], connection=slow)
        beyond = place.append(1)
        reaches(relay, before)
        assert relay.progress.wait_for(lambda p: p.head == beyond and p.frontier == before, DEADLINE)
        assert relay.progress.now.relayed == 1
        slow.rollback()
        reaches(relay, beyond)
    place.check_published()


def test_a_transaction_is_bounded_in_bytes(place: Place) -> None:
    events = [person(f"p-{n}", payload={"text": "x" * 200_000}) for n in range(20)]
    position = place.store.append(events)[-1].position
    relay = place.relay(batch_bytes=1_000_000)
    with running(relay):
        reaches(relay, position)
    assert relay.progress.now.transactions == 4
    place.check_published()


def test_what_does_not_pass_in_time_is_published_in_parts(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """As over a slow network, or under a quota of the brokers."""
    publish, sizes = Publisher.publish, []

    def publish_few(publisher: Publisher, batch: EventBatch) -> None:
        if len(batch.events) > 60:
            raise KafkaUnavailable("more than passes in time")
        publish(publisher, batch)
        sizes.append(len(batch.events))

    monkeypatch.setattr(Publisher, "publish", publish_few)
    last = place.append(400)
    relay = place.relay(batch_events=200)
    with running(relay):
        reaches(relay, last)
    assert sizes == [50] * 8
    place.check_published()


def test_the_largest_events_that_are_taken_can_be_published(place: Place) -> None:
    name = '"' * 995
    events = [
        person(name, payload={"text": "\x01" * 149_000}, subjects=(name,)),
        person(name, subjects=(name, *["a"] * 125_000)),
        person(name, causal_links={"a": [""] * 145_000}, subjects=(name,)),
        person(name, source_system=" " * 220_000, subjects=(name,)),
    ]
    appended = place.store.append(events)
    relay = place.relay(compression="none")
    with running(relay):
        reaches(relay, appended[-1].position)
    place.check_published()


def test_a_new_relay_continues_where_the_last_one_was(place: Place) -> None:
    for count in (10, 20, 5):
        position = place.append(count)
        relay = place.relay()
        with running(relay):
            reaches(relay, position)
        assert relay.progress.now.relayed == count
    place.check_published()


def test_a_standby_takes_over(place: Place) -> None:
    first, second = place.relay(), place.relay()
    with running(first):
        assert leads(first)
        with running(second):
            assert second.progress.wait_for(lambda p: p.state == "standby", DEADLINE)
            reaches(first, place.append(10))
            assert second.progress.now.state == "standby"
            end_session(place)
            position = place.append(10)
            leader_found = wait_until(
                lambda: next((r for r in (first, second) if r.progress.now.position >= position), None), "a leader"
            )
            assert leader_found.progress.now.state == "leader"
    place.check_published()


def test_a_leader_that_stood_still_is_fenced(place: Place) -> None:
    place.append(10)
    with relay_process(place) as (zombie, lines):
        assert any(line.startswith("leader 10") for line in lines)
        zombie.send_signal(signal.SIGSTOP)
        end_session(place)
        successor = place.relay()
        with running(successor):
            reaches(successor, place.append(50))
            zombie.send_signal(signal.SIGCONT)
            assert any(line.startswith("standby") for line in lines)
            reaches(successor, place.append(50))
    place.check_published()


def test_a_standby_takes_over_within_5_s_of_a_kill_in_the_middle_of_a_transaction(place: Place) -> None:
    """Nothing has to time out: the session ends with the process, and the transaction with the next leader."""
    place.append(3_000)
    standby = place.relay()
    with relay_process(place) as (leader, lines):
        assert any(line.startswith("leader") for line in lines)
        leader.send_signal(signal.SIGSTOP)  # or it has published everything when the standby stands by
        with running(standby):
            assert standby.progress.wait_for(lambda p: p.state == "standby", DEADLINE)
            leader.send_signal(signal.SIGKILL)
            began = monotonic()
            assert standby.progress.wait_for(lambda p: p.state == "leader", 5.0)
            print(f"taken over after {monotonic() - began:.3f} s")
            assert standby.progress.wait_for(lambda p: p.relayed > 0, DEADLINE)
            reaches(standby, place.append(1))
    place.check_published()


def test_an_open_transaction_ends_with_the_next_leader_and_not_with_its_timeout(place: Place) -> None:
    old = Producer({"bootstrap.servers": place.bootstrap, "transactional.id": f"{place.namespace}-relay"})
    old.init_transactions(30)
    old.begin_transaction()
    for partition in range(PARTITIONS):
        old.produce(place.topic, b"of a relay that was killed", b"holon/x", partition=partition)
    assert old.flush(30) == 0
    position = place.append(50)
    relay = place.relay()
    with running(relay):
        assert relay.progress.wait_for(lambda p: p.position == position, 20.0)  # who reads committed waits 60 s else
        place.check_published()


def test_the_publisher_before_is_fenced_with_its_open_transaction(place: Place) -> None:
    def batch(position: int) -> EventBatch:
        return EventBatch([(position, b"holon/x", b"{}")], 10)

    def ends() -> list[int]:
        return [new.consumer.get_watermark_offsets(TopicPartition(place.topic, p), 10)[1] for p in range(PARTITIONS)]

    old = place.publisher()
    old.publish(batch(7))
    new = place.publisher()
    before = ends()
    with pytest.raises(ProducerFenced, match="same transactional id"):
        old.publish(batch(8))
    assert ends() == before
    new.publish(batch(9))
    wait_until(lambda: sum(ends()) == sum(before) + 2, "the record and its marker are there")
    old.abort()
    old.close()
    new.close()


def test_a_fenced_leader_starts_again(place: Place) -> None:
    relay = place.relay()
    with running(relay):
        for _ in range(2):
            reaches(relay, place.append(5))
            before = relay.progress.now.fenced
            place.publisher().close()
            position = place.append(5)
            rises(relay, lambda p: p.fenced, before)
            reaches(relay, position)
    place.check_published()


@contextmanager
def relay_process(place: Place) -> Iterator[tuple[subprocess.Popen[str], Iterator[str]]]:
    """A relay that can be killed, and the lines it prints."""
    command = [sys.executable, "-m", "tests.support.relay_process", place.dsn, place.bootstrap, place.namespace]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        try:
            yield process, (line for line in process.stdout if not line.startswith("20"))
        finally:
            process.kill()


def test_kill_at_any_point_leaves_each_event_once_and_in_order(place: Place) -> None:
    writing = threading.Event()
    writing.set()

    def write() -> None:
        while writing.is_set():
            place.append(37)

    place.append(500)
    writers = [threading.Thread(target=write) for _ in range(2)]
    for writer in writers:
        writer.start()
    try:
        for transactions in (1, 2, 5, 9, 14):
            with relay_process(place) as (process, lines):
                for _ in range(transactions):
                    assert any(line.startswith("leader") for line in lines)
                process.send_signal(signal.SIGKILL)
    finally:
        writing.clear()
        for writer in writers:
            writer.join()
    relay = place.relay()
    with running(relay):
        reaches(relay, place.append(1))
    assert relay.progress.now.relayed > 0
    place.check_published()


def test_postgres_that_goes_away_and_comes_back(place: Place) -> None:
    relay = place.relay()
    with running(relay):
        for _ in range(3):
            reaches(relay, place.append(5))
            before = relay.progress.now.unavailable
            end_session(place)
            rises(relay, lambda p: p.unavailable, before)
            assert leads(relay)
        reaches(relay, place.append(5))
    place.check_published()


def test_large_events_pass_a_slow_network_to_postgresql(place: Place) -> None:
    """Read at once they take 12 s, longer than the relay waits for an answer to begin."""
    events = [person(f"p-{n}", payload={"name": os.urandom(250_000).hex()}) for n in range(24)]
    place.store.append(events)
    address = conninfo_to_dict(place.dsn)
    with FaultProxy(int(str(address["port"]))) as proxy:
        proxy.rate = 1_000_000
        relay = Relay(
            make_conninfo(place.dsn, host=LOOPBACK, port=proxy.port), place.bootstrap, namespace=place.namespace
        )
        with running(relay):
            reaches(relay, place.store.head())
        assert relay.progress.now.unavailable == 0
    place.check_published()


def relay_all(place: Place, **options: Any) -> Relay:
    relay = place.relay(**options)
    with running(relay):
        assert relay.progress.wait_for(
            lambda p: p.state == "stopped" or (p.state == "leader" and p.position == place.store.head()), DEADLINE
        ), relay.progress.now
    return relay


def test_without_a_committed_position_the_topic_gives_it(place: Place) -> None:
    place.append(30)
    relay_all(place)
    group = f"{place.namespace}-relay"
    place.admin.delete_consumer_groups([group])[group].result(30)
    place.append(10)
    assert relay_all(place).progress.now.relayed == 10
    place.check_published()


def committed(place: Place) -> int:
    with closing(Consumer({"bootstrap.servers": place.bootstrap, "group.id": f"{place.namespace}-relay"})) as member:
        (found,) = member.committed([TopicPartition(place.topic, 0)], 30)
        return int(found.offset)


def set_committed(place: Place, position: int, *topics: str, metadata: str = "") -> None:
    """Without metadata as another program does, `topics` are that of events or as given."""
    group = f"{place.namespace}-relay"
    places = [TopicPartition(topic, 0, position, metadata=metadata) for topic in topics or [place.topic]]
    offsets = ConsumerGroupTopicPartitions(group, places)
    place.admin.alter_consumer_group_offsets([offsets])[group].result(30)


def test_a_group_set_back_publishes_nothing_twice(place: Place) -> None:
    place.append(30)
    relay_all(place)
    set_committed(place, 5)
    place.append(1)
    assert relay_all(place).progress.now.relayed == 1
    place.check_published()


def test_the_leader_commits_its_position_again_where_it_was_set_back(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(committer, "REPEAT", 1.0)
    relay = place.relay()
    with running(relay):
        reaches(relay, place.append(30))
        wait_until(lambda: committed(place) == 30, "the position is committed")
        set_committed(place, 5)
        wait_until(lambda: committed(place) == 30, "the position is committed again")
    assert relay.progress.now.unavailable == 0


def test_a_transaction_of_another_program_is_waited_for_and_what_it_hides_is_not_published_twice(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(topic_tail, "TIMEOUT", 2.0)
    place.append(10)
    other = Producer({"bootstrap.servers": place.bootstrap, "transactional.id": f"{place.namespace}-other"})
    other.init_transactions(30)
    before = place.relay()
    with running(before):
        reaches(before, 10)
        other.begin_transaction()
        for partition in range(PARTITIONS):
            other.produce(place.topic, b"of another program", b"key", partition=partition)
        assert other.flush(30) == 0
        reaches(before, place.append(10))
    set_committed(place, 10)  # as if killed before the position was committed
    relay = place.relay()
    with running(relay):
        rises(relay, lambda p: p.unavailable, 0)
        assert "another program has a transaction open" in (relay.progress.now.error or "")
        other.abort_transaction(30)
        reaches(relay, place.append(1))
    assert relay.progress.now.relayed == 1
    place.check_published()


def test_a_crash_before_the_position_is_committed_publishes_nothing_twice(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.append(30)
    monkeypatch.setattr(PositionCommitter, "_commit", lambda self, position: None)
    monkeypatch.setattr(committer, "LAST_TIMEOUT", 0.0)
    relay_all(place)
    monkeypatch.undo()
    publisher = place.publisher()
    assert publisher.committed() is None
    publisher.close()
    place.append(10)
    assert relay_all(place).progress.now.relayed == 10
    place.check_published()


def test_a_topic_that_was_made_again_is_refused_until_trusted(place: Place) -> None:
    place.append(30)
    relay_all(place)
    place.delete_topic()
    place.create_topic()
    assert committed(place) == OFFSET_INVALID  # it went with the topic; the other topic has it
    with pytest.raises(TopicReplaced, match=r"deleted and made again.*holonstream replay topic"):
        relay_all(place)
    assert relay_all(place, trust_topic=True).progress.now.relayed == 30
    place.check_published()


@contextmanager
def copy_of(place: Place) -> Iterator[Place]:
    """The place with a copy of its log, which is another database of the same server."""
    place.store.close()  # nobody may be connected to what is copied
    name = str(conninfo_to_dict(place.dsn)["dbname"])
    names = [sql.Identifier(f"{name}_copy"), sql.Identifier(name)]
    with psycopg.connect(place.dsn, dbname="postgres", autocommit=True) as server:
        server.execute(sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(*names))
        try:
            dsn = make_conninfo(place.dsn, dbname=f"{name}_copy")
            with PostgresEventStore(dsn, CATALOGUE) as store:
                yield Place(dsn, place.bootstrap, place.namespace, store)
        finally:
            server.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(names[0]))


def append_to(place: Place, id_: int) -> int:
    """The position of one event."""
    with psycopg.connect(place.dsn) as connection:
        return int(append(connection, [envelope("p-0", id=str(UUID(int=id_)))])[0][3])


def test_the_relay_of_a_copy_is_refused_and_does_not_fence_that_of_the_original(place: Place) -> None:
    """A copy made for tests, with the settings of the original: its relay would publish what is appended to it."""
    place.append(30)
    relay_all(place)
    with copy_of(place) as copy:
        append_to(copy, 1)
        relay = place.relay()
        with running(relay):
            assert leads(relay)
            with pytest.raises(LogReplaced, match=r"a copy, or the log was moved.*relay --trust-log"):
                relay_all(copy)
            reaches(relay, append_to(place, 2))
        assert (relay.progress.now.fenced, relay.progress.now.relayed) == (0, 1)
        with pytest.raises(LogBehind):
            relay_all(copy, trust_log=True)


def test_a_log_that_was_moved_is_published_once_it_is_trusted(place: Place) -> None:
    place.append(30)
    relay_all(place)
    with copy_of(place) as moved:
        with pytest.raises(LogReplaced):
            relay_all(moved)
        assert relay_all(moved, trust_log=True).progress.now.relayed == 0
        append_to(moved, 1)
        assert relay_all(moved).progress.now.relayed == 1
        with pytest.raises(LogReplaced):
            relay_all(place)


def test_a_login_that_may_not_ask_for_the_log_s_identity_publishes_without(place: Place) -> None:
    with psycopg.connect(place.dsn, autocommit=True) as connection:
        assert re.fullmatch("[0-9]+-[0-9]+", log_identity(connection) or "")
        connection.execute("REVOKE EXECUTE ON FUNCTION pg_control_system() FROM PUBLIC")
        connection.execute("SET ROLE holonstream_reader")
        assert log_identity(connection) is None


@pytest.mark.parametrize("fault", ["number", "window"])
def test_a_relay_starts_again_behind_an_event_that_nobody_can_read(place: Place, fault: str) -> None:
    place.append(30)
    with psycopg.connect(place.dsn, autocommit=True) as connection:
        position = insert_unreadable(connection, "holon/poison", fault)
    assert relay_all(place).progress.now.relayed == 31
    assert relay_all(place, trust_topic=True).progress.now.relayed == 0
    publisher = place.publisher()
    last = publisher.tail_events()[-1]
    publisher.close()
    assert (last.stream, last.version, last.position) == ("holon/poison", 1, position)
    place.append(1)
    assert relay_all(place).progress.now.relayed == 1


def test_a_topic_made_again_under_a_running_relay_is_noticed_though_nothing_is_appended(place: Place) -> None:
    place.append(30)
    relay = place.relay()

    def replace() -> None:
        with running(relay):
            reaches(relay, 30)
            place.delete_topic()
            place.create_topic()
            assert relay.progress.wait_for(lambda p: p.state == "stopped", 15), relay.progress.now

    with pytest.raises(TopicReplaced, match="lacks what was published before"):
        replace()


def test_what_a_relay_publishes_before_it_notices_does_not_vouch_for_the_new_topic(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kafka, "TOPIC_ID_INTERVAL", 3600.0)
    place.append(30)
    relay = place.relay()
    with running(relay):
        reaches(relay, 30)
        place.delete_topic()
        place.create_topic()
        reaches(relay, place.append(5))
    assert sum(map(len, place.published().values())) == 5
    with TopicStatus({"bootstrap.servers": place.bootstrap}, place.topic) as status:
        ends = status.ends()
        (problem,) = status.problems(f"{place.namespace}-relay", place.witness, [status.group("nobody", ends)])
        assert "TopicReplaced" in problem
        with pytest.raises(TopicCut, match="begins with position 31, and the log with 1"):
            status.check_whole("nobody", 1)
    for trust in (False, True):
        with pytest.raises(
            TopicReplaced, match=r"begins with position 31, and the log with 1: .*holonstream replay topic"
        ):
            relay_all(place, trust_topic=trust)
    place.delete_topic()
    place.create_topic()
    assert relay_all(place, trust_topic=True).progress.now.relayed == 35
    place.append(1)
    assert relay_all(place).progress.now.relayed == 1
    place.check_published()


def test_a_relay_that_was_interrupted_on_a_trusted_topic_goes_on(place: Place) -> None:
    place.append(30)
    relay_all(place)
    place.delete_topic()
    place.create_topic()
    stop = threading.Event()
    relay = place.relay(trust_topic=True, batch_events=5, on_progress=lambda p: stop.set() if p.relayed else None)
    relay.run(stop)
    assert relay.progress.now.relayed < 30
    relay_all(place)
    place.check_published()


def test_a_position_without_a_topics_id_takes_the_one_that_is_there(place: Place) -> None:
    """As an earlier version has committed it."""
    place.append(30)
    relay_all(place)
    set_committed(place, 30, place.topic, place.witness)
    publisher = place.publisher()
    assert publisher.committed() == (30, None, None, None)
    publisher.close()
    place.append(1)
    assert relay_all(place).progress.now.relayed == 1
    publisher = place.publisher()
    with psycopg.connect(place.dsn) as connection:
        assert publisher.committed() == (31, *publisher.identity, log_identity(connection))
    publisher.close()


def test_partitions_that_are_added_to_the_topic_end_a_relay_and_are_refused(place: Place) -> None:
    place.append(30)
    grown = threading.Event()

    def grow(now: RelayProgress) -> None:
        if now.position == 30 and not grown.is_set():
            grown.set()
            place.admin.create_partitions([NewPartitions(place.topic, PARTITIONS + 2)])[place.topic].result(30)

    with pytest.raises(PartitionsAdded, match=rf"it had {PARTITIONS}, and has {PARTITIONS + 2}"):
        place.relay(on_progress=grow).run(threading.Event())
    for trust in (False, True):
        with pytest.raises(PartitionsAdded, match=r"Grow partitions"):
            relay_all(place, trust_topic=trust)


def test_a_log_behind_the_topic_is_refused(place: Place) -> None:
    place.append(30)
    relay_all(place)
    with psycopg.connect(place.dsn, autocommit=True) as connection:
        connection.execute("DROP SCHEMA holonstream CASCADE")  # as if restored from a backup
    apply_schema(place.dsn, CATALOGUE)
    with pytest.raises(LogBehind, match=r"at position 30, where the log has no event \(its head: 0\)"):
        relay_all(place)
    place.append(40)
    with pytest.raises(LogBehind, match="where the log has event"):
        relay_all(place)


def test_an_event_that_the_log_lacks_below_the_topics_last_one_is_refused(place: Place) -> None:
    place.append(2000)
    relay_all(place)
    with psycopg.connect(place.dsn, autocommit=True) as connection:
        connection.execute("ALTER TABLE holonstream.events DISABLE TRIGGER USER")
        connection.execute("DELETE FROM holonstream.events WHERE position = 3")  # far from any partition's end
    with pytest.raises(LogBehind, match=r"holds event \S+ at position 3, where the log has no event"):
        relay_all(place)


def test_forged_records_at_positions_of_the_log_are_not_taken_for_its_events(place: Place) -> None:
    place.append(30)
    relay_all(place)
    true = max((event for events in place.published().values() for event in events), key=lambda e: e.position)
    forger = Producer({"bootstrap.servers": place.bootstrap, "partitioner": "murmur2"})
    for event_id, key in ((str(uuid4()), true.stream), ("no id", true.stream), (str(uuid4()), "another key")):
        forger.produce(place.topic, wire_value(replace(true, id=event_id, position=true.position)), key)
    beyond = replace(true, id=str(uuid4()), position=10**6)
    forger.produce(place.topic, wire_value(beyond), "another key")
    assert forger.flush(30) == 0
    place.append(5)
    assert relay_all(place).progress.now.relayed == 5
    forger.produce(place.topic, wire_value(beyond), true.stream)
    assert forger.flush(30) == 0
    with pytest.raises(LogBehind, match=rf"holds event {beyond.id} at position 1000000, where the log has no event"):
        relay_all(place)


def test_a_forged_record_at_the_place_of_an_old_event_does_not_keep_a_relay_from_starting(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The log's own event lies far before the end of the topic that a relay reads when it starts."""
    monkeypatch.setattr(topic_tail, "CLOCKS", 0.0)
    for _ in range(2):
        place.append(1000)
        relay_all(place)
    publisher = place.publisher()
    assert 3 not in {event.position for event in publisher.tail_events()}
    publisher.close()
    old = next(event for events in place.published().values() for event in events if event.position == 3)
    forger = Producer({"bootstrap.servers": place.bootstrap, "partitioner": "murmur2"})
    forger.produce(place.topic, wire_value(replace(old, id=str(uuid4()))), old.stream)
    assert forger.flush(30) == 0
    place.append(5)
    assert relay_all(place).progress.now.relayed == 5


def test_a_topic_that_holds_less_than_was_published_is_refused_until_trusted(place: Place) -> None:
    place.append(30)
    relay_all(place)
    place.append(1)
    known = OffsetMetadata(None, *topic_identity(place.admin, place.topic)).text()
    set_committed(place, 31, metadata=known)  # by the topic, and more than it holds
    with pytest.raises(TopicBehind, match=r"ends at position 30, but 31 was published"):
        relay_all(place)
    assert relay_all(place, trust_topic=True).progress.now.relayed == 1
    place.check_published()


@pytest.mark.parametrize("witness", [False, True], ids=["of the topic", "of both topics"])
def test_an_offset_that_another_program_has_set_says_nothing_of_what_was_published(place: Place, witness: bool) -> None:
    place.append(30)
    relay_all(place)
    topics = [place.topic, place.witness] if witness else [place.topic]
    set_committed(place, 40, *topics)  # as kafka-consumer-groups.sh --reset-offsets
    place.append(3)
    with TopicStatus({"bootstrap.servers": place.bootstrap}, place.topic) as status:
        relay = f"{place.namespace}-relay"
        assert status.relayed(relay) == 0
        (problem,) = status.problems(relay, place.witness, [])
        assert f"{relay}: another program set the offset" in problem
        assert relay_all(place).progress.now.relayed == 3
        assert status.relayed(relay) == 33
        assert status.problems(relay, place.witness, []) == []
    place.check_published()


def test_an_empty_topic_with_an_offset_that_another_program_has_set_is_refused_until_trusted(place: Place) -> None:
    set_committed(place, 5, place.topic, place.witness)
    place.append(3)
    with pytest.raises(TopicBehind, match=r"is empty, but group \S+ has offset 5, which no relay .* has committed"):
        relay_all(place)
    assert relay_all(place, trust_topic=True).progress.now.relayed == 3


def test_a_relay_leads_though_somebody_holds_the_lock_that_names_its_namespace(place: Place) -> None:
    key = namespace_key(place.namespace)
    with psycopg.connect(place.dsn, autocommit=True) as leader, psycopg.connect(place.dsn) as other:
        other.execute("SELECT pg_advisory_lock(%s)", [key])
        assert acquire_leadership(leader, place.namespace, threading.Event())
        found = current_leader(leader, place.namespace)
        assert found is not None
        assert found.pid == leader.info.backend_pid


def test_a_namespace_that_shares_its_lock_with_another_one_is_refused(place: Place) -> None:
    ours, other = "plumless", "buckeroo"  # crc32 makes the same of both
    assert leader_key(ours) == leader_key(other)
    with psycopg.connect(place.dsn, autocommit=True) as leader, psycopg.connect(place.dsn, autocommit=True) as standby:
        assert acquire_leadership(leader, ours, threading.Event())
        with pytest.raises(
            NamespaceCollision, match=rf"'buckeroo' shares .* \(pid {leader.info.backend_pid}, .* CRC-32"
        ):
            acquire_leadership(standby, other, threading.Event())
        assert current_leader(standby, other) is None
        found = current_leader(standby, ours)
        assert found is not None
        assert found.pid == leader.info.backend_pid


def test_brokers_that_allow_only_shorter_transactions_are_named(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    for setting in ("transaction.timeout.ms", "message.timeout.ms"):
        monkeypatch.setitem(PRODUCER, setting, 1_000_000)  # the brokers allow 900,000
    with pytest.raises(NotPermitted, match=r"set transaction.max.timeout.ms of the brokers"):
        relay_all(place)


def test_a_missing_topic_says_what_to_run(place: Place) -> None:
    place.delete_topic()
    with pytest.raises(NotInitialised, match=rf"{place.topic}.*holonstream init"):
        relay_all(place)


def test_the_end_of_the_topic_is_found_behind_aborted_records(place: Place) -> None:
    place.append(30)
    relay_all(place)
    noise = Producer({"bootstrap.servers": place.bootstrap, "transactional.id": f"{place.namespace}-noise"})
    noise.init_transactions(30)
    for _ in range(3):
        noise.begin_transaction()
        for n in range(200):
            noise.produce(place.topic, b"aborted", b"key", partition=n % PARTITIONS)
        noise.flush(30)
        noise.abort_transaction(30)
    publisher = place.publisher()
    assert publisher.tail_events()[-1].position == 30
    publisher.close()


def test_few_events_are_kept_of_an_end_behind_much_that_was_aborted(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of twelve partitions with some thousand aborted records a relay that started kept half a gigabyte of events."""
    monkeypatch.setattr(topic_tail, "CLOCKS", 0.0)
    monkeypatch.setattr(topic_tail, "KEPT", 20, raising=False)
    for count in (5000, 22):
        place.append(count)
        relay_all(place)
    noise = Producer({"bootstrap.servers": place.bootstrap, "transactional.id": f"{place.namespace}-noise"})
    noise.init_transactions(30)
    noise.begin_transaction()
    for n in range(PARTITIONS * 600):
        noise.produce(place.topic, b"aborted", b"key", partition=n % PARTITIONS)
    noise.flush(30)
    noise.abort_transaction(30)
    publisher = place.publisher()
    found = [event.position for event in publisher.tail_events()]
    publisher.close()
    assert found[-22:] == list(range(5001, 5023))
    assert len(found) < PARTITIONS * 2 * 20 + 22


def test_the_end_of_the_topic_is_found_behind_what_is_no_event(place: Place) -> None:
    place.append(30)
    relay_all(place)
    other = Producer({"bootstrap.servers": place.bootstrap})
    for partition in range(PARTITIONS):
        for value in (b"\xff no text", b"{}", None):
            other.produce(place.topic, value, b"key", partition=partition)
    assert other.flush(30) == 0
    place.append(5)
    relay = place.relay()
    with running(relay):
        reaches(relay, 35)
    assert relay.progress.now.relayed == 5
