"""The one place where errors of confluent-kafka become ours, for the relay and the operator's commands."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager
from time import monotonic
from typing import Any, Final, NamedTuple, TypeVar

import structlog
from confluent_kafka import KafkaError, KafkaException, TopicCollection
from confluent_kafka.admin import AdminClient, ConfigResource, ConsumerGroupDescription, TopicDescription

from holonstream.producers.errors import KafkaUnavailable, NotPermitted, ProducerFenced
from holonstream.schemas.errors import NotInitialised, PartitionsAdded, TopicReplaced

log = structlog.get_logger(__name__)

T = TypeVar("T")

NOTE_INTERVAL = 30.0  # seconds
TOPIC_ID_INTERVAL = 2.0  # seconds between an answer and the next question
ANSWER_TIMEOUT = 3.0  # seconds for one answer of one broker; then the request goes to the one that has taken over
METADATA_AGE = 1.0  # seconds until the brokers are asked again which of them lead, and whom to ask
TIMEOUT = 10.0  # seconds for each question to the brokers
PAUSE = 0.1  # seconds before a question is asked again
# Seconds for a question to a group's coordinator: more than anybody waits for the answer. When such a question ends by
# its own limit while the coordinator is looked for, and an answer comes afterwards, librdkafka 2.16 aborts the process.
COORDINATOR_LIMIT = 3600.0

# What every client of librdkafka is made with. A broker that vanished without closing its connections must be noticed
# before its successor is elected: librdkafka's own limit for an answer is a minute.
CONNECTION: Final = {
    "socket.timeout.ms": int(ANSWER_TIMEOUT * 1000),
    "socket.connection.setup.timeout.ms": int(ANSWER_TIMEOUT * 1000),
    "socket.keepalive.enable": True,
    "reconnect.backoff.max.ms": 1_000,
    # A frozen broker takes connections: only by asking the others its successor is found before it fails once more.
    "topic.metadata.refresh.interval.ms": int(METADATA_AGE * 1000),
    # Where the brokers make topics that somebody asks for (their default), a question would make ours, with one
    # partition and a week's retention: `init` makes them, and nobody makes one again that was deleted.
    "allow.auto.create.topics": False,
}

# What brokers answer while a group's coordinator or a partition's leader is being made, or moves to another broker.
# (KafkaError.retriable knows the producer's errors only.)
PASSING = frozenset(
    {
        KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
        KafkaError.COORDINATOR_NOT_AVAILABLE,
        KafkaError.NOT_COORDINATOR,
        KafkaError.LEADER_NOT_AVAILABLE,
        KafkaError.NOT_LEADER_FOR_PARTITION,
        KafkaError._TIMED_OUT,  # a broker that has vanished: another one is asked
        KafkaError._NOENT,  # "No leaders found": librdkafka's own, for a second or two after a broker came back
    }
)

MOVED = frozenset({KafkaError.NOT_COORDINATOR, KafkaError._TIMED_OUT})
"""what a client gets that looks for a group's coordinator in the wrong place"""

FENCED: Final = {
    KafkaError._FENCED,
    KafkaError.PRODUCER_FENCED,
    KafkaError.INVALID_PRODUCER_EPOCH,
    KafkaError.TRANSACTION_COORDINATOR_FENCED,
}
MISSING: Final = {KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC}
FORBIDDEN: Final = {
    KafkaError.TOPIC_AUTHORIZATION_FAILED,
    KafkaError.GROUP_AUTHORIZATION_FAILED,
    KafkaError.CLUSTER_AUTHORIZATION_FAILED,
    KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
    KafkaError.TOPIC_DELETION_DISABLED,
    KafkaError.INVALID_TRANSACTION_TIMEOUT,
    KafkaError.TOPIC_EXCEPTION,  # its name: too long, or as another one's, for "." and "_" are the same there
    KafkaError.POLICY_VIOLATION,
    KafkaError.INVALID_CONFIG,
}
BUGS: Final = {
    KafkaError._INVALID_ARG,
    KafkaError._CONFLICT,
    KafkaError._STATE,
}
HINTS: Final = {
    KafkaError.INVALID_TRANSACTION_TIMEOUT: "set transaction.max.timeout.ms of the brokers to 30000 or more",
    KafkaError.INVALID_TIMESTAMP: "the clock of this host or of the broker is wrong, or the topic's "
    "message.timestamp.after.max.ms and message.timestamp.before.max.ms are too small",
}
"""what helps, where the error does not say it"""


