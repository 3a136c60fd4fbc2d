"""Programs in other languages: each toolchain, installed by apt where it is missing, and how a program is built."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from holonstream.local.install import GO, JAVA, MAVEN, NODE, NPM, Program, require

BUILD_TIMEOUT = 600.0  # seconds; the first build downloads
RUN_TIMEOUT = 120.0  # seconds


@dataclass(frozen=True)
class Built:
    """A program that is ready to run."""

    command: Sequence[str]
    folder: Path

    def run(self, text: str = "", *arguments: str, **environment: str) -> str:
        """What it prints when it reads this; an exit code that is not 0 fails the test."""
        return _run([*self.command, *arguments], self.folder, RUN_TIMEOUT, text, environment)


def node(source: Path, into: Path, main: str) -> Built:
    """A package.json and its main file."""
    folder = _copied(source, into, [NODE, NPM])
    quiet = ("--no-package-lock", "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error")
    _run(["npm", "install", *quiet], folder, BUILD_TIMEOUT)
    return Built(["node", main], folder)


def go(source: Path, into: Path) -> Built:
    """A module with a main package."""
    folder = _copied(source, into, [GO])
    _run(["go", "build", "-o", "program", "."], folder, BUILD_TIMEOUT, environment={"GOTOOLCHAIN": "local"})
    return Built(["./program"], folder)


def java(source: Path, into: Path, main: str) -> Built:
    """A pom.xml with the libraries, and one source file."""
    folder = _copied(source, into, [JAVA, MAVEN])
    maven = ("mvn", "-q", "-B", "-Dstyle.color=never", "dependency:copy-dependencies")
    _run([*maven, "-DoutputDirectory=libs", "-DincludeScope=runtime"], folder, BUILD_TIMEOUT)
    return Built(["java", "-cp", "libs/*", main], folder)


def _copied(source: Path, into: Path, programs: Iterable[Program]) -> Path:
    require(programs, print)
    return Path(shutil.copytree(source, into, dirs_exist_ok=True))


def _run(
    command: Sequence[str], folder: Path, timeout: float, text: str = "", environment: dict[str, str] | None = None
) -> str:
    done = subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, **(environment or {})},
        input=text,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
    assert done.returncode == 0, f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}"
    return done.stdout
