"""Workers whose offset is not in the topic any more, on a real broker: they stop and say so, and skip nothing."""

from __future__ import annotations

import signal

import pytest
from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from holonstream.ops.status import TopicStatus
from holonstream.schemas.errors import TopicCut
from tests.support.waiting import wait_until
from tests.support.worker_group import PARTITIONS, STOP, Log, Workers, log, workers

__all__ = ["log", "workers"]


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOLONSTREAM_METRICS_INTERVAL", "0.3")


class Topic:
    """What somebody does to the topic behind the pipeline's back."""

    def __init__(self, log: Log) -> None:
        self._log, self._name = log, log.prefix + "events"
        self._admin = AdminClient({"bootstrap.servers": log.bootstrap})

    def cut(self, offset: int) -> None:
        """Delete the records of partition 0 below an offset, as retention does."""
        place = TopicPartition(self._name, 0, offset)
        self._admin.delete_records([place])[place].result(30)

    def replace(self, partitions: int = PARTITIONS) -> None:
        """Delete the topic and make it again, empty."""
        self._admin.delete_topics([self._name])[self._name].result(30)

        def made() -> bool:
            try:
                self._admin.create_topics([NewTopic(self._name, partitions, 1)])[self._name].result(30)
            except Exception:  # the deletion is on its way
                return False
            return True

        wait_until(made, "the topic is made again")
        self._log.expected.clear()


@pytest.fixture
def topic(log: Log) -> Topic:
    return Topic(log)


def stop(workers: Workers) -> None:
    for worker in workers.running:
        worker.send_signal(signal.SIGTERM)
    assert [worker.wait(STOP) for worker in workers.running] == [0] * len(workers.running)
    workers.running.clear()


def test_a_fresh_group_refuses_a_topic_whose_beginning_was_cut(log: Log, workers: Workers, topic: Topic) -> None:
    log.fill(transactions=1, size=40)
    topic.cut(3)
    assert workers.start().wait(STOP + 30) == 1
    assert "TopicCut" in workers.log_text()
    assert "[0]: offsets 0 to 2 were deleted" in workers.log_text()
    with TopicStatus({"bootstrap.servers": log.bootstrap}, log.prefix + "events") as status:
        group = status.group(log.prefix + "group", status.ends())
        (problem,) = status.problems(log.prefix + "relay", log.prefix + "dead-letters", [group])
        assert "[0]: offsets 0 to 2 were deleted unhandled (TopicCut)" in problem
        with pytest.raises(TopicCut, match=r"\[0\]: offsets 0 to 2 were deleted\. The log has all events"):
            status.check_whole(log.prefix + "group", 1)


def test_a_worker_that_comes_back_below_the_beginning_stops(log: Log, workers: Workers, topic: Topic) -> None:
    log.fill(transactions=1, size=40)
    workers.start()
    workers.wait_for_all()
    stop(workers)
    reached = log.committed("group")[0][0]
    log.fill(transactions=1, size=40)
    written = workers.written()
    topic.cut(reached + 5)
    assert workers.start().wait(STOP + 30) == 1
    assert f"[0]: offsets {reached} to {reached + 4} were deleted" in workers.log_text()
    assert workers.written()[0] == written[0]
    assert log.committed("group")[0][0] == reached


def test_a_beginning_that_was_handled_may_be_cut(log: Log, workers: Workers, topic: Topic) -> None:
    log.fill(transactions=1, size=40)
    workers.start()
    workers.wait_for_all()
    topic.cut(log.committed("group")[0][0])
    stop(workers)
    with TopicStatus({"bootstrap.servers": log.bootstrap}, log.prefix + "events") as status:
        group = status.group(log.prefix + "group", status.ends())
        (problem,) = status.problems(log.prefix + "relay", log.prefix + "dead-letters", [group])
        assert "events [0]: the first records were deleted. Every group has handled them" in problem
    workers.start()
    log.fill(transactions=1, size=40)
    workers.wait_for_all()
    assert workers.written() == log.expected


def test_a_worker_whose_next_records_are_deleted_while_it_stands_still_stops(
    log: Log, workers: Workers, topic: Topic
) -> None:
    log.fill(transactions=1, size=40)
    worker = workers.start()
    workers.wait_for_all()
    reached = log.committed("group")[0][0]
    worker.send_signal(signal.SIGSTOP)
    log.fill(transactions=1, size=400)  # the answer to the fetch that waits at the broker
    log.fill(transactions=1, size=400)
    topic.cut(reached + 150)
    worker.send_signal(signal.SIGCONT)
    assert worker.wait(STOP + 30) == 1
    assert "TopicCut" in workers.log_text()
    assert f" to {reached + 149} were deleted" in workers.log_text()
    assert workers.written()[0] <= 110


def test_a_checkpoint_beyond_the_end_stops_a_worker(log: Log, workers: Workers) -> None:
    log.fill(transactions=1, size=40)
    (workers.folder / "checkpoint-0").write_text("1000")
    assert workers.start().wait(STOP + 30) == 1
    assert "TopicCut" in workers.log_text()
    assert "was handled up to 1000" in workers.log_text()


def test_a_topic_made_again_under_a_running_worker_stops_it_and_the_next_one_reads_all_of_it(
    log: Log, workers: Workers, topic: Topic
) -> None:
    log.fill(transactions=2, size=40)
    worker = workers.start()
    workers.wait_for_all()
    before = workers.written()
    topic.replace()
    log.fill(transactions=3, size=80)  # further than the worker had come
    wait_until(lambda: worker.poll() is not None or log.lag("group") == 0, "it stops, or reads the new topic", 60)
    if worker.poll() is not None:
        assert "TopicReplaced" in workers.log_text() or "TopicCut" in workers.log_text()
        workers.start()
    workers.wait_for_all()
    written = workers.written()
    assert {p: written[p] - before[p] for p in written} == log.expected


def test_an_offset_in_a_topic_of_the_past_does_not_count(log: Log, workers: Workers, topic: Topic) -> None:
    """As it is committed by a worker that had not noticed yet."""
    log.fill(transactions=1, size=40)
    workers.start()
    workers.wait_for_all()
    stop(workers)
    topic.replace()
    log.fill(transactions=1, size=40)
    consumer = Consumer({"bootstrap.servers": log.bootstrap, "group.id": log.prefix + "group"})
    old = "12 AAAAAAAAAAAAAAAAAAAAAA"
    places = [TopicPartition(log.prefix + "events", p, 5, metadata=old) for p in range(PARTITIONS)]
    consumer.commit(offsets=places, asynchronous=False)
    consumer.close()
    before = workers.written()
    workers.start()
    workers.wait_for_all()
    written = workers.written()
    assert {p: written[p] - before[p] for p in written} == log.expected
    assert workers.lines("assigned")[-1][2] == "12"


def test_an_offset_that_another_program_has_set_does_not_count(log: Log, workers: Workers) -> None:
    """As kafka-consumer-groups.sh --reset-offsets sets it: without metadata."""
    log.fill(transactions=1, size=40)
    consumer = Consumer({"bootstrap.servers": log.bootstrap, "group.id": log.prefix + "group"})
    places = [TopicPartition(log.prefix + "events", p, 7) for p in range(PARTITIONS)]
    consumer.commit(offsets=places, asynchronous=False)
    consumer.close()
    workers.start()
    workers.wait_for_all()
    assert workers.written() == log.expected
    assert "partition.offset_set_by_hand" in workers.log_text()
