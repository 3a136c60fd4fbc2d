"""Processes are known by more than their pid."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from holonstream.local import process
from holonstream.local.process import Command, Process

FOREVER = ("tail", "-f", "/dev/null")


@pytest.fixture
def child(tmp_path: Path) -> Iterator[Process]:
    spawned = process.spawn(Command(FOREVER, cwd=tmp_path), tmp_path / "log")
    yield spawned
    process.kill(spawned)


def test_a_process_is_alive_until_it_is_killed(child: Process) -> None:
    assert process.is_alive(child)
    process.kill(child)
    assert not process.is_alive(child)


def test_a_reused_pid_is_not_our_process(child: Process) -> None:
    before = replace(child, started=child.started - 1)
    assert not process.is_alive(before)
    process.kill(before)
    process.signal_tree(before, signal.SIGKILL)
    assert process.stop(before, signal.SIGTERM, deadline=1.0)
    assert process.is_alive(child)


def test_a_pid_of_another_boot_is_not_our_process(child: Process) -> None:
    assert not process.is_alive(replace(child, boot="another"))


def test_an_identity_survives_its_file(child: Process, tmp_path: Path) -> None:
    path = tmp_path / "child.json"
    assert process.load(path) is None
    child.save(path)
    assert process.load(path) == child


def test_a_command_that_ends_at_once_is_not_alive(tmp_path: Path) -> None:
    ended = process.spawn(Command(("sh", "-c", "echo last words; exit 3"), cwd=tmp_path), tmp_path / "log")
    assert process.wait_gone([ended], deadline=10.0)
    assert process.tail(tmp_path / "log") == "last words"


def test_what_ignores_the_request_is_killed_with_its_children(tmp_path: Path) -> None:
    script = "trap '' TERM; tail -f /dev/null & echo $! >ready.new; mv ready.new ready; wait; wait"
    deaf = process.spawn(Command(("sh", "-c", script), cwd=tmp_path), tmp_path / "log")
    while not (tmp_path / "ready").exists():
        assert process.is_alive(deaf)
    grandchild = process.identify(int((tmp_path / "ready").read_text()))
    assert grandchild is not None
    assert not process.stop(deaf, signal.SIGTERM, deadline=0.1)
    assert not process.is_alive(deaf)
    assert not process.is_alive(grandchild)


def test_a_paused_process_can_be_stopped(child: Process) -> None:
    process.signal_tree(child, signal.SIGSTOP)
    assert process.stop(child, signal.SIGTERM, deadline=10.0)


def test_the_tail_of_a_log_starts_at_the_offset(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("old\nnew 1\nnew 2\n")
    assert process.tail(log, offset=4) == "new 1\nnew 2"
    assert process.tail(log, lines=1) == "new 2"
    assert process.tail(tmp_path / "none") == ""


def test_a_name_with_brackets_and_spaces_does_not_confuse(tmp_path: Path) -> None:
    odd = tmp_path / "a) (b 1"
    odd.symlink_to("/usr/bin/tail")
    spawned = process.spawn(Command((str(odd), "-f", "/dev/null"), cwd=tmp_path), tmp_path / "log")
    assert process.is_alive(spawned)
    assert process.identify(spawned.pid) == spawned
    process.kill(spawned)


def test_a_process_is_in_a_session_of_its_own(child: Process) -> None:
    assert os.getsid(child.pid) == child.pid != os.getsid(0)
