"""The documents name what exists, and all of it."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from holonstream.client.settings import PREFIX
from holonstream.ops.cli import cli
from holonstream.ops.commands.settings import page
from holonstream.ops.settings import Settings
from tests.support.markdown import blocks

ROOT = Path(__file__).parents[2]
DOCS = [
    ROOT / "README.md",
    ROOT / "ARCHITECTURE.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "SECURITY.md",
    *sorted((ROOT / "docs").rglob("*.md")),
]


def test_the_page_of_settings_is_current() -> None:
    assert (ROOT / "docs" / "settings.md").read_text() == page(), "run: holonstream settings > docs/settings.md"


def test_the_page_of_commands_is_current() -> None:
    command = [sys.executable, "-m", "holonstream.ops.reference"]  # apart: click keeps the help of what tests invoked
    made = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert (ROOT / "docs" / "cli.md").read_text() == made, "run: python -m holonstream.ops.reference > docs/cli.md"


@pytest.mark.parametrize("document", DOCS, ids=lambda file: file.name)
def test_links_lead_to_files(document: Path) -> None:
    for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", document.read_text()):
        assert (document.parent / target).exists(), f"{document.name} links to {target}"


def test_every_page_has_its_place_in_the_navigation_of_the_site() -> None:
    named = set(re.findall(r": ([\w/-]+(?:\.md|/))$", (ROOT / "mkdocs.yml").read_text(), re.MULTILINE))
    for document in (ROOT / "docs").rglob("*.md"):
        name = document.relative_to(ROOT / "docs").as_posix()
        assert {name, f"{name.partition('/')[0]}/"} & named, f"mkdocs.yml does not name {name}"


@pytest.mark.parametrize("document", DOCS, ids=lambda file: file.name)
def test_commands_that_a_document_names_exist(document: Path) -> None:
    for words in re.findall(r"(?:`|^ {4}|bin/)holonstream ((?:[a-z-]+ ?)+)", document.read_text(), re.MULTILINE):
        command: click.Command = cli
        for word in words.split():
            if not isinstance(command, click.Group):
                break
            assert word in command.commands, f"{document.name} names `holonstream {words.strip()}`"
            command = command.commands[word]


def test_settings_that_are_named_anywhere_exist() -> None:
    known = {PREFIX + name.upper() for name in Settings.__struct_fields__}
    known |= {f"{PREFIX}{name.upper()}_FILE" for name in Settings.secrets()}
    others = {PREFIX + name for name in ("LOCAL_DIR", "CACHE_DIR", "TEST_STACK_DIR", "CONFIG")}
    for file in [*DOCS, ROOT / "docker-compose.yml", *(ROOT / "local").rglob("*.py")]:
        for name in re.findall(rf"(?<!_){PREFIX}[A-Z0-9_]+", file.read_text()):
            assert name in known | others, f"{file.name} names {name}"


def _commands(group: click.Group) -> list[tuple[str, click.Command]]:
    found = []
    for name, command in group.commands.items():
        found.append((name, command))
        if isinstance(command, click.Group):
            found += [(f"{name} {inner}", leaf) for inner, leaf in _commands(command)]
    return found


@pytest.mark.parametrize(("name", "command"), _commands(cli), ids=lambda value: value if isinstance(value, str) else "")
def test_every_command_and_option_explains_itself(name: str, command: click.Command) -> None:
    assert command.help, f"holonstream {name} has no help"
    for parameter in command.params:
        if isinstance(parameter, click.Option) and parameter.name != "help":
            assert parameter.help, f"holonstream {name} {parameter.opts[0]} has no help"


@pytest.mark.parametrize("group", [cli, *(c for _, c in _commands(cli) if isinstance(c, click.Group))], ids=str)
def test_lists_of_commands_cut_no_sentence(group: click.Group) -> None:
    listed = CliRunner().invoke(group, ["--help"], terminal_width=80).output.partition("help  ")[2]
    assert all(name in listed for name in group.commands)
    assert "..." not in listed, listed


PARTS = ("schemas", "producers", "sinks", "streams", "client", "ops", "local", "demo")
FILE = re.compile(r"`([\w./*-]+(?:\.(?:py|sql|cypher|lua|json|md|yml|tf)|/))`")


def _exists(name: str, folders: list[Path]) -> bool:
    return any(any(folder.glob(name)) for folder in folders)


@pytest.mark.parametrize("document", DOCS, ids=lambda file: file.name)
def test_files_that_a_document_names_exist(document: Path) -> None:
    """`x/y.py` is in the root or in the part x; in the code map, `y.py` is in a folder that its section has named."""
    saved = {block.file for block in blocks(document)}  # by the reader
    for section in re.split(r"^## ", document.read_text(), flags=re.MULTILINE):
        folders = [ROOT, document.parent, *(ROOT / part / "holonstream" for part in PARTS)]
        for name in FILE.findall(section):
            if name in saved or name.startswith("/") or ("/" not in name and document.name != "ARCHITECTURE.md"):
                continue
            assert _exists(name, folders), f"{document.name} names `{name}`"
            if name.endswith("/"):
                folders += [found for folder in folders for found in folder.glob(name)]


def test_modules_that_docstrings_name_exist() -> None:
    for part in PARTS:
        for file in (ROOT / part).rglob("*.py"):
            for name in re.findall(rf"`((?:{'|'.join(PARTS)})(?:\.[a-z_]+)+)", file.read_text()):
                path = ROOT / name.split(".")[0] / "holonstream" / name.replace(".", "/")
                module = [p for p in (path.with_suffix(".py"), path / "__init__.py") if p.exists()]
                parent = path.parent.with_suffix(".py")
                package = path.parent / "__init__.py"
                within = [p for p in (parent, package) if p.exists() and re.search(rf"\b{path.name}\b", p.read_text())]
                assert module or within, f"{file.relative_to(ROOT)} names `{name}`"
