"""A call of the Kafka client that does not return is left to itself; everything else about it stays as it is."""

from __future__ import annotations

import threading

import pytest
from confluent_kafka import KafkaError, KafkaException

from holonstream.producers.errors import KafkaUnavailable, ProducerFenced
from holonstream.producers.kafka import call_within, driver_errors


def test_a_call_that_does_not_return_is_left_to_itself() -> None:
    let_go, returned = threading.Event(), threading.Event()

    def call() -> None:
        let_go.wait()
        returned.set()

    with pytest.raises(KafkaUnavailable, match=r"while adding positions: no answer within 0\.05 s"):
        call_within(0.05, "adding positions", call)
    assert not returned.is_set()
    let_go.set()
    assert returned.wait(60), "it ends by itself, unnoticed"


def test_a_call_has_returned_when_this_returns() -> None:
    calls: list[int] = []
    call_within(60, "adding", lambda: calls.append(7))
    assert calls == [7]


def test_what_a_call_raises_becomes_ours_as_ever() -> None:
    def fenced() -> None:
        raise KafkaException(KafkaError(KafkaError._FENCED))

    with pytest.raises(ProducerFenced, match="while publishing"), driver_errors("publishing"):
        call_within(60, "adding positions", fenced)
