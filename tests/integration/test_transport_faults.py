"""What happens to workers: rebalances in a quiet hour, errors of the group, idleness, brokers that go away."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

import local
from tests.support.waiting import wait_until
from tests.support.worker_group import PARTITIONS, Log, Workers


@pytest.fixture
def log(kafka_bootstrap: str, topic_prefix: str) -> Log:
    return Log(kafka_bootstrap, topic_prefix)


@pytest.fixture
def workers(log: Log, tmp_path: Path) -> Iterator[Workers]:
    made = Workers(log, tmp_path)
    yield made
    for worker in made.running:
        worker.kill()
        worker.wait()


def test_what_lies_there_when_a_rebalance_ends_is_read_though_nothing_more_comes(log: Log, workers: Workers) -> None:
    """A fetch that was asked for before the rebalance brings the first records after it: they must not be dropped."""
    workers.start()
    for members in (2, 3, 4):
        other = workers.start()
        wait_until(lambda count=members: workers.members() == count, f"worker {members} has partitions")  # type: ignore[misc]
        other.kill()
        log.fill(transactions=1, size=40)
        workers.wait_for_all(20)
    assert workers.written() == log.expected


def test_an_error_of_the_groups_sync_is_got_over(log: Log, workers: Workers) -> None:
    """Nobody in Faust asks for it, and the worker would stay alive, silent, without partitions."""
    workers.order("sync-error")
    log.fill(transactions=1, size=40)
    worker = workers.start()
    workers.wait_for_all(30)
    assert (workers.folder / "sync-error-done").exists()
    assert "group.coordinator_error" in workers.log_text()
    assert worker.poll() is None
    assert workers.written() == log.expected


@pytest.mark.parametrize("poll_interval", [None, "2.0"])
def test_a_worker_that_was_idle_takes_over(log: Log, workers: Workers, poll_interval: str | None) -> None:
    """With another poll interval it has left the group by then and never comes back, which is why ours is so long."""
    if poll_interval is not None:
        workers.order("poll-interval").write_text(poll_interval)
    log.fill(transactions=1, size=40)
    busy = workers.start()
    wait_until(lambda: len(workers.lines("assigned")) == PARTITIONS, "the first has all partitions")
    (workers.folder / "poll-interval").unlink(missing_ok=True)
    down = workers.order("down")
    log.fill(transactions=1, size=40)
    wait_until(lambda: len(workers.lines("tried")) >= 6, "the store has been down for longer than that interval")
    down.unlink()
    workers.wait_for_all(15)
    assert busy.poll() is None


def test_a_broker_that_is_killed_and_comes_back_loses_nothing(log: Log, workers: Workers, stack: local.Stack) -> None:
    log.fill(transactions=6, size=200)
    slow = workers.order("slow")
    started = [workers.start(), workers.start()]
    wait_until(lambda: len(workers.lines("written")) > 5, "runs are written")
    stack.kill("kafka")
    try:
        slow.unlink()
    finally:
        stack.start("kafka")
    log.fill(transactions=6, size=200)
    workers.wait_for_all()
    for partition, count in log.expected.items():
        assert workers.written()[partition] >= count
    for worker in started:
        if worker.poll() is None:
            worker.send_signal(signal.SIGTERM)
            assert worker.wait(10) == 0
