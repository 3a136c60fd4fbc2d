"""What happens to workers: rebalances in a quiet hour, errors of the group, idleness, brokers that go away."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
from confluent_kafka import Consumer, TopicPartition

from holonstream import local
from holonstream.streams import app
from tests.support.waiting import wait_until
from tests.support.worker_group import STOP, Log, Workers, log, workers

pytestmark = pytest.mark.faults

__all__ = ["log", "workers"]


def test_what_a_store_does_not_manage_in_time_is_written_in_parts(log: Log, workers: Workers) -> None:
    (workers.folder / "heavy").write_text("15")
    log.fill(transactions=1, size=400)
    workers.start()
    workers.wait_for_all()
    assert workers.written() == log.expected
    counts = [int(line[4]) for line in workers.lines("written")]
    assert max(counts) <= 15
    assert max(counts) > 3  # after each that was in time, more is tried again


def test_records_present_when_a_rebalance_ends_are_read_though_nothing_more_comes(log: Log, workers: Workers) -> None:
    """A fetch that was asked for before the rebalance brings the first records after it: they must not be dropped."""
    workers.start()
    for members in (2, 3):
        other = workers.start()
        wait_until(lambda count=members: workers.members() == count, f"worker {members} has partitions")  # type: ignore[misc]
        other.kill()
        log.fill(transactions=1, size=40)
        workers.wait_for_all()
    assert workers.written() == log.expected


def test_an_error_of_the_groups_sync_is_got_over(log: Log, workers: Workers) -> None:
    """Nobody in Faust asks for it, and the worker would stay alive, silent, without partitions."""
    workers.order("sync-error")
    log.fill(transactions=1, size=40)
    worker = workers.start()
    workers.wait_for_all()
    assert (workers.folder / "sync-error-done").exists()
    assert "group.coordinator_error" in workers.log_text()
    assert worker.poll() is None
    assert workers.written() == log.expected


def test_a_foreign_member_of_the_group_is_named_once_and_waited_for(log: Log, workers: Workers) -> None:
    """It has joined with an assignor that workers do not know, so that no worker may join."""
    log.fill(transactions=1, size=40)
    foreign = Consumer(
        {
            "bootstrap.servers": log.bootstrap,
            "group.id": log.prefix + "group",
            "partition.assignment.strategy": "range",
            "enable.auto.commit": False,
        }
    )
    foreign.subscribe([log.prefix + "events"])
    wait_until(lambda: foreign.poll(0.1) or foreign.assignment(), "the foreign member has joined")
    workers.start()
    said = "a program outside the pipeline is a member of the group"
    wait_until(lambda: foreign.poll(0.1) or said in workers.log_text(), "the worker says why it cannot join")
    foreign.close()
    workers.wait_for_all()
    assert workers.log_text().count(said) == 1
    assert workers.written() == log.expected


def test_an_offset_that_another_program_has_set_ends_no_worker_before_it_is_judged(log: Log, workers: Workers) -> None:
    """It lies beyond the end, and the store answers late; the health of the worker asks for the ends meanwhile."""
    log.fill(transactions=1, size=40)
    other = Consumer({"bootstrap.servers": log.bootstrap, "group.id": log.prefix + "group"})
    places = [TopicPartition(log.prefix + "events", partition, 10_000) for partition in range(log.partitions)]
    other.commit(offsets=places, asynchronous=False)
    other.close()
    workers.order("impatient")
    closed = workers.order("closed")
    worker = workers.start()
    wait_until(lambda: worker.poll() is not None or len(workers.lines("refused")) >= 20, "the store was asked often")
    closed.unlink()
    workers.wait_for_all()
    assert worker.poll() is None, workers.log_text()
    assert workers.written() == log.expected


def test_a_worker_whose_store_was_down_for_long_continues(log: Log, workers: Workers) -> None:
    """Its buffers are full, so it asks for no records, and still it is in the group."""
    workers.max_batch = 10
    log.fill(transactions=10, size=1000)
    down = workers.order("down")
    worker = workers.start()
    wait_until(lambda: len(workers.lines("tried")) >= 7, "the store has been down for some 6 s")
    down.unlink()
    workers.wait_for_all()
    assert workers.written() == log.expected
    assert worker.poll() is None


def test_with_a_poll_interval_that_ends_before_it_leaves_the_group_for_ever(log: Log, workers: Workers) -> None:
    """Why ours is so long: this is what the usual 300 or 1,000 s would come to."""
    assert app.MAX_POLL_INTERVAL >= 7 * 86_400
    workers.order("poll-interval").write_text("2.0")
    workers.max_batch = 10
    log.fill(transactions=10, size=1000)
    down = workers.order("down")
    worker = workers.start()
    wait_until(lambda: workers.lines("tried"), "the store is down")
    wait_until(lambda: log.members("group") == [], "the worker has left the group")
    down.unlink()
    with pytest.raises(AssertionError, match="not within"):
        workers.wait_for_all(6)
    assert log.members("group") == []
    assert worker.poll() is None  # and nothing says so


def test_a_worker_without_partitions_takes_over(kafka_bootstrap: str, topic_prefix: str, tmp_path: Path) -> None:
    log = Log(kafka_bootstrap, topic_prefix, partitions=1)
    workers = Workers(log, tmp_path)
    try:
        for _ in range(2):
            workers.start()
        wait_until(lambda: log.members("group") == [0, 1], "one has the partition, the other is idle")
        for _ in range(3):
            log.fill(transactions=4, size=10)
            workers.wait_for_all()
        busy = int(workers.lines("written")[-1][0])  # a rebalance may have moved the partition since the first line
        (killed,) = [worker for worker in workers.running if worker.pid == busy]
        killed.kill()
        log.fill(transactions=1, size=10)
        workers.wait_for_all()
        assert workers.written() == log.expected
        assert int(workers.lines("written")[-1][0]) != busy
    finally:
        for worker in workers.running:
            worker.kill()
            worker.wait()


def test_a_broker_that_is_killed_and_comes_back_loses_nothing(log: Log, workers: Workers, stack: local.Stack) -> None:
    log.fill(transactions=6, size=200)
    slow = workers.order("slow")
    for _ in range(2):
        workers.start()
    wait_until(lambda: len(workers.lines("written")) > 5, "batches are written")
    stack.kill("kafka")
    try:
        slow.unlink()
    finally:
        stack.start("kafka")
    log.fill(transactions=6, size=200)
    workers.wait_for_all(240, restarts=True)  # a worker that found no broker for long enough has ended
    for partition, count in log.expected.items():
        assert workers.written()[partition] >= count
    for worker in workers.running:
        if worker.poll() is None:
            worker.send_signal(signal.SIGTERM)
            assert worker.wait(STOP) == 0


def test_a_worker_whose_brokers_are_down_ends_on_sigterm(log: Log, workers: Workers, stack: local.Stack) -> None:
    log.fill(transactions=6, size=200)
    workers.order("slow")
    idle, busy = workers.start(), workers.start()
    wait_until(lambda: workers.members() == 2 and len(workers.lines("written")) > 5, "batches are written")
    stack.kill("kafka")
    try:
        wait_until(lambda: "Unable connect to node" in workers.log_text(), "a worker has noticed", 60)
        for worker in (idle, busy):
            worker.send_signal(signal.SIGTERM)
        for worker in (idle, busy):
            assert worker.wait(STOP) == 0
    finally:
        stack.start("kafka")
