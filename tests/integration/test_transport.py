"""The contract between the transport, the follower and Faust, on a real broker.

Each test starts worker processes whose sink is a file (`tests.support.file_worker`) on a topic that a transactional
producer filled, as the relay does: some transactions aborted, so that offsets have holes.
"""

from __future__ import annotations

import signal
from itertools import pairwise

from confluent_kafka import Consumer, TopicPartition

from holonstream.schemas.offset_metadata import OffsetMetadata
from tests.support.waiting import wait_until
from tests.support.worker_group import STOP, Log, Workers, log, workers

__all__ = ["log", "workers"]


def test_every_record_once_in_order_and_committed_to_the_end(log: Log, workers: Workers) -> None:
    log.fill(transactions=10, size=200)
    worker = workers.start()
    workers.wait_for_all()
    log.fill(transactions=2, size=40)  # it continues when more comes
    workers.wait_for_all()
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(STOP) == 0

    assert workers.written() == log.expected
    for writes in workers.offsets().values():
        assert all(before[1] < after[0] for before, after in pairwise(writes))
    # the metadata of a commit is the position that the sink reported, here the last offset
    assert {p: OffsetMetadata.parse(metadata).position for p, (_, metadata) in log.committed("group").items()} == {
        p: writes[-1][1] for p, writes in workers.offsets().items()
    }


def test_what_an_earlier_owner_wrote_and_did_not_commit_is_committed(log: Log, workers: Workers) -> None:
    log.fill(transactions=3, size=200)

    def ends() -> dict[int, int] | None:
        """The ends behind the last markers, which a commit does not wait for."""
        found = log._ask("group")[1]
        return found if all(end >= log.expected[partition] + 3 for partition, end in found.items()) else None

    for partition, end in wait_until(ends, "all markers are written").items():
        (workers.folder / f"checkpoint-{partition}").write_text(str(end))
    workers.start()
    workers.wait_for_all()  # the group has nothing to do, so it must not look as if it lagged
    assert workers.lines("written") == []


def test_a_bug_in_the_sink_ends_the_worker_and_the_batch_comes_again(log: Log, workers: Workers) -> None:
    log.fill(transactions=3, size=200)
    bug = workers.order("bug")
    assert workers.start().wait(30) == 1
    assert log.lag("group") == sum(end for end in log._ask("group")[1].values())  # nothing was committed
    bug.unlink()
    workers.start()
    workers.wait_for_all()
    assert sum(int(line[4]) for line in workers.lines("written")) == sum(log.expected.values())


def test_an_outage_of_the_store_loses_nothing_and_does_not_hold_up_a_stop(log: Log, workers: Workers) -> None:
    log.fill(transactions=3, size=200)
    down = workers.order("down")
    worker = workers.start()
    wait_until(lambda: len(workers.lines("tried")) >= 3, "the write was tried again")
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(STOP) == 0
    assert workers.lines("written") == []

    workers.start()
    down.unlink()
    workers.wait_for_all()
    assert sum(int(line[4]) for line in workers.lines("written")) == sum(log.expected.values())


def test_a_write_that_does_not_return_does_not_hold_up_a_stop(log: Log, workers: Workers) -> None:
    log.fill(transactions=3, size=200)
    workers.order("hang")
    worker = workers.start()
    wait_until(lambda: workers.lines("hanging"), "a write hangs")
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(STOP) == 0


def test_partitions_move_when_workers_come_and_are_killed(log: Log, workers: Workers) -> None:
    log.fill(transactions=6, size=200)
    first = workers.start()
    workers.wait_for_all()
    workers.start()
    wait_until(lambda: len({line[0] for line in workers.lines("assigned")}) == 2, "both workers have partitions")
    log.fill(transactions=6, size=200)
    first.kill()
    log.fill(transactions=6, size=200)
    workers.wait_for_all()

    # Every record was written, and a partition's writes repeat only what was not committed when its worker died.
    for partition, writes in workers.offsets().items():
        reached = -1
        for begin, end in writes:
            assert begin <= reached + 1 or not _records_between(log, partition, reached, begin)
            reached = max(reached, end)


def test_an_assignment_may_take_longer_than_one_answer_of_a_broker(log: Log, workers: Workers) -> None:
    # Faust gives up a seek when its own limit is over, and continues as if it were done: nothing would ever be written.
    log.fill(transactions=2, size=200)
    workers.order("slow-brokers")
    workers.start()
    workers.wait_for_all()


def test_a_rebalance_with_fetches_read_ahead_stalls_no_worker(log: Log, workers: Workers) -> None:
    # Faust drops what it takes for read before: with many small fetches queued, a seek back must still be followed.
    workers.max_batch = 10
    log.fill(transactions=20, size=1000)
    slow = workers.order("slow")
    workers.start()
    for members in (2, 3):
        wait_until(lambda: len(workers.lines("written")) > 50, "batches are written while fetches queue up")
        joining = workers.start()
        wait_until(lambda count=members: workers.members() == count, f"{members} workers had partitions")  # type: ignore[misc]
        assert log.lag("group") > 0
        joining.send_signal(signal.SIGTERM)
        assert joining.wait(STOP) == 0
    slow.unlink()
    workers.wait_for_all()


def test_what_is_fetched_first_after_a_rebalance_is_not_dropped(log: Log, workers: Workers) -> None:
    # The wait for it may have begun before the rebalance. Nothing more comes whose start would tell that it is missing.
    log.fill(transactions=1, size=400)
    hang = workers.order("hang")
    workers.start()
    wait_until(lambda: workers.lines("hanging"), "a write that does not return", 60)
    hang.unlink()
    workers.start()
    workers.wait_for_all()


def test_faust_does_not_warn_of_a_healthy_worker_that_is_behind(log: Log, workers: Workers) -> None:
    """It judges by its own acks, of which there are none."""
    workers.order("impatient")
    workers.max_batch = 10
    log.fill(transactions=10, size=1000)
    workers.order("slow")
    workers.start()
    wait_until(lambda: len(workers.lines("written")) > 200, "the worker has written for some seconds")
    assert "Has not committed" not in workers.log_text()


def _records_between(log: Log, partition: int, after: int, before: int) -> bool:
    """Whether a read-committed reader finds a record with `after` < offset < `before`."""
    consumer = Consumer({"bootstrap.servers": log.bootstrap, "group.id": "nobody", "enable.partition.eof": True})
    try:
        consumer.assign([TopicPartition(log.prefix + "events", partition, after + 1)])
        message = consumer.poll(60)
        assert message is not None, "neither a record nor the end"
        return message.error() is None and message.offset() < before
    finally:
        consumer.close()
