"""The programs of examples/ in other languages append in a transaction, as examples/README.md says."""

from __future__ import annotations

from pathlib import Path

from tests.languages import programs
from tests.support.hiring import check_program

EXAMPLES = Path(__file__).parents[2] / "examples"


def test_node(tmp_path: Path, postgres_dsn: str) -> None:
    built = programs.node(EXAMPLES / "node", tmp_path, "hire.js")
    check_program([*built.command, "ID", "NAME"], built.folder, postgres_dsn)


def test_go(tmp_path: Path, postgres_dsn: str) -> None:
    built = programs.go(EXAMPLES / "go", tmp_path)
    check_program([str(built.folder / "program"), "ID", "NAME"], built.folder, postgres_dsn)


def test_java(tmp_path: Path, postgres_dsn: str) -> None:
    built = programs.java(EXAMPLES / "java", tmp_path, "Hire.java")
    check_program([*built.command, "ID", "NAME"], built.folder, postgres_dsn)
