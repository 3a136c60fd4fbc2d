"""Kafka for this package: the one place where driver errors become ours."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from time import monotonic
from typing import Final

import structlog
from confluent_kafka import KafkaError, KafkaException

from holonstream.producers.errors import KafkaUnavailable, NotPermitted, ProducerFenced
from holonstream.schemas.errors import NotInitialised

log = structlog.get_logger(__name__)

NOTE_INTERVAL = 30.0  # seconds

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
}
BUGS: Final = {
    KafkaError._INVALID_ARG,
    KafkaError._CONFLICT,
    KafkaError._STATE,
    KafkaError.MSG_SIZE_TOO_LARGE,
    KafkaError.INVALID_TRANSACTION_TIMEOUT,
}


@contextmanager
def driver_errors(doing: str) -> Iterator[None]:
    """Raise our errors in place of the driver's; `doing` says what for the message.

    KafkaUnavailable also stands for an aborted transaction: whoever gets it starts again from what is committed.
    """
    try:
        yield
    except KafkaException as exception:
        error: KafkaError = exception.args[0]
        message = f"{doing}: {error.name()}: {error.str()}"
        if error.code() in FENCED:
            raise ProducerFenced(f"Fenced while {message}: another relay has the same transactional id") from exception
        if error.code() in MISSING:
            raise NotInitialised(f"Topic missing while {message}: run `holonstream init`") from exception
        if error.code() in FORBIDDEN:
            raise NotPermitted(f"Not permitted while {message}") from exception
        if error.code() in BUGS:
            raise
        raise KafkaUnavailable(f"Kafka unavailable while {message}") from exception


def call_within(limit: float, doing: str, call: Callable[[], object]) -> None:
    """Make a call of the driver, and leave it to itself when it has not returned after `limit` seconds.

    What the call raises is raised here. Raises KafkaUnavailable when it is left: the client is then of no more use, and
    lives until the call returns, if ever.
    """
    outcome: Future[object] = Future()

    def run() -> None:
        try:
            outcome.set_result(call())
        except BaseException as error:
            outcome.set_exception(error)

    threading.Thread(target=run, name="kafka-call", daemon=True).start()
    try:
        outcome.result(limit)
    except TimeoutError as error:
        raise KafkaUnavailable(f"Kafka unavailable while {doing}: no answer within {limit:g} s") from error


class ErrorNotes:
    """Logs what librdkafka reports on its own account, each kind once in a while: an outage reports hundreds.

    A call that fails for it raises; this is only for whoever reads the log.
    """

    def __init__(self) -> None:
        self._noted: dict[int, float] = {}

    def __call__(self, error: KafkaError) -> None:
        now = monotonic()
        if now - self._noted.get(error.code(), -NOTE_INTERVAL) >= NOTE_INTERVAL:
            self._noted[error.code()] = now
            log.warning("kafka.client.error", error=error.name(), reason=error.str())
