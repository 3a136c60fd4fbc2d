"""Tests that are ended by a signal stop what they have started."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from tests.support.waiting import wait_until

ROOT = Path(__file__).parents[2]
TESTS = """
from contextlib import contextmanager
from pathlib import Path
from threading import Event

import pytest

FOLDER = Path(__file__).parent

@contextmanager
def server(name):
    (FOLDER / name).touch()
    try:
        yield
    finally:
        (FOLDER / name).unlink()

@pytest.fixture(scope="session")
def kept():
    with server("kept"):
        yield

def test_that_waits(kept):
    with server("own"):
        Event().wait(60)
"""


def test_sigterm_ends_tests_in_order_also_when_it_comes_twice(tmp_path: Path) -> None:
    (tmp_path / "test_waiting.py").write_text(TESTS)
    words = ["-m", "pytest", "-p", "tests.fix_signals", "-p", "no:cacheprovider", "--numprocesses", "1"]
    with subprocess.Popen(
        [sys.executable, *words, "--rootdir", str(tmp_path), str(tmp_path)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as tests:
        try:
            wait_until(lambda: (tmp_path / "own").exists(), "the test runs", 60)
            os.killpg(tests.pid, signal.SIGTERM)  # as `timeout` does
            os.killpg(tests.pid, signal.SIGTERM)  # as make does after it
            said, _ = tests.communicate(timeout=60)
        finally:
            tests.kill()
    assert tests.returncode == 2, said
    assert [path.name for path in tmp_path.iterdir()] == ["test_waiting.py"], said
