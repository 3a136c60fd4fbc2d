"""The pipeline under load and faults for three minutes, and two relays with a defect, which the oracle detects.

Each run has servers of its own, since it kills and restarts them. Longer ones: `make chaos`.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]


def chaos(folder: Path, *arguments: str) -> tuple[int, dict[str, Any]]:
    """The exit code of a run, and its report."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.chaos", "--json", "--evidence", str(folder), *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=600,
    )
    print(done.stderr)
    (report,) = json.loads(done.stdout)["runs"]
    return done.returncode, report


def test_no_promise_is_broken_under_load_and_faults(tmp_path: Path) -> None:
    code, report = chaos(tmp_path, "--seed", "1", "--duration", "100", "--rate", "60", "--loss", "none")
    assert report["violations"] == {}, (tmp_path / "seed-1" / "violations.json").read_text()[:5_000]
    assert code == 0
    assert report["evidence"] is None
    assert report["events"]["committed"] == report["events"]["on the topic"] > 2_000
    assert report["events"]["rolled back"] > 100
    assert report["faults_total"] >= 10
    assert report["faults_open"] == 0
    assert report["reads"]["get_holon with token"] > 50
    assert report["reads"]["of these hits"] > 20
    assert report["checks"]["states read"] > 100


@pytest.mark.parametrize(
    ("variant", "found"),
    [
        ("sequence-cursor", "an event is missing on the topic"),
        ("xmin", "a stream out of order"),
    ],
)
def test_a_relay_without_the_frontier_is_detected(tmp_path: Path, variant: str, found: str) -> None:
    code, report = chaos(tmp_path, "--seed", "1", "--duration", "10", "--rate", "300", "--variant", variant)
    assert code == 1
    assert report["violations"][found] > 0
    assert "the run itself failed" not in report["violations"]
    kept = Path(report["evidence"])
    assert found in (kept / "violations.json").read_text()
    assert (kept / "processes" / "relay-1.log").exists()