@contextmanager
def driver_errors(doing: str) -> Iterator[None]:
    """Raise our errors in place of the driver's; `doing` says what was asked of which topic or group.

    Raises NotPermitted, NotInitialised (no such topic), ProducerFenced, and for everything else that may pass
    KafkaUnavailable. That stands for an aborted transaction too: a relay starts again from what is committed.
    """
    try:
        yield
    except TimeoutError as late:
        raise KafkaUnavailable(f"Kafka unavailable while {doing}: {str(late) or 'no answer in time'}") from late
    except KafkaException as exception:
        error: KafkaError = exception.args[0]
        message = f"{doing}: {error.name()}: {error.str()}"
        if (hint := HINTS.get(error.code())) is not None:
            message += f": {hint}"
        if error.code() in FENCED:
            raise ProducerFenced(f"Fenced while {message}: another relay has the same transactional id") from exception
        if error.code() in MISSING:
            raise NotInitialised(f"Topic missing while {message}: run `holonstream init`") from exception
        if error.code() in FORBIDDEN:
            raise NotPermitted(f"Not permitted while {message}") from exception
        # A client that cannot be made by the files of its certificates: they may just be replaced.
        if error.code() in BUGS and "ssl." not in error.str():
            raise
        raise KafkaUnavailable(f"Kafka unavailable while {message}") from exception


def answer(ask: Callable[[], T], timeout: float = TIMEOUT) -> T:
    """The brokers' answer to a question, asked again for `timeout` seconds while it is late, or they say it will pass.

    Raises KafkaException, and TimeoutError when `ask` does.
    """
    until = monotonic() + timeout
    pause = threading.Event()
    while True:
        try:
            return ask()
        except KafkaException as error:
            if error.args[0].code() not in PASSING or monotonic() >= until:
                raise
        except TimeoutError:
            if monotonic() >= until:
                raise
        pause.wait(PAUSE)


class Admin:
    """Asks the brokers about groups, and by `client` about everything else; for one thread.

    Hold it until the answer is there: a client that is collected never gives it.
    """

    def __init__(self, config: Mapping[str, Any]) -> None:
        """`config`: librdkafka's settings."""
        self._config = dict(config)
        self.client = AdminClient(self._config)

    def describe(self, group: str) -> ConsumerGroupDescription | None:
        """A consumer group as the brokers know it, None when nobody ever joined it.

        To be asked before a group's offsets: where the group is forbidden, librdkafka lets a question for them wait
        until it times out. A coordinator that has vanished is waited for no longer than any broker.

        Raises KafkaException, and TimeoutError when nobody answers.
        """
        try:
            return answer(lambda: self._describe(group))
        except KafkaException as error:
            if error.args[0].code() == KafkaError.GROUP_ID_NOT_FOUND:
                return None
            raise

    def _describe(self, group: str) -> ConsumerGroupDescription:
        asked = self.client.describe_consumer_groups([group], request_timeout=COORDINATOR_LIMIT)[group]
        try:
            return asked.result(ANSWER_TIMEOUT)
        except (KafkaException, TimeoutError) as error:
            # librdkafka 2.16 does not notice that a group has another coordinator. It asks one that is none any more
            # for ten minutes, as after a rolling restart, when partitions go back to their preferred leaders; and it
            # waits half a minute for one that has stopped and that metadata lacks. A new client knows none.
            if not isinstance(error, KafkaException) or error.args[0].code() in MOVED:
                self.client = AdminClient(self._config)
            raise


def topic_id(admin: AdminClient, topic: str, timeout: float = 10.0) -> str:
    """The id that Kafka gave to a topic when it made it. Raises NotInitialised when there is none, KafkaUnavailable."""
    return topic_identity(admin, topic, timeout).id


class TopicIdentity(NamedTuple):
    """By what a topic is known again."""

    id: str
    """given by Kafka when it made the topic"""
    partitions: int


def topic_identity(admin: AdminClient, topic: str, timeout: float = 10.0) -> TopicIdentity:
    """A topic's id and number of partitions. Raises NotInitialised when there is no such topic, KafkaUnavailable."""
    with driver_errors(f"asking for the id of {topic}"):
        # Such a question goes to the broker that was named as the controller last. Only a client that knows a topic
        # hears of another one when that broker has vanished.
        admin.list_topics(topic, timeout)
        asked = admin.describe_topics(TopicCollection([topic]), request_timeout=timeout)
        return _identity(asked[topic].result(timeout))


