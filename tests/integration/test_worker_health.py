"""A worker that lags and gets nowhere, on a real broker: its store neither fails nor answers."""

from __future__ import annotations

from pathlib import Path

import pytest

from holonstream.local import ports
from tests.support.scraping import Target
from tests.support.waiting import wait_until
from tests.support.worker_group import STOP, Log, Workers, log, workers

__all__ = ["log", "workers"]


def test_a_worker_that_lags_and_does_not_move_is_not_ready(
    log: Log, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = Target(ports.choose(["metrics"])["metrics"])
    for name, value in {"METRICS_PORT": str(target.port), "METRICS_INTERVAL": "0.2", "READY_STALL": "1"}.items():
        monkeypatch.setenv(f"HOLONSTREAM_{name}", value)
    workers = Workers(log, tmp_path)
    log.fill(transactions=3, size=40)
    worker = workers.start()
    try:
        workers.wait_for_all()
        wait_until(target.ready, f"the worker is ready: {target.get('/readyz')}")
        wait_until(lambda: target.scrape().value("holonstream_group_lag_events") == 0, "it has asked for the ends")

        workers.order("hang")
        log.fill(transactions=1, size=40)
        wait_until(lambda: target.unready("behind by 4"), f"it says why not: {target.get('/readyz')}")
        assert (target.scrape().value("holonstream_group_lag_events") or 0) >= 40
        assert (target.scrape().value("holonstream_group_lag_seconds") or 0) >= 1
        assert target.get("/livez")[0] == 200
    finally:
        worker.kill()
        worker.wait()


def test_a_worker_that_stalls_ends_itself_and_the_next_one_continues(log: Log, workers: Workers) -> None:
    workers.order("impatient")
    log.fill(transactions=1, size=40)
    hang = workers.order("hang")
    assert workers.start().wait(STOP + 30) == 1
    assert "Stalled" in workers.log_text()
    hang.unlink()
    workers.start()
    workers.wait_for_all()
    assert workers.written() == log.expected


def test_a_worker_that_waits_for_its_store_does_not_stall(log: Log, workers: Workers) -> None:
    workers.order("impatient")
    log.fill(transactions=1, size=40)
    down = workers.order("down")
    worker = workers.start()
    wait_until(lambda: len(workers.lines("tried")) >= 6, "the store has been down for longer than a stall may last")
    assert worker.poll() is None
    down.unlink()
    workers.wait_for_all()


def test_an_idle_worker_reads_again_what_a_store_lacks_that_was_restored(
    log: Log, workers: Workers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOLONSTREAM_METRICS_INTERVAL", "0.2")
    log.fill(transactions=3, size=40)
    workers.start()
    workers.wait_for_all()
    (workers.folder / "checkpoint-2").write_text("0")
    (workers.folder / "moved.new").write_text("2")
    (workers.folder / "moved.new").rename(workers.folder / "moved")  # whole, when the worker sees it
    again = {**log.expected, 2: 2 * log.expected[2]}
    wait_until(lambda: workers.written() == again, f"partition 2 is read once more: {workers.log_text()[-500:]}")
    workers.wait_for_all()
