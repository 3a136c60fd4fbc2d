"""The import rule of ARCHITECTURE.md, and what must not stand in the code."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ALLOWED = {
    "schemas": set[str](),
    "local": set[str](),
    "producers": {"schemas"},
    "sinks": {"schemas"},
    "streams": {"schemas", "sinks"},
    "client": {"schemas", "producers", "sinks"},
    "testing": {"schemas", "producers", "sinks", "client"},
    "ops": {"schemas", "producers", "sinks", "streams", "client", "local", "demo"},
    "demo": {"schemas", "producers", "sinks", "streams", "client", "ops", "local"},
}


FOLDERS = {package: package for package in ALLOWED} | {"testing": "client"}


def _home(package: str) -> Path:
    return ROOT / FOLDERS[package] / "holonstream" / package


def _files(package: str) -> list[Path]:
    files = list(_home(package).rglob("*.py"))
    assert files
    return files


def _imports(file: Path) -> Iterator[str]:
    """Every module that a file imports, by its whole name."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: relative import"
            if node.module == "holonstream":
                yield from (f"holonstream.{alias.name}" for alias in node.names)
            else:
                yield node.module or ""


@pytest.mark.parametrize("package", ALLOWED)
def test_a_package_imports_only_what_lies_below_it(package: str) -> None:
    for file in _files(package):
        names = list(_imports(file))
        assert not {"tests", "benchmarks"} & {name.split(".")[0] for name in names}, file
        ours = {name.split(".")[1] for name in names if name.startswith("holonstream.")}
        assert ours <= ALLOWED[package] | {package}, f"{file.relative_to(ROOT)} imports {ours - ALLOWED[package]}"


def test_no_file_lies_in_the_namespace_itself() -> None:
    """An ``__init__.py`` in one portion would hide the others."""
    for package in ALLOWED:
        assert not (_home(package).parent / "__init__.py").exists()
        assert not list((ROOT / FOLDERS[package]).glob("*.py"))


def test_faust_stays_in_streams() -> None:
    for package in ALLOWED.keys() - {"streams"}:
        for file in _files(package):
            assert not {"faust", "mode", "aiokafka"} & {name.split(".")[0] for name in _imports(file)}, file


def test_only_the_schemas_command_needs_the_tooling_of_schemas() -> None:
    """It needs jsonschema, which a service that appends does not install."""
    for package in ALLOWED:
        for file in _files(package):
            if file.parent.name != "tooling" and file.parts[-3:] != ("ops", "commands", "schemas.py"):
                names = set(_imports(file))
                assert not {"jsonschema", "referencing"} & {name.split(".")[0] for name in names}, file
                assert not any(name.startswith("holonstream.schemas.tooling") for name in names), file


def _foreign_privates(tree: ast.AST) -> Iterator[str]:
    """Private attributes that a module uses on anything but ``self``."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and _is_private(node.attr) and ast.unparse(node.value) != "self":
            yield f"{ast.unparse(node)} in line {node.lineno}"


def _is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__")


def test_private_parts_of_faust_and_aiokafka_are_used_in_two_modules_alone() -> None:
    for file in _files("streams"):
        if file.name not in ("transport.py", "aiokafka_fixes.py"):
            assert not list(_foreign_privates(ast.parse(file.read_text()))), file
    from holonstream.streams.app import SinkApp
    from holonstream.streams.transport import WorkerApp

    source = ast.parse((ROOT / "streams/holonstream/streams/app.py").read_text())
    used = {node.attr for node in ast.walk(source) if isinstance(node, ast.Attribute)} | set(vars(SinkApp))
    assert not set(filter(_is_private, used)) & set(dir(WorkerApp)) - {"_abc_impl"}


def test_a_client_needs_no_package_for_metrics_before_it_exports_them() -> None:
    script = "import sys, holonstream.client; print([name for name in sys.modules if name.startswith('prometheus')])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_statements_stay_in_their_files() -> None:
    statement = re.compile(r'f"{1,3}[^"]*\b(SELECT|INSERT|UPDATE|DELETE|MATCH|MERGE|UNWIND)\s')
    for package in ALLOWED:
        for file in _files(package):
            assert not statement.search(file.read_text()), file


def test_no_test_sleeps_skips_or_mocks() -> None:
    forbidden = re.compile(r"\bsleep\(|pytest\.skip|mark\.(skip|xfail)|unittest\.mock|MagicMock")
    for file in (ROOT / "tests").rglob("*.py"):
        if file != Path(__file__):
            assert not forbidden.search(file.read_text()), file


def test_every_package_is_typed() -> None:
    for package in ALLOWED:
        assert (_home(package) / "py.typed").exists()
