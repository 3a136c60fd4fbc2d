"""Numbered migrations of a store: files ``0001_name.sql`` or ``.cypher``. They go forward only; each is run once."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import version
from importlib.resources import files
from pathlib import PurePath

from holonstream.schemas.errors import SchemaNewer
from holonstream.schemas.statements import read_text


@dataclass(frozen=True, slots=True)
class Migration:
    """One step of an upgrade: a numbered migration, or number 0, what is stated whole and made when it is missing."""

    number: int
    name: str
    text: str


@dataclass(frozen=True, slots=True)
class AppliedMigration:
    """A step that a store has had."""

    number: int
    name: str
    release: str
    """of holonstream, that applied it"""
    applied_at: datetime


@dataclass(frozen=True, slots=True)
class SchemaStatus:
    """What a store has had, and what an upgrade would do, in order."""

    applied: list[AppliedMigration]
    pending: list[Migration]


def read_migrations(package: str, folder: str) -> list[Migration]:
    """All numbered migrations of this release in a folder of a package, in order."""
    names = sorted(file.name for file in (files(package) / folder).iterdir() if file.name[:4].isdigit())
    return [Migration(int(name[:4]), PurePath(name).stem, read_text(package, f"{folder}/{name}")) for name in names]


def pending_migrations(
    store: str, migrations: Iterable[Migration], applied: Iterable[AppliedMigration]
) -> list[Migration]:
    """Those that a store has not had. Raises SchemaNewer when a later release has upgraded it."""
    known = {migration.number: migration for migration in migrations}
    for step in applied:
        if step.number not in {*known, 0} or _release(step.release) > _release(version("holonstream")):
            raise SchemaNewer(
                f"{store} is newer: holonstream {step.release} applied {step.name}, this is holonstream "
                f"{version('holonstream')}. Run `holonstream init` of that release or of a later one"
            )
        known.pop(step.number, None)
    return list(known.values())


def _release(text: str) -> list[int]:
    """A release's number, comparable."""
    return [int(part) if part.isdigit() else 0 for part in text.split(".")]
