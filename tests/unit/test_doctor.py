"""What doctor makes of what it has read."""

from __future__ import annotations

import socket
from pathlib import Path
from time import monotonic

import pytest

from holonstream.ops import doctor, servers
from holonstream.ops.doctor import Findings
from holonstream.ops.servers import ServerAddress, closed_brokers, full_disks
from holonstream.ops.settings import Settings


def server(address: str) -> ServerAddress:
    return ServerAddress("Kafka", address, lambda: None)


def checked(folder: Path | None, address: str) -> doctor.Check:
    findings = Findings(server(address))
    findings.disk(None if folder is None else str(folder), "data: ")
    (check,) = findings.checks
    return check


def test_a_disk_that_is_nearly_full_is_a_fault(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(doctor, "FULL", 0)
    monkeypatch.setattr(doctor, "LITTLE", 0)
    assert checked(tmp_path, "127.0.0.1:9092").state == "ok"
    monkeypatch.setattr(doctor, "LITTLE", 2)
    assert checked(tmp_path, "localhost:9092").state == "warning"
    monkeypatch.setattr(doctor, "FULL", 2**80)
    full = checked(tmp_path, "bolt://[::1]:7687")
    assert full.state == "fault"
    assert str(tmp_path) in full.remedy
    assert "MiB are free" in full.line()


@pytest.mark.parametrize(
    ("difference", "line", "state"),
    [
        (-0.04, "as this machine's", "ok"),
        (0.04, "as this machine's", "ok"),
        (-0.3, "0.3 s behind this machine's", "ok"),
        (2.3, "2.3 s ahead of this machine's", "warning"),
    ],
)
def test_clocks_are_compared_in_words(
    monkeypatch: pytest.MonkeyPatch, difference: float, line: str, state: str
) -> None:
    monkeypatch.setattr("time.time", lambda: 1_000_000.0)
    findings = Findings(server("127.0.0.1:9092"))
    findings.clock(1_000_000.0 + difference)
    (check,) = findings.checks
    assert (check.detail, check.state) == (line, state)


def test_the_disk_of_another_machine_is_not_guessed(tmp_path: Path) -> None:
    for folder, address in ((tmp_path, "kafka.internal:9092"), (None, "127.0.0.1"), (tmp_path / "none", "127.0.0.1")):
        check = checked(folder, address)
        assert check.state == "ok"
        assert "own machine only" in check.detail


def test_a_full_disk_is_named_where_a_server_of_this_machine_does_not_answer(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (data := tmp_path / "all data").mkdir()
    mounts = tmp_path / "mounts"
    place = str(data).replace(" ", "\\040")
    mounts.write_text(f"none /gone tmpfs rw 0 0\n/dev/a {place} ext4 rw,relatime 0 0\n/dev/a {tmp_path} ext4 rw 0 0\n")
    assert full_disks(tmp_path / "none") == []
    monkeypatch.setattr(servers, "FULL", 0)
    assert full_disks(mounts) == []
    monkeypatch.setattr(servers, "FULL", 2**80)
    monkeypatch.setattr(servers, "NO_ROOM", 2.0)
    assert full_disks(mounts) == [str(data)], "a disk is named once"
    mounts.write_text(f"/dev/a {place} squashfs ro,relatime 0 0\n")
    assert full_disks(mounts) == [], "one that nobody writes to is as it should be"
    monkeypatch.setattr(servers, "full_disks", lambda: [str(data)])
    assert f"the disk of {data} is full" in server("127.0.0.1:9092").remedy()
    assert str(data) not in server("kafka.internal:9092").remedy()


def test_a_server_behind_a_local_socket_is_on_this_machine() -> None:
    for dsn, here in (
        ("dbname=log", True),
        ("host=/run/postgresql dbname=log", True),
        ("host=db.internal dbname=log", False),
    ):
        settings = Settings.of({"HOLONSTREAM_POSTGRES_DSN": dsn})
        assert servers.servers(settings)["postgresql"].is_here is here, dsn


def test_a_broker_that_has_vanished_hides_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(servers, "CONNECT", 20.0)
    began = monotonic()
    with (
        socket.create_server(("127.0.0.1", 0), backlog=0) as vanished,
        socket.create_connection(vanished.getsockname()),  # all that it takes: the next one gets no answer
        socket.create_server(("127.0.0.1", 0)) as server,
    ):
        brokers = ",".join(f"127.0.0.1:{one.getsockname()[1]}" for one in (vanished, server))
        assert closed_brokers(Settings(kafka_bootstrap=brokers)) is None
    assert monotonic() - began < 20


def test_brokers_that_take_no_connection_are_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        assert closed_brokers(Settings(kafka_bootstrap=f"127.0.0.1:1,{address}")) is None
    found = closed_brokers(Settings(kafka_bootstrap=f"{address},127.0.0.1:1"))
    assert found == f"{address}: Connection refused; 127.0.0.1:1: Connection refused"
    assert "a..b:1: " in str(closed_brokers(Settings(kafka_bootstrap="a..b:1")))
