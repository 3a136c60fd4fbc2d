"""The Dockerfile copies, installs and runs what exists. (No Docker engine: the image itself is not built here.)"""

from __future__ import annotations

import json
import re
import shlex
import tomllib
from pathlib import Path

import pytest

from holonstream.client.settings import PREFIX
from holonstream.ops import probe
from holonstream.ops.settings import Settings

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def instructions() -> list[tuple[str, str]]:
    """Each instruction and its arguments."""
    text = re.sub(r"^#.*\n", "", (ROOT / "Dockerfile").read_text(), flags=re.M).replace("\\\n", " ")
    found = [line.partition(" ") for line in text.splitlines() if line.strip()]
    return [(name, arguments) for name, _, arguments in found]


def copied(instructions: list[tuple[str, str]]) -> set[str]:
    """What is copied from the project."""
    return {
        source
        for name, arguments in instructions
        if name == "COPY" and not arguments.startswith("--from=build")
        for source in shlex.split(arguments)[:-1]
    }


def test_what_is_built_with_does_not_come_along(instructions: list[tuple[str, str]]) -> None:
    bases = [arguments for name, arguments in instructions if name == "FROM"]
    assert len(bases) == 2
    assert bases[0] == f"{bases[1]} AS build"
    last = instructions[[name for name, _ in instructions].index("FROM", 1) :]
    assert "RUN" not in {name for name, _ in last}


def test_it_holds_every_package_and_nothing_else(instructions: list[tuple[str, str]]) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    folders = project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    packages = {folder.removesuffix("/holonstream") for folder in folders}
    sources = copied(instructions)
    assert sources == packages | {"pyproject.toml", "constraints.txt", "README.md", "LICENSE"}
    for source in sources:
        assert (ROOT / source).exists()
    assert {project["project"]["readme"], *project["project"]["license-files"]} <= sources


def test_nothing_but_that_is_sent_to_the_builder(instructions: list[tuple[str, str]]) -> None:
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    assert "*" in lines
    assert {line[1:] for line in lines if line.startswith("!")} == copied(instructions)


def test_it_does_not_run_as_root(instructions: list[tuple[str, str]]) -> None:
    (user,) = [arguments for name, arguments in instructions if name == "USER"]
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", user)


def test_it_asks_the_process_how_it_is(instructions: list[tuple[str, str]]) -> None:
    (check,) = [arguments for name, arguments in instructions if name == "HEALTHCHECK"]
    assert json.loads(check.partition(" CMD ")[2]) == ["python", "-m", probe.__name__, "livez"]
    (timeout,) = re.findall(r"--timeout=(\d+)s", check)
    assert float(timeout) > probe.TIMEOUT


def test_settings_that_the_image_reads_exist() -> None:
    known = {PREFIX + name.upper() for name in Settings.__struct_fields__}
    for file in (ROOT / "Dockerfile", Path(probe.__file__)):
        assert set(re.findall(rf"{PREFIX}\w+", file.read_text())) <= known
