"""``holonstream schemas check --against-log`` on a real log."""

from __future__ import annotations

import json
from pathlib import Path

from click.testing import CliRunner

from holonstream.client.settings import Secret
from holonstream.ops.commands.schemas import schemas
from holonstream.ops.settings import Settings
from holonstream.producers.log.schema import apply_schema
from holonstream.producers.log.store import PostgresEventStore
from holonstream.schemas.catalogue import Catalogue
from holonstream.schemas.event import Event
from tests.unit.test_schema_versions import FIRST, SECOND, write


def pump(payload: dict[str, object]) -> Event:
    return Event(
        type="PumpChecked",
        occurred_at="2024-03-01T08:00:00.000Z",
        actor="tester",
        subjects=("pump-1",),
        source_system="tests",
        payload=payload,
    )


def test_events_that_newer_schemas_would_refuse_are_named(postgres_dsn: str, tmp_path: Path) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    for folder in (old, new):
        folder.mkdir()
    known = Catalogue.load(write(old, FIRST))
    apply_schema(postgres_dsn, known)
    with PostgresEventStore(postgres_dsn, known) as store:
        store.append([pump({"state": "ok"}), pump({"state": 5})])

    def run(folder: Path) -> tuple[int, str]:
        settings = Settings(postgres_dsn=Secret(postgres_dsn), schemas=folder)
        result = CliRunner().invoke(schemas, ["check", "--against-log"], obj=settings, catch_exceptions=False)
        return result.exit_code, result.stdout

    write(new, FIRST, SECOND)
    code, output = run(old)
    assert (code, output.splitlines()[-1]) == (0, "no event of the log would be refused")

    code, output = run(new)  # lifted to version 2, the state 5 is no status
    assert code == 1
    refusal = output.splitlines()[-1]
    assert refusal.startswith("position 2 holon/pump-1 version 2: Invalid payload: PumpChecked (event ")
    assert json.dumps("string") in refusal
