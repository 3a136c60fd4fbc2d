"""The topics: how `init` makes them, and what the topic of events must be like to keep every event.

A topic that somebody else made has the brokers' defaults. These may delete old events, keep only the last one of each
stream, or lose what was acknowledged. Every view is built from the topic, so `init` refuses such a topic.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from threading import Event
from time import monotonic
from typing import Any

from confluent_kafka import KafkaError, KafkaException, TopicCollection
from confluent_kafka.admin import AdminClient, NewTopic, TopicDescription

from holonstream.ops.kafka import check_login, client
from holonstream.ops.settings import Settings
from holonstream.producers.errors import NotPermitted
from holonstream.producers.kafka import ANSWER_TIMEOUT, MISSING, TIMEOUT, driver_errors, topic_config
from holonstream.schemas.errors import HolonstreamError

FOR_EVER = "-1"
# Whatever the brokers' defaults are: every view can be replayed from offset zero, and every dead letter be read.
KEPT = {"cleanup.policy": "delete", "retention.ms": FOR_EVER, "retention.bytes": FOR_EVER}
MAKING_TIMEOUT = 60.0  # seconds for the brokers to make the topics, with a folder on disk for every replica
MAY_NOT_MAKE = (
    KafkaError.TOPIC_AUTHORIZATION_FAILED,
    KafkaError.CLUSTER_AUTHORIZATION_FAILED,
    KafkaError.POLICY_VIOLATION,
)
SMALLEST_RECORD = 20_000  # bytes; init stores what is more as a limit for events
USUAL_RECORD = 1_048_588  # Kafka's default


class UnsafeTopic(HolonstreamError):
    """The topic of events is set up so that it may lose events."""


@dataclass(frozen=True, slots=True)
class EventTopic:
    """The topic of events, as the brokers have it."""

    id: str
    """given by Kafka; a topic that was deleted and made again has another one"""
    partitions: int
    record_bytes: int
    """that a record may have at most, and a batch of records"""


def make_topics(settings: Settings, config: Mapping[str, str] | None = None) -> EventTopic:
    """Make the topics that are missing, and check the topic of events; `config` has more settings for that one.

    Raises UnsafeTopic, naming every setting that is wrong; KafkaUnavailable, NotPermitted.
    """
    check_login(settings)  # says it at once; the request below has long, and nobody else can answer it
    admin = AdminClient({**client(settings), "socket.timeout.ms": int(MAKING_TIMEOUT * 1000)})
    wanted = [
        NewTopic(
            settings.topic,
            settings.partitions,
            settings.replication,
            config={
                **(config or {}),
                **KEPT,
                "min.insync.replicas": str(_in_sync(settings)),
                "unclean.leader.election.enable": "false",
            },
        ),
        NewTopic(settings.dead_letter_topic, 1, settings.replication, config=KEPT),
    ]
    with driver_errors(f"making {settings.topic} and {settings.dead_letter_topic}"):
        for name, future in admin.create_topics(wanted, request_timeout=MAKING_TIMEOUT).items():
            try:
                future.result(MAKING_TIMEOUT)
            except KafkaException as error:
                code = error.args[0].code()
                # Who may not make topics is told so, whether they are there or not.
                if code != KafkaError.TOPIC_ALREADY_EXISTS and not (code in MAY_NOT_MAKE and _is_there(admin, name)):
                    raise
        described, found = _description(admin, settings.topic)
        _wait_until_known(admin, settings)
        _check(described, found, settings)
    return EventTopic(str(described.topic_id), len(described.partitions), int(found["max.message.bytes"]))


def _is_there(admin: AdminClient, topic: str) -> bool:
    """Whether somebody else has made a topic. Raises KafkaException, TimeoutError."""
    try:
        admin.describe_topics(TopicCollection([topic]), request_timeout=TIMEOUT)[topic].result(TIMEOUT)
    except KafkaException as error:
        if error.args[0].code() in (*MISSING, KafkaError.TOPIC_AUTHORIZATION_FAILED):
            return False
        raise
    return True


def _wait_until_known(admin: AdminClient, settings: Settings) -> None:
    """Wait until no broker says that it does not know the topics: what starts next may ask any of them.

    A broker that does not answer says nothing; it hears of the topics before it answers again.
    """
    nodes = admin.describe_cluster(request_timeout=TIMEOUT).result(TIMEOUT).nodes
    until, pause = monotonic() + MAKING_TIMEOUT, Event()
    for node in nodes:
        # A client that knows one broker's address, and has asked nothing yet, asks that one.
        while unknown := unknown_topics(
            {**client(settings), "bootstrap.servers": f"{node.host}:{node.port}"}, settings
        ):
            if monotonic() > until:
                raise TimeoutError(f"broker {node.id} does not know {' and '.join(unknown)}")
            pause.wait(0.1)


def unknown_topics(config: Mapping[str, Any], settings: Settings) -> list[str]:
    """The topics that the broker of a new client does not know; none when it does not answer."""
    unknown: list[str] = []
    asking = AdminClient(dict(config))
    for name in (settings.topic, settings.dead_letter_topic):
        try:
            found = asking.list_topics(name, ANSWER_TIMEOUT).topics[name]
        except KafkaException:
            return []
        if found.error is not None and found.error.code() in MISSING:
            unknown.append(name)
    return unknown


def check_topics(settings: Settings) -> EventTopic:
    """Check the topics that `init` makes. Raises NotInitialised, UnsafeTopic, KafkaUnavailable, NotPermitted."""
    check_login(settings)
    admin = AdminClient(client(settings))
    with driver_errors(f"reading {settings.topic} and {settings.dead_letter_topic}"):
        names = [settings.topic, settings.dead_letter_topic]
        asked = admin.describe_topics(TopicCollection(names), request_timeout=TIMEOUT)
        described = [asked[name].result(TIMEOUT) for name in names]
        config = topic_config(admin, settings.topic)
        _check(described[0], config, settings)
    return EventTopic(str(described[0].topic_id), len(described[0].partitions), int(config["max.message.bytes"]))


def topic_problems(admin: AdminClient, settings: Settings) -> list[str]:
    """Why the topic of events may lose events, as somebody has changed it since `init`.

    Nothing where this login may not read its settings. Raises KafkaException.
    """
    asked = admin.describe_topics(TopicCollection([settings.topic]), request_timeout=TIMEOUT)
    described = asked[settings.topic].result(TIMEOUT)
    try:
        with driver_errors(f"asking for the settings of {settings.topic}"):
            config = topic_config(admin, settings.topic)
        _check(described, config, settings)
    except NotPermitted:
        return []
    except UnsafeTopic as error:
        return [f"{error} (UnsafeTopic)"]
    return []


def letters_that_go(admin: AdminClient, settings: Settings) -> list[tuple[str, str]]:
    """Settings of the dead-letter topic by which dead letters are deleted, and the command that changes each.

    A topic that a producer has made has the brokers' defaults, one of release 0.2 has some; `init` changes nothing that
    is there. Empty where this login may not read them. Raises KafkaUnavailable.
    """
    topic = settings.dead_letter_topic
    try:
        with driver_errors(f"asking for the settings of {topic}"):
            config = topic_config(admin, topic)
    except NotPermitted:
        return []
    return [
        (f"{name}={config[name]}", f"kafka-configs.sh --alter --topic {topic} --add-config {name}={value}")
        for name, value in KEPT.items()
        if config[name] != value and (name != "cleanup.policy" or "compact" in config[name])
    ]


def _in_sync(settings: Settings) -> int:
    """Replicas that must have a record before it counts as written: all but one, so that one may be away."""
    return max(1, settings.replication - 1)


def _check(topic: TopicDescription, config: Mapping[str, str], settings: Settings) -> None:
    """Raises UnsafeTopic when the topic may lose events."""
    wrong: list[str] = []
    changes: list[str] = []

    def refuse(name: str, why: str, instead: str) -> None:
        wrong.append(f"{name}={config[name]} ({why})")
        changes.append(f"{name}={instead}")

    for name in ("retention.ms", "retention.bytes"):
        if config[name] != FOR_EVER:
            refuse(name, "old events are deleted", FOR_EVER)
    if "compact" in config["cleanup.policy"]:
        refuse("cleanup.policy", "only the last event of a stream is kept", "delete")
    if config["unclean.leader.election.enable"] == "true":
        refuse("unclean.leader.election.enable", "a leader that lacks acknowledged events may be elected", "false")
    if int(config["min.insync.replicas"]) < _in_sync(settings):
        refuse("min.insync.replicas", "one broker can lose what was acknowledged", str(_in_sync(settings)))
    if int(config["max.message.bytes"]) < SMALLEST_RECORD:
        refuse("max.message.bytes", "hardly an event fits a record", f"{USUAL_RECORD}")
    advice = [f"kafka-configs.sh --alter --topic {settings.topic} --add-config {','.join(changes)}"] if changes else []
    replicas = min(len(partition.replicas) for partition in topic.partitions)
    if replicas < settings.replication:
        wrong.append(f"replicas={replicas} (HOLONSTREAM_REPLICATION asks for {settings.replication})")
        advice.append("kafka-reassign-partitions.sh, to add replicas")
    if wrong:
        raise UnsafeTopic(
            f"Topic {settings.topic} may lose events: {', '.join(wrong)}. Type: {'; and '.join(advice)}. "
            "Then run `holonstream init` again"
        )


def _description(admin: AdminClient, topic: str) -> tuple[TopicDescription, dict[str, str]]:
    """A topic and its settings; for a moment after it was made a broker does not know it, or not its partitions."""
    until = monotonic() + TIMEOUT
    pause = Event()
    while monotonic() < until:
        try:
            found = admin.describe_topics(TopicCollection([topic]), request_timeout=TIMEOUT)[topic].result(TIMEOUT)
            if found.partitions and all(partition.replicas for partition in found.partitions):
                return found, topic_config(admin, topic)
        except KafkaException as error:
            if error.args[0].code() != KafkaError.UNKNOWN_TOPIC_OR_PART:
                raise
        pause.wait(0.1)
    raise TimeoutError(f"topic {topic} has no partitions after {TIMEOUT:g} s")
