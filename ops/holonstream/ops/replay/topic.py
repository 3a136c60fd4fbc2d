"""Make the topic again, empty: the relay then publishes the log from its beginning (`holonstream replay topic`).

Two histories must not mix on the new topic, nor in a view:

1. No relay leads: the leader lock is held from the beginning to the end. No worker runs: the command refuses, and names
   them. A relay that has lost its session without noticing is fenced, so that it cannot write to the new topic.
2. The topic is deleted and made again, with as many partitions and with the settings that somebody gave it, but for
   those by which it may lose events.
3. Position 0 is committed for the relay's group, with the new topic's id and the log's. Only that makes a relay start
   on it.

Interrupted before the deletion, nothing has happened. After it, a relay finds no topic, or a position that was
committed for another one, and refuses to start; the same command begins again. Offsets and checkpoints of the views
carry the topic's id, so no worker continues with one of the old topic.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from threading import Event
from time import monotonic

from confluent_kafka import ConsumerGroupState, KafkaError, KafkaException, TopicCollection
from confluent_kafka.admin import ConfigResource, ConfigSource, MemberDescription
from msgspec.structs import replace

from holonstream.ops import topics
from holonstream.ops.kafka import client, security
from holonstream.ops.output import counted
from holonstream.ops.settings import Settings
from holonstream.ops.status import members_of
from holonstream.producers.errors import KafkaUnavailable
from holonstream.producers.kafka import TIMEOUT, Admin, answer, driver_errors
from holonstream.producers.log.postgres import connect
from holonstream.producers.log.reader import LogReader
from holonstream.producers.relay.lease import no_relay
from holonstream.producers.relay.publisher import Publisher, fence_publishers
from holonstream.producers.relay.recovery import log_identity
from holonstream.schemas.errors import HolonstreamError, NotInitialised

BUSY = frozenset(
    {
        ConsumerGroupState.STABLE,
        ConsumerGroupState.PREPARING_REBALANCING,
        ConsumerGroupState.COMPLETING_REBALANCING,
    }
)
"""states of a group that has members"""
PAUSE = 0.2  # seconds before the topic is made once more, while its deletion is on the way


class TopicRead(HolonstreamError):
    """Workers read the topic, so it cannot be made again."""


@dataclass(frozen=True, slots=True)
class OldTopic:
    """The topic that is to be deleted, and what the log has."""

    name: str
    id: str | None
    """None when there is no such topic"""
    partitions: int
    settings: dict[str, str]
    """that somebody gave it"""
    readers: list[str]
    """groups of others with members that read it"""
    head: int
    """the last position of the log"""

    def sentence(self) -> str:
        """For people: what will be done."""
        what = (
            f"Make topic {self.name}, which is gone, again"
            if self.id is None
            else f"Delete topic {self.name} ({counted(self.partitions, 'partition')}) and make it again, empty"
        )
        others = f" It is also read by {', '.join(self.readers)}, whose offsets then mean nothing." * bool(self.readers)
        return f"{what}, to publish the log from its beginning up to position {self.head:,}.{others}"


@contextmanager
def prepared(settings: Settings) -> Iterator[tuple[OldTopic, Callable[[], topics.EventTopic]]]:
    """What `holonstream replay topic` would do, and the call that does it, while no relay can lead.

    Raises RelayLeads, TopicRead, LogUnavailable, KafkaUnavailable, NotPermitted.
    """
    with no_relay(settings.log_dsn, settings.namespace) as check_lock:
        admin = Admin(client(settings))
        old = _old_topic(admin, settings)

        def perform() -> topics.EventTopic:
            fence_publishers(settings.kafka_bootstrap, settings.group("relay"), security(settings))
            refuse_readers(admin, settings)  # once more: the question may have been answered after a while
            if old.id is not None:
                with driver_errors(f"deleting {old.name}"):
                    admin.client.delete_topics([old.name], request_timeout=topics.MAKING_TIMEOUT)[old.name].result()
            made = _make(replace(settings, partitions=old.partitions), old)
            check_lock()
            start_at_zero(settings, old.id)
            return made

        yield old, perform


def refuse_readers(admin: Admin, settings: Settings) -> list[str]:
    """The groups of others that read the topic. Raises TopicRead, naming the workers, when groups of ours do."""
    ours: list[str] = []
    others: list[str] = []
    with driver_errors(f"looking for readers of {settings.topic}"):
        listed = answer(
            lambda: admin.client.list_consumer_groups(states=set(BUSY), request_timeout=TIMEOUT).result(TIMEOUT)
        )
        for name in sorted(group.group_id for group in listed.valid):
            described = admin.describe(name)
            members = described.members if described else ()
            reading = sum(_reads(member, settings.topic) for member in members)
            # The name of another pipeline's namespace may begin with ours: its workers read another topic.
            elsewhere = not reading and any(m.assignment and m.assignment.topic_partitions for m in members)
            if name.startswith(f"{settings.namespace}-") and members and not elsewhere:
                ours.append(f"{name}: {'; '.join(map(str, members_of(described)))}")
            elif reading:
                others.append(f"{name} ({reading} members)")
    if ours:
        raise TopicRead(f"Workers read {settings.topic}: stop them first: {', '.join(ours)}")
    return others


def _reads(member: MemberDescription, topic: str) -> bool:
    return bool(member.assignment) and any(tp.topic == topic for tp in member.assignment.topic_partitions)


def _old_topic(admin: Admin, settings: Settings) -> OldTopic:
    with LogReader(settings.log_dsn, "holonstream-replay") as log:
        head = log.frontier().head
    others = refuse_readers(admin, settings)
    with driver_errors(f"reading {settings.topic}"):
        try:
            asked = admin.client.describe_topics(TopicCollection([settings.topic]), request_timeout=TIMEOUT)
            found = asked[settings.topic].result(TIMEOUT)
            resource = ConfigResource(ConfigResource.Type.TOPIC, settings.topic)
            entries = admin.client.describe_configs([resource], request_timeout=TIMEOUT)[resource].result(TIMEOUT)
        except KafkaException as error:
            if error.args[0].code() != KafkaError.UNKNOWN_TOPIC_OR_PART:
                raise
            return OldTopic(settings.topic, None, settings.partitions, {}, others, head)
    own = {
        name: str(entry.value)
        for name, entry in entries.items()
        if entry.source == ConfigSource.DYNAMIC_TOPIC_CONFIG.value
    }
    return OldTopic(settings.topic, str(found.topic_id), len(found.partitions), own, others, head)


def _make(settings: Settings, old: OldTopic) -> topics.EventTopic:
    """Make the topic, as often as it takes until it is another one than the old one."""
    until, pause = monotonic() + topics.MAKING_TIMEOUT, Event()
    while True:
        made = topics.make_topics(settings, old.settings)
        if made.id != old.id:
            return made
        if monotonic() > until:
            raise KafkaUnavailable(f"Kafka unavailable: topic {old.name} is deleted, and still there")
        pause.wait(PAUSE)


def start_at_zero(settings: Settings, old: str | None) -> None:
    """Commit position 0 for the relay's group on the new topic, as soon as the brokers that are asked know it.

    One that has not heard of it yet knows no topic, or the `old` one by its id. Raises NotInitialised when that lasts,
    KafkaUnavailable.
    """
    until, pause = monotonic() + topics.MAKING_TIMEOUT, Event()
    while True:
        try:
            return _commit_zero(settings, old)
        except NotInitialised:
            if monotonic() > until:
                raise
        pause.wait(PAUSE)


def _commit_zero(settings: Settings, old: str | None) -> None:
    publisher = Publisher(
        settings.kafka_bootstrap,
        settings.topic,
        settings.dead_letter_topic,
        group=settings.group("relay"),
        compression="none",
        config=security(settings),
    )
    with connect(settings.log_dsn, "holonstream-replay") as connection:
        log_id = log_identity(connection)
    with closing(publisher):
        publisher.open(log_id)
        if publisher.identity.id == old:
            raise NotInitialised(f"Topic {settings.topic} was deleted, and a broker still has it")
        publisher.reached(0)
        publisher.commit_position()
        committed = publisher.committed()
        if committed is None or (committed.position, committed.topic_id) != (0, publisher.identity.id):
            raise KafkaUnavailable("Kafka unavailable: position 0 was not committed for the new topic")
