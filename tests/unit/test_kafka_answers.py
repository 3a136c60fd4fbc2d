"""Questions to the brokers are asked again while their answer is that it will pass."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pytest
from confluent_kafka import KafkaError, KafkaException

from holonstream.producers.errors import KafkaUnavailable, NotPermitted
from holonstream.producers.kafka import PASSING, TopicIdSource, answer, driver_errors


class Brokers:
    """Answers with these errors, one a question, and then with 7."""

    def __init__(self, codes: Iterable[int]) -> None:
        self._codes = iter(codes)
        self.questions = 0

    def ask(self) -> int:
        self.questions += 1
        for code in self._codes:
            raise KafkaException(KafkaError(code))
        return 7


def test_an_error_that_passes_is_waited_out() -> None:
    brokers = Brokers(PASSING)
    assert answer(brokers.ask) == 7
    assert brokers.questions == len(PASSING) + 1


def test_a_broker_that_is_late_is_asked_again_until_the_time_is_over() -> None:
    late = iter([TimeoutError(), TimeoutError()])

    def ask() -> int:
        for error in late:
            raise error
        return 7

    assert answer(ask) == 7
    late = iter([TimeoutError("too late")])
    with pytest.raises(TimeoutError, match="too late"):
        answer(ask, timeout=0.0)


@pytest.mark.parametrize("code", [KafkaError.GROUP_AUTHORIZATION_FAILED, KafkaError._TRANSPORT])
def test_an_error_that_stays_is_raised_at_once(code: int) -> None:
    brokers = Brokers([code])
    with pytest.raises(KafkaException):
        answer(brokers.ask)
    assert brokers.questions == 1


def test_an_error_that_does_not_pass_in_time_says_that_kafka_does_not_answer() -> None:
    brokers = Brokers([KafkaError.NOT_COORDINATOR] * 1000)
    with pytest.raises(KafkaUnavailable, match="NOT_COORDINATOR"), driver_errors("asking"):
        answer(brokers.ask, timeout=0.3)
    assert 1 < brokers.questions < 10


@pytest.mark.parametrize(
    ("code", "kind", "hint"),
    [
        (KafkaError.INVALID_TIMESTAMP, KafkaUnavailable, "the clock of this host or of the broker is wrong"),
        (KafkaError.INVALID_TRANSACTION_TIMEOUT, NotPermitted, "set transaction.max.timeout.ms of the brokers"),
    ],
)
def test_an_error_that_does_not_say_what_helps_gets_a_hint(code: int, kind: type[Exception], hint: str) -> None:
    with pytest.raises(kind, match=hint), driver_errors("publishing"):
        raise KafkaException(KafkaError(code))


def test_certificates_that_cannot_be_read_are_an_outage_as_long_as_they_are(tmp_path: Path) -> None:
    """They may just be replaced: a relay or worker that is running asks again."""
    config = {"bootstrap.servers": "127.0.0.1:1", "security.protocol": "SSL", "ssl.ca.location": str(tmp_path / "ca")}
    with pytest.raises(KafkaUnavailable, match=r"ssl\.ca\.location"):
        TopicIdSource(config, "t", 1.0).ask()
