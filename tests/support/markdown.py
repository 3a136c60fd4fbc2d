"""The code blocks of a page of docs: files to save, and shell sessions to run and compare.

A fenced block is a file when the line before it ends with a colon and names one in backquotes (*Save this as
`shop.py`:*). It is a session when its language is ``console``: lines that begin with ``$ `` are commands, the lines
after each are what it prints, where ``...`` stands for anything, also for several lines.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

_BLOCK = re.compile(r"^(?P<lead>[^\n]*)\n+```(?P<language>\w+)\n(?P<body>.*?)^```$", re.MULTILINE | re.DOTALL)
_FILE = re.compile(r"`([\w./-]+\.\w+)`[^`]*:$")


@dataclass(frozen=True)
class Command:
    """A line of a session, and what it prints."""

    line: str
    output: str


@dataclass(frozen=True)
class Block:
    """A fenced block; `file` is where it is to be saved, if anywhere."""

    language: str
    body: str
    file: str | None

    def commands(self) -> Iterator[Command]:
        """The commands of a session."""
        for part in re.split(r"^\$ ", self.body, flags=re.MULTILINE)[1:]:
            line, _, output = part.partition("\n")
            yield Command(line, output)


def blocks(page: Path) -> list[Block]:
    """The fenced blocks of a page, in order."""
    found = []
    for match in _BLOCK.finditer(page.read_text()):
        file = _FILE.search(match["lead"])
        found.append(Block(match["language"], match["body"], file[1] if file else None))
    return found


def matches(printed: str, expected: str) -> bool:
    """Whether a command printed what the page says; blanks at the ends of lines do not count."""
    pattern = ".*".join(re.escape(part) for part in _trimmed(expected).split("..."))
    return re.fullmatch(pattern, _trimmed(printed), re.DOTALL) is not None


def _trimmed(text: str) -> str:
    return "\n".join(line.rstrip() for line in text.rstrip().splitlines())


class Shell:
    """One bash for a whole page, so that settings and background jobs stay from command to command."""

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        self._bash = subprocess.Popen(
            ["bash", "--norc"],
            cwd=folder,
            env=dict(environment),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, line: str) -> str:
        """What a command prints, on both outputs."""
        assert self._bash.stdin is not None
        assert self._bash.stdout is not None
        self._bash.stdin.write(f"{line}\necho; echo {_END}\n")
        self._bash.stdin.flush()
        printed = ""
        for text in self._bash.stdout:
            if text.startswith(_END):
                return printed.removesuffix("\n")
            printed += text
        raise AssertionError(f"the shell ended at: {line}\n{printed}")

    def close(self) -> None:
        """End the shell, and the jobs that it still has in the background."""
        self._bash.communicate("kill $(jobs -p) 2>/dev/null; wait\n", timeout=60)


_END = "end-of-command"
