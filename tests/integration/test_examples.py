"""The example in plain SQL appends in a transaction; those in other languages are in tests/languages."""

from __future__ import annotations

from pathlib import Path

from tests.support.hiring import check_program

EXAMPLES = Path(__file__).parents[2] / "examples"


def test_psql(postgres_dsn: str) -> None:
    command = ["psql", "-qAt", "-v", "id=ID", "-v", "name=NAME", "-f", "hire.sql", "DSN"]
    check_program(command, EXAMPLES / "sql", postgres_dsn)
