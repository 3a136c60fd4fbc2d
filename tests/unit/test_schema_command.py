"""``holonstream schemas``, as it is typed."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from holonstream.ops.commands.schemas import schemas
from holonstream.ops.settings import Settings
from holonstream.schemas.errors import BadData
from holonstream.schemas.vocabulary import shipped_events
from tests.unit.test_schema_versions import FIRST, SECOND, write

SHIPPED = Path(str(shipped_events()))


def run(*arguments: str | Path, settings: Settings | None = None) -> Result:
    given = [str(argument) for argument in arguments]
    return CliRunner().invoke(schemas, given, obj=settings or Settings(schemas=None), catch_exceptions=False)


def test_check(tmp_path: Path) -> None:
    result = run("check")
    assert (result.exit_code, result.output) == (0, "59 event types: no faults\n")
    write(tmp_path, FIRST)
    assert run("check", tmp_path).output == "60 event types: no faults\n"
    assert run("check", settings=Settings(schemas=tmp_path)).output == "60 event types: no faults\n"
    write(tmp_path, {**FIRST, "title": ""})
    result = run("check", tmp_path)
    assert result.exit_code == 1
    assert result.stdout == f"{tmp_path}/PumpChecked.v1.json#/title: '' should be non-empty\n"


def test_diff_of_files(tmp_path: Path) -> None:
    write(tmp_path, FIRST, SECOND)
    old, new = tmp_path / "PumpChecked.v1.json", tmp_path / "PumpChecked.v2.json"
    assert (run("diff", old, old).exit_code, run("diff", old, old).output) == (0, "compatible\n")
    result = run("diff", old, new)
    assert result.exit_code == 1
    assert "PumpChecked.v2.json: incompatible #/required: 'status' became required" in result.stdout.splitlines()


def test_diff_of_folders_with_their_own_vocabulary(tmp_path: Path) -> None:
    shutil.copytree(SHIPPED, tmp_path / "events")
    vocabulary = json.loads((SHIPPED.parent / "vocabulary.schema.json").read_text())
    vocabulary["$defs"]["relationshipType"]["enum"].remove("USES")
    (tmp_path / "vocabulary.schema.json").write_text(json.dumps(vocabulary))
    assert run("diff", tmp_path / "events", SHIPPED).output == "compatible\n"
    result = run("diff", SHIPPED, tmp_path / "events")
    assert result.exit_code == 1
    fault = "AssignmentStarted.v1.json: incompatible #/properties/relationshipType/enum: no longer accepts 'USES'\n"
    assert result.stdout == fault
    (tmp_path / "events" / "TaskStarted.v1.json").unlink()
    assert "TaskStarted.v1.json: incompatible #: " in run("diff", SHIPPED, tmp_path / "events").stdout
    refused = run("diff", SHIPPED, SHIPPED / "TaskStarted.v1.json")
    assert refused.exit_code == 2
    assert "Cannot compare a folder with a file" in refused.stderr


def test_docs(tmp_path: Path) -> None:
    folder = tmp_path / "docs"
    assert run("docs", "--check", "--folder", folder).exit_code == 1
    assert not folder.exists()
    assert run("docs", "--folder", folder).output.count(": written\n") == 2
    assert (run("docs", "--check", "--folder", folder).exit_code, run("docs", "--folder", folder).output) == (0, "")
    (folder / "catalogue.md").write_text("old")
    result = run("docs", "--check", "--folder", folder)
    assert (result.exit_code, result.output.count("not current")) == (1, 1)


def test_what_is_written_is_one_document_with_json(tmp_path: Path) -> None:
    folder = tmp_path / "docs"
    pages = [str(folder / name) for name in ("catalogue.md", "asyncapi.yaml")]
    assert json.loads(run("docs", "--folder", folder, "--check", "--json").stdout) == {"stale": pages, "written": False}
    assert json.loads(run("docs", "--folder", folder, "--json").stdout) == {"stale": pages, "written": True}
    module = tmp_path / "events.py"
    made = json.loads(run("types", "--out", module, "--json").stdout)
    assert (made["event_types"], made["file"], made["module"]) == (59, str(module), module.read_text())
    made = json.loads(run("new", "HangarOpened", "--folder", folder, "--json").stdout)
    assert made == {"file": f"{folder}/HangarOpened.v1.json", "event_type": "HangarOpened", "schema_version": 1}


def test_new(tmp_path: Path) -> None:
    folder = tmp_path / "own"
    assert run("new", "HangarOpened", "--folder", folder).exit_code == 0
    assert run("new", "CrewRotated", "--stream", "relationship", "--folder", folder).exit_code == 0
    own = Settings(schemas=folder)
    assert run("check", settings=own).output == "61 event types: no faults\n"
    assert "HangarOpened.v2.json: written" in run("new", "HangarOpened", settings=own).output
    assert run("check", settings=own).output == "61 event types: no faults\n"
    refused = run("new", "no name", "--folder", folder)
    assert refused.exit_code == 2
    assert "Not a name of an event type: 'no name'" in refused.stderr
    with pytest.raises(BadData, match=r"CrewRotated\.v1\.json exists already"):
        run("new", "CrewRotated", "--folder", folder)
