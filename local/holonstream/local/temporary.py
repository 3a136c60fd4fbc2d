"""
A stack that is gone with the process that made it, however that process ends.

`atexit` and `finally` do not run at SIGKILL, so a second process, the guard, holds the reading end of a pipe and takes
the stack down when the writing end closes: at the end of the `with` block, or by the kernel when its owner dies.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from holonstream.local import process
from holonstream.local.errors import LocalStackError
from holonstream.local.stack import SERVICES, Stack


@contextmanager
def temporary_stack(
    *,
    services: Sequence[str] = SERVICES,
    progress: Callable[[str], None] = lambda line: None,
    brokers: int = 1,
    short_lived: bool = False,
) -> Iterator[Stack]:
    """
    A stack in a temporary folder, up inside the block and deleted after it; PostgreSQL runs without fsync.

    `short_lived` is for one that works for a minute or two.

    Raises LocalStackError if it cannot be started or not be taken down.
    """
    folder = Path(tempfile.mkdtemp(prefix="holonstream-"))
    # So that the user postgres can enter it when root runs the stack.
    folder.chmod(0o755)
    guard = subprocess.Popen(
        [sys.executable, "-m", "holonstream.local.temporary", str(folder)],
        cwd=Path(__file__).parent.parent,
        stdin=subprocess.PIPE,
        start_new_session=True,  # Ctrl-C is for its owner
    )
    try:
        stack = Stack(
            folder, services=services, progress=progress, fsync=False, brokers=brokers, short_lived=short_lived
        )
        stack.up()
        yield stack
    finally:
        assert guard.stdin is not None
        guard.stdin.close()
        ended = guard.wait()
        process.reap()
        if ended != 0:
            raise LocalStackError(f"the stack in {folder} could not be taken down")


def _guard(folder: Path) -> None:
    sys.stdin.read()
    Stack(folder).down(wipe=True)
    shutil.rmtree(folder, ignore_errors=True)  # there is no stack in it if its start failed early


if __name__ == "__main__":
    _guard(Path(sys.argv[1]))
