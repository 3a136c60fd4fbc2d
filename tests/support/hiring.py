"""What each small program of examples/ must do: append an event and insert a row, or neither, and print the token."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

import psycopg

from holonstream.producers.log.schema import apply_schema
from holonstream.producers.log.store import PostgresEventStore
from holonstream.schemas.catalogue import Catalogue
from holonstream.schemas.token import Token

NAME = 'Ada "é" O\'Neil \\ 1'


def check_program(command: Sequence[str], folder: Path, dsn: str) -> None:
    """Hire people by a program; ID, NAME and DSN in its command are placeholders."""
    apply_schema(dsn, Catalogue.load())

    def hire(person: str, name: str) -> subprocess.CompletedProcess[str]:
        values = {"ID": person, "NAME": name, "DSN": dsn}
        given = [values.get(part, part.replace("=ID", f"={person}").replace("=NAME", f"={name}")) for part in command]
        environment = os.environ | {"DATABASE_URL": dsn}
        return subprocess.run(
            given, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=120
        )

    hired = hire("p-1", NAME)
    assert hired.returncode == 0, hired.stdout + hired.stderr
    with psycopg.connect(dsn, autocommit=True) as connection, PostgresEventStore(dsn, Catalogue.load()) as log:
        (event,) = log.read()
        assert (event.subjects, event.payload) == (("p-1",), {"name": NAME})
        assert Token.parse(hired.stdout.strip()) == Token({"holon/p-1": event.position})

        refused = hire("p-1", "another")  # by the log
        assert refused.returncode != 0
        assert "HS003: " in refused.stderr
        assert "Wrong expected version: stream holon/p-1 is at version 1, expected 0" in refused.stderr

        connection.execute("INSERT INTO people VALUES ('p-2', 'there already')")
        refused = hire("p-2", "another")  # by the table
        assert refused.returncode != 0
        assert "23505: " in refused.stderr

        assert connection.execute("SELECT * FROM people ORDER BY id").fetchall() == [
            ("p-1", NAME),
            ("p-2", "there already"),
        ]
        assert list(log.read()) == [event]
