"""The test kit over a real PostgreSQL: the page's example, and a database of its own for every test."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest

from holonstream import local
from holonstream.testing.databases import temporary_database, with_database
from tests.support.markdown import blocks

PAGE = Path(__file__).parents[2] / "docs" / "testing.md"
KEPT_APART = """
import pytest

from holonstream.client import Event


@pytest.mark.parametrize("number", [1, 2])
def test_every_test_has_a_log_of_its_own(number, holonstream_postgres_dsn, holonstream_sync_client, holonstream_graph):
    fact = Event(type="PersonCreated", occurred_at="2026-01-01", actor="a", subjects=("ada",), source_system="test")
    with holonstream_graph.lagging():
        (appended,) = holonstream_sync_client.append([fact])
        assert appended.version == 1
        assert holonstream_sync_client.get_holon("ada") is None
    assert holonstream_sync_client.get_holon("ada", at_least=appended.token) is not None
"""


@pytest.fixture
def server(stack: local.Stack) -> str:
    return stack.env()["HOLONSTREAM_POSTGRES_DSN"]


def databases(server: str) -> set[str]:
    with psycopg.connect(server) as connection:
        rows = connection.execute("SELECT datname FROM pg_database WHERE datname LIKE 'holonstream_test_%'")
        return {name for (name,) in rows}


def test_a_services_own_transaction_is_tested_truly(server: str, tmp_path: Path) -> None:
    for block in blocks(PAGE):
        if block.file in ("orders.py", "test_orders.py"):
            (tmp_path / block.file).write_text(block.body)
    (tmp_path / "test_kept_apart.py").write_text(KEPT_APART)
    before = databases(server)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")}
    done = subprocess.run(
        [sys.executable, "-m", "pytest"],
        cwd=tmp_path,
        env={**environment, "HOLONSTREAM_POSTGRES_DSN": server},
        capture_output=True,
        text=True,
    )
    assert "3 passed" in done.stdout, done.stdout + done.stderr
    assert databases(server) <= before


def test_a_temporary_database_is_dropped_with_connections_open(server: str) -> None:
    with temporary_database(server) as dsn:
        left = psycopg.connect(dsn)
        assert left.execute("SELECT current_database()").fetchone() == (dsn.rpartition("/")[2],)
    with pytest.raises(psycopg.OperationalError):
        left.execute("SELECT 1")
    left.close()


@pytest.mark.parametrize(
    ("server", "expected"),
    [
        ("postgresql://ada@db:5432/shop?sslmode=require", "postgresql://ada@db:5432/test?sslmode=require"),
        ("postgresql://db", "postgresql://db/test"),
        ("user=ada host=db dbname=shop", "user=ada dbname=test host=db"),
    ],
)
def test_a_connection_string_keeps_its_form(server: str, expected: str) -> None:
    assert with_database(server, "test") == expected
