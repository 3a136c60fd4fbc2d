"""docs/appending.md and the example in plain SQL; programs in other languages are in tests/languages."""

from __future__ import annotations

from pathlib import Path

import psycopg
import pytest

from holonstream.client.settings import PREFIX
from holonstream.producers.log.schema import apply_schema
from holonstream.schemas.catalogue import Catalogue
from tests.support.hiring import check_program
from tests.support.pages import run_blocks

ROOT = Path(__file__).parents[2]


def test_psql(postgres_dsn: str) -> None:
    command = ["psql", "-qAt", "-v", "id=ID", "-v", "name=NAME", "-f", "hire.sql", "DSN"]
    check_program(command, ROOT / "examples" / "sql", postgres_dsn)


def test_the_page_on_appending_runs_as_typed(postgres_dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    apply_schema(postgres_dsn, Catalogue.load())
    monkeypatch.setenv(f"{PREFIX}POSTGRES_DSN", postgres_dsn)
    page = (ROOT / "docs" / "appending.md").read_text()
    assert run_blocks(page) == page
    with psycopg.connect(postgres_dsn) as connection:
        assert connection.execute("SELECT person FROM orders ORDER BY id").fetchall() == [("p-2",), ("p-3",)]
        streams = connection.execute("SELECT stream FROM holonstream.events ORDER BY position").fetchall()
        assert streams == [("holon/p-1",), ("holon/p-2",), ("holon/p-3",)]
