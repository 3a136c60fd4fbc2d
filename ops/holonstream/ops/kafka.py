"""Talking to the brokers for the operator's commands: one way to connect, one error when they do not answer."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Event
from time import monotonic
from typing import Any, TypeVar

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient, ConsumerGroupDescription

from holonstream.ops.settings import Settings
from holonstream.producers.errors import KafkaUnavailable

T = TypeVar("T")

TIMEOUT = 10.0  # seconds for each question
PAUSE = 0.1  # seconds before a question is asked again

# What brokers answer while a group's coordinator or a partition's leader is being made, or moves to another broker.
# (KafkaError.retriable knows the producer's errors only.)
PASSING = frozenset(
    {
        KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
        KafkaError.COORDINATOR_NOT_AVAILABLE,
        KafkaError.NOT_COORDINATOR,
        KafkaError.LEADER_NOT_AVAILABLE,
        KafkaError.NOT_LEADER_FOR_PARTITION,
        KafkaError._NOENT,  # "No leaders found": librdkafka's own, for a second or two after a broker came back
    }
)


def client(settings: Settings) -> dict[str, Any]:
    """What every client of confluent-kafka is made with. Errors are raised, so the library's own log is left out."""
    return {"bootstrap.servers": settings.kafka_bootstrap, "log_level": 0, **security(settings)}


def security(settings: Settings) -> dict[str, str]:
    """librdkafka's settings for TLS and SASL/SCRAM."""
    transport = "SSL" if settings.kafka_tls else "PLAINTEXT"
    trust = {"ssl.ca.location": str(settings.kafka_ca)} if settings.kafka_tls and settings.kafka_ca else {}
    if settings.kafka_user is None:
        return {"security.protocol": transport, **trust}
    password = settings.kafka_password
    return {
        **trust,
        "security.protocol": f"SASL_{transport}",
        "sasl.mechanism": "SCRAM-SHA-512",
        "sasl.username": settings.kafka_user,
        "sasl.password": "" if password is None else password.reveal(),
    }


@contextmanager
def answered() -> Iterator[None]:
    """Raise KafkaUnavailable in place of what the client raises when the brokers do not answer."""
    try:
        yield
    except (KafkaException, TimeoutError) as error:
        raise KafkaUnavailable(f"Kafka does not answer: {error}") from error


def answer(ask: Callable[[], T], timeout: float = TIMEOUT) -> T:
    """The brokers' answer to a question, asked again for `timeout` seconds while they say that it will pass.

    Raises KafkaException.
    """
    until = monotonic() + timeout
    pause = Event()
    while True:
        try:
            return ask()
        except KafkaException as error:
            if error.args[0].code() not in PASSING or monotonic() >= until:
                raise
        pause.wait(PAUSE)


def describe(admin: AdminClient, group: str) -> ConsumerGroupDescription | None:
    """A consumer group as the brokers know it, None when nobody ever joined it. Raises KafkaException.

    Hold the admin client until the answer is there: one that is collected never gives it.
    """
    try:
        return answer(lambda: admin.describe_consumer_groups([group], request_timeout=TIMEOUT)[group].result(TIMEOUT))
    except KafkaException as error:
        if error.args[0].code() == KafkaError.GROUP_ID_NOT_FOUND:
            return None
        raise
