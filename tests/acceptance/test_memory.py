"""The memory of real workers whose events are as large as events can be, and compress well."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.fix_pipeline import Pipeline
from tests.support.poison import envelope

pytestmark = pytest.mark.faults

LIMIT = 300 << 10  # KiB


def test_workers_stay_below_300_mib_with_events_of_850_kb(pipeline: Pipeline, tmp_path: Path) -> None:
    file = tmp_path / "events.json"
    file.write_text(json.dumps([envelope("PersonCreated", f"p-{n}", name="x" * 850_000) for n in range(200)]))
    pipeline.run("import", str(file))
    pipeline.start("relay", "graph", "cache")
    pipeline.wait_until_caught_up("graph", "cache")
    peaks = {name: _peak(child.pid) for name, child in pipeline.processes.running.items()}
    assert all(peak < LIMIT for peak in peaks.values()), peaks


def _peak(pid: int) -> int:
    found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert found is not None
    return int(found[1])
