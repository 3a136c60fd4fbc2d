"""Children end with the process that has started them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from holonstream.local import process
from tests.support.waiting import wait_until

OWNER = """
import signal, sys
from pathlib import Path
from holonstream.ops.processes import Processes
processes = Processes({}, Path(sys.argv[1]))
for name in ("first", "second"):
    print(processes.start_module(name, "http.server", "0", "--bind", "127.0.0.1").pid, flush=True)
signal.pause()
"""


def test_children_of_a_killed_process_are_killed(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", OWNER, str(tmp_path)], stdout=subprocess.PIPE) as owner:
        assert owner.stdout is not None
        pids = [int(owner.stdout.readline()) for _ in range(2)]
        assert all(map(process.identify, pids))
        owner.kill()
    wait_until(lambda: not any(map(process.identify, pids)), "the children are gone", 60)
