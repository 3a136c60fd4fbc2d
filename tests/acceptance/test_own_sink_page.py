"""docs/own-sink.md as it is typed; then workers die in the middle, and the index is still what the log says."""

from __future__ import annotations

import sys
from pathlib import Path

import psycopg
import pytest

from holonstream.client.settings import PREFIX
from holonstream.producers.log.store import PostgresEventStore
from holonstream.schemas.catalogue import Catalogue
from holonstream.schemas.event import parse_events
from holonstream.schemas.projection import fold
from holonstream.schemas.state import Holon, holon_document
from tests.fix_pipeline import Pipeline
from tests.support.markdown import Shell, blocks, matches
from tests.support.waiting import wait_until

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "own-sink.md"
EXAMPLE = ROOT / "examples" / "search" / "search_index.py"
KILLS = 2
START = "holonstream worker search_index:make >> search.log 2>&1 &"


def index(dsn: str) -> dict[str, Holon]:
    """What the index has, by stream."""
    with psycopg.connect(dsn) as connection:
        rows = connection.execute("SELECT stream, holon FROM search.holons").fetchall()
    return {stream: Holon(**holon) for stream, holon in rows}


@pytest.mark.faults
def test_the_page_runs_as_it_is_typed_and_the_index_is_what_the_log_says(
    pipeline: Pipeline, pipeline_shell: Shell, tmp_path: Path, small_organisation: Path
) -> None:
    shell, folder, dsn = pipeline_shell, tmp_path / "empty", pipeline.environment[f"{PREFIX}POSTGRES_DSN"]
    commands = files = 0
    for block in blocks(PAGE):
        if block.file is not None:
            (folder / block.file).write_text(block.body)
            files += 1
        elif block.language == "console" and "pytest" not in block.body:
            for command in block.commands():
                line = command.line
                if line.endswith("<<END"):  # the page shows the lines that follow as a shell does
                    line += "\n" + "".join(f"{text[2:]}\n" for text in command.output.splitlines())
                printed = shell.run(line)
                if not line.startswith("cat >"):
                    assert matches(printed, command.output), f"$ {line}\n{printed}\n{log_of(folder)}"
                commands += 1
    assert (files, commands) == (2, 17)
    assert (folder / "search_index.py").read_text() == EXAMPLE.read_text()
    wait_until(lambda: "parked" not in shell.run("holonstream status"), "the redriven stream is named no more")

    # workers die in the middle, again and again, and partitions move between two
    shell.run(START)
    facts = parse_events(small_organisation.read_bytes(), "events")
    with psycopg.connect(dsn, autocommit=True) as connection, PostgresEventStore(dsn, Catalogue.load()) as log:
        for start in range(0, len(facts), len(facts) // KILLS + 1):
            before = written(connection)
            log.append(facts[start : start + len(facts) // KILLS + 1])
            wait_until(lambda before=before: written(connection) > before, "a worker has gone on")  # type: ignore[misc]
            shell.run("kill -9 $!; wait $!")
            shell.run(START)
    printed = shell.run("holonstream wait --view sink-search --timeout 120s; echo code $?")
    assert "code 0" in printed, f"{printed}\n{log_of(folder)}"
    with PostgresEventStore(dsn, Catalogue.load()) as log:
        states = fold(Catalogue.load(), log.read())
    expected = {stream: state for stream, state in states.items() if isinstance(state, Holon)}
    found = index(dsn)
    assert {s: holon_document(h) for s, h in found.items()} == {s: holon_document(h) for s, h in expected.items()}

    # the suite that the page shows
    shell.run("kill -9 $(jobs -p); wait")
    printed = shell.run(f"{sys.executable} -m pytest -q -p no:cacheprovider test_search_index.py")
    assert "14 passed" in printed, printed


def written(connection: psycopg.Connection[tuple[str]]) -> int:
    """How far all partitions are written, in offsets."""
    rows = connection.execute("SELECT checkpoint FROM search.checkpoints WHERE checkpoint <> ''").fetchall()
    return sum(int(text.split()[0]) for (text,) in rows)


def log_of(folder: Path) -> str:
    return (folder / "search.log").read_text()[-3000:] if (folder / "search.log").exists() else ""
