"""The tutorial works as it is written: every file and every command of docs/tutorial.md, in an empty folder."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from tests.support.markdown import Shell, blocks, matches

TUTORIAL = Path(__file__).parents[2] / "docs" / "tutorial.md"


def test_the_tutorial_runs_as_it_is_written(tmp_path: Path) -> None:
    # python and holonstream are those of this environment, as in an activated one
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    shell = Shell(tmp_path, {**os.environ, "PATH": path})
    ran = 0
    try:
        for block in blocks(TUTORIAL):
            if block.file is not None:
                (tmp_path / block.file).write_text(block.body)
            elif block.language == "console":
                for command in block.commands():
                    printed = shell.run(command.line)
                    assert matches(printed, command.output), f"$ {command.line}\n{printed}\n{_logs(tmp_path)}"
                    ran += 1
        assert ran > 20
    finally:
        shell.run("holonstream local down --wipe")
        shell.close()


def _logs(folder: Path) -> str:
    """The ends of what the tutorial's processes logged."""
    return "\n".join(f"--- {log.name}\n{log.read_text()[-3000:]}" for log in sorted(folder.glob("*.log")))