class TopicIdSource:
    """Asks for a topic's id again and again, from any thread.

    librdkafka reads certificates once for a client. So when a question fails, the next one is asked by a new client.
    """

    def __init__(self, config: Mapping[str, Any], topic: str, timeout: float) -> None:
        """`config` has librdkafka's settings, `timeout` is in seconds."""
        self._config, self._topic, self._timeout = dict(config), topic, timeout
        self._admin: AdminClient | None = None
        self._making = threading.Lock()

    def ask(self) -> str:
        """The id, as the brokers have it now. Raises NotInitialised when there is no such topic, KafkaUnavailable."""
        with self._making, driver_errors(f"connecting to ask for the id of {self._topic}"):
            admin = self._admin = self._admin or AdminClient(self._config)
        try:
            return topic_id(admin, self._topic, self._timeout)
        except KafkaUnavailable:
            self._admin = None
            raise


def _identity(described: TopicDescription) -> TopicIdentity:
    return TopicIdentity(str(described.topic_id), len(described.partitions))


def partitions_added(topic: str, known: int, found: int) -> PartitionsAdded:
    """The error for a topic that had another number of partitions."""
    return PartitionsAdded(
        f"Topic {topic} was given more partitions (it had {known}, and has {found}): a stream's newer events would not "
        "be where the older ones are, and nothing orders the two. Kafka takes none away: set up a pipeline under "
        "another HOLONSTREAM_NAMESPACE beside this one (docs/compose.md, Grow partitions), or stop relays and workers, "
        "and type `holonstream replay topic`: it says what comes then"
    )


def topic_config(admin: AdminClient, topic: str) -> dict[str, str]:
    """A topic's settings, those that it has from the brokers included. Raises KafkaException."""
    resource = ConfigResource(ConfigResource.Type.TOPIC, topic)
    asked = answer(lambda: admin.describe_configs([resource], request_timeout=TIMEOUT)[resource].result(TIMEOUT))
    return {name: str(entry.value) for name, entry in asked.items()}


def broker_config(admin: AdminClient, broker: int) -> dict[str, str | None]:
    """A broker's settings. Raises KafkaException."""
    resource = ConfigResource(ConfigResource.Type.BROKER, str(broker))
    asked = answer(lambda: admin.describe_configs([resource], request_timeout=TIMEOUT)[resource].result(TIMEOUT))
    return {name: entry.value for name, entry in asked.items()}


class TopicWatch:
    """Notices that a topic was deleted and made again, or given more partitions, by asking now and then; nobody waits
    for the answer."""

    def __init__(self, admin: AdminClient, topic: str, known: TopicIdentity) -> None:
        self._admin, self._topic, self._known = admin, topic, known
        self._asked: Future[Any] | None = None
        self._answered = monotonic()
        self._next = monotonic() + TOPIC_ID_INTERVAL

    def check(self) -> None:
        """Ask, if it is time, or evaluate the answer, if it is there.

        Raises TopicReplaced, PartitionsAdded, NotInitialised (no such topic), KafkaUnavailable (no answer for a while:
        one question is often lost with the broker that it was sent to).
        """
        if self._asked is None and monotonic() >= self._next:
            self._asked = self._admin.describe_topics(TopicCollection([self._topic]))[self._topic]
        if self._asked is None or not self._asked.done():
            return
        asked, self._asked, self._next = self._asked, None, monotonic() + TOPIC_ID_INTERVAL
        try:
            with driver_errors(f"asking for the id of {self._topic}"):
                found = _identity(asked.result())
        except KafkaUnavailable:
            if monotonic() - self._answered < TIMEOUT:
                return
            raise
        self._answered = monotonic()
        if found.id != self._known.id:
            raise TopicReplaced(
                f"Topic {self._topic} was deleted and made again (its id was {self._known.id}, and is {found.id}): it "
                "lacks what was published before. Start `holonstream relay` again: it says what to type"
            )
        if found.partitions > self._known.partitions:  # a broker that has just started may not know all
            raise partitions_added(self._topic, self._known.partitions, found.partitions)


class ErrorNotes:
    """Logs what librdkafka reports on its own account, each kind once in a while: an outage reports hundreds.

    A call that fails raises; these lines are for readers of the log.
    """

    def __init__(self) -> None:
        self._noted: dict[int, float] = {}

    def __call__(self, error: KafkaError) -> None:
        now = monotonic()
        if now - self._noted.get(error.code(), -NOTE_INTERVAL) >= NOTE_INTERVAL:
            self._noted[error.code()] = now
            log.warning("kafka.client.error", error=error.name(), reason=error.str())
