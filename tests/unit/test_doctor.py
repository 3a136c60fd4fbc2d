"""What doctor makes of what it has read."""

from __future__ import annotations

from pathlib import Path

import pytest

from holonstream.ops import doctor
from holonstream.ops.doctor import Findings


def checked(folder: Path | None, address: str) -> doctor.Check:
    findings = Findings("Kafka")
    findings.disk(None if folder is None else str(folder), address, "data: ")
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


def test_the_disk_of_another_machine_is_not_guessed(tmp_path: Path) -> None:
    for folder, address in ((tmp_path, "kafka.internal:9092"), (None, "127.0.0.1"), (tmp_path / "none", "127.0.0.1")):
        check = checked(folder, address)
        assert check.state == "ok"
        assert "own machine only" in check.detail
