"""docs/testing.md: its examples pass, with pytest's fixtures found by the entry point alone."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from holonstream.schemas.tooling.skeleton import skeleton
from tests.support.markdown import blocks

WITHOUT_EXTRAS = """
import sys

EXTRAS = "aiokafka click confluent_kafka cramjam faust jsonschema mode neo4j prometheus_client redis rich structlog"
sys.modules.update(dict.fromkeys(EXTRAS.split()))  # to import one of them is now an error
"""
PAGE = Path(__file__).parents[2] / "docs" / "testing.md"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The page's files, as a reader saves them."""
    for block in blocks(PAGE):
        if block.file is not None:
            (tmp_path / block.file).write_text(block.body)
    return tmp_path


def run(folder: Path, *arguments: str, code: int = 0, **variables: str) -> str:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")} | variables
    done = subprocess.run([sys.executable, *arguments], cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout


def test_the_unit_tests_pass(folder: Path) -> None:
    (folder / "conftest.py").unlink()
    assert "2 passed" in run(folder, "-m", "pytest", "test_shop.py")


def test_the_plain_installation_is_enough(folder: Path) -> None:
    (folder / "conftest.py").unlink()
    (folder / "sitecustomize.py").write_text(WITHOUT_EXTRAS)
    assert "2 passed" in run(folder, "-m", "pytest", "test_shop.py", PYTHONPATH=str(folder))


def test_a_catalogue_beside_the_tests_is_used(folder: Path) -> None:
    (folder / "schemas").mkdir()
    (folder / "schemas" / "catalogue.json").write_text('{"holonTypes": ["Order"], "relationshipTypes": ["HAS"]}')
    (folder / "schemas" / "OrderPlaced.v1.json").write_text(skeleton("OrderPlaced", creates="Order"))
    assert "Unknown event type: 'PersonCreated'" in run(folder, "-m", "pytest", "test_shop.py", code=1)


def test_the_same_by_hand(folder: Path) -> None:
    run(folder, "by_hand.py")


def test_a_database_needs_a_server(folder: Path) -> None:
    (folder / "conftest.py").unlink()
    printed = run(folder, "-m", "pytest", "test_orders.py", code=1)
    assert "holonstream_postgres_dsn needs a server: set HOLONSTREAM_POSTGRES_DSN" in printed


def test_the_plugin_alone_imports_no_part_of_holonstream(tmp_path: Path) -> None:
    (tmp_path / "test_nothing.py").write_text(
        "import sys\n"
        "def test_nothing():\n"
        "    ours = {name for name in sys.modules if name.startswith('holonstream.')}\n"
        "    assert ours == {'holonstream.testing', 'holonstream.testing.plugin'}\n"
    )
    assert "1 passed" in run(tmp_path, "-m", "pytest", "test_nothing.py")
