"""A process that is asked to stop stops: in order, or else soon."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from urllib.request import urlopen

import pytest

from tests.support.waiting import wait_until

PROCESS = """
import sys
from threading import Event
from holonstream.ops import stopping

stopping.STOP_TIME = float(sys.argv[2])
stop = stopping.stop_on_signals()
print("ready", flush=True)
while not stop.wait(0.00001):  # nearly all of its time where a handler could not set the event
    pass
print("asked", flush=True)
if sys.argv[1] == "hang":
    Event().wait()
"""


@contextmanager
def process(does: str, stop_time: float) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [sys.executable, "-c", PROCESS, does, str(stop_time)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as child:
        try:
            assert child.stdout is not None
            assert child.stdout.readline() == "ready\n"
            yield child
        finally:
            child.kill()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_one_that_can_ends_in_order(number: signal.Signals) -> None:
    with process("end", 60) as child:
        child.send_signal(number)
        assert child.wait(30) == 0


def test_the_console_ends_in_order() -> None:
    """It connects to no server before somebody asks."""
    command = [sys.executable, "-m", "holonstream", "console", "--port", "0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as child:
        try:
            assert child.stderr is not None
            found = re.search(r"http://\S+", child.stderr.readline())
            assert found is not None

            def answers() -> bool:
                with suppress(OSError), urlopen(f"{found[0]}/api/v1/health", timeout=5) as answer:
                    return bool(answer.status == 200)
                return False

            wait_until(answers, "the console answers")
            child.send_signal(signal.SIGTERM)
            assert child.wait(60) == 0
        finally:
            child.kill()


def test_one_that_hangs_is_ended_when_its_time_is_over() -> None:
    with process("hang", 0.2) as child:
        child.send_signal(signal.SIGTERM)
        assert child.wait(30) == 1
        assert child.stdout is not None
        assert "stop.overdue" in child.stdout.read()


def test_one_that_hangs_is_ended_by_a_second_signal() -> None:
    with process("hang", 3600) as child:
        child.send_signal(signal.SIGTERM)
        assert child.stdout is not None
        assert child.stdout.readline() == "asked\n"
        child.send_signal(signal.SIGINT)
        assert child.wait(30) == 1
        assert "second signal: 2" in child.stdout.read()
