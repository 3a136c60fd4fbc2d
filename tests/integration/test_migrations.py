"""Upgrades of the log's schema: from the release before to what a new database is; its statements still run."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, LiteralString
from uuid import uuid4

import psycopg
import pytest
from click.testing import CliRunner

from holonstream import local
from holonstream.local.install import postgres_bin
from holonstream.ops.cli import cli
from holonstream.ops.settings import Settings
from holonstream.producers.errors import LogUnavailable
from holonstream.producers.log import schema
from holonstream.producers.log.inspection import log_facts
from holonstream.producers.log.schema import apply_schema, migrations, schema_status
from holonstream.producers.log.store import PostgresEventStore
from holonstream.schemas.catalogue import Catalogue
from holonstream.schemas.errors import BadData, SchemaNewer
from holonstream.schemas.statements import parse_statements
from holonstream.testing.databases import temporary_database
from tests.support.event_log import append, envelope, person
from tests.support.waiting import wait_until

CATALOGUE = Catalogue.load()
CASES = Path(__file__).parents[1] / "cases"
BEFORE = (CASES / "log-0.2.0.sql").read_text()
STATEMENTS = parse_statements((CASES / "queries-0.2.0.sql").read_text())
CALL = """
INSERT INTO holonstream.streams VALUES ('holon/only-expected', 0);
INSERT INTO holonstream.event_types
VALUES ('PersonCreated', 1, true, 'holon', 1, '{name}', ARRAY['{"name": null}'::jsonb]);
SELECT holonstream.append_events('[{"type": "PersonCreated", "occurredAt": "2024-03-01", "actor": "a",
                                    "subjects": ["p"], "sourceSystem": "s", "payload": {"name": "Ada"}}]');
"""


@pytest.fixture
def new(postgres_dsn: str) -> str:
    """A database that this release made."""
    apply_schema(postgres_dsn, CATALOGUE)
    return postgres_dsn


@pytest.fixture
def old(stack: local.Stack, new: str) -> Iterator[str]:
    """A database that release 0.2.0 made, with an event in it."""
    with temporary_database(stack.env()["HOLONSTREAM_POSTGRES_DSN"]) as dsn:
        with psycopg.connect(dsn, autocommit=True) as connection:
            connection.execute("SET check_function_bodies = off")  # they name functions further down
            connection.execute(BEFORE)
            connection.execute(CALL)
        yield dsn


def dump(dsn: str) -> list[str]:
    """The schema as pg_dump writes it."""
    binaries = postgres_bin()
    assert binaries is not None
    command = [str(binaries / "pg_dump"), "--schema-only", "--no-owner", dsn]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return [line for line in text.splitlines() if line and not line.startswith(("--", "\\"))]


def test_a_database_of_the_release_before_becomes_what_a_new_one_is(old: str, new: str) -> None:
    assert [step.number for step in schema_status(old).pending] == [m.number for m in migrations()] + [0]
    assert apply_schema(old, CATALOGUE)
    assert dump(old) == dump(new)
    assert schema_status(old).pending == []
    assert not apply_schema(old, CATALOGUE)
    with PostgresEventStore(old, CATALOGUE) as store:
        assert store.append([person("p")], expected={"holon/p": 1, "holon/only-expected": 0})[0].version == 2
    with psycopg.connect(old) as connection:
        assert connection.execute("SELECT stream FROM holonstream.streams").fetchall() == [("holon/p",)]


def test_the_statements_of_the_release_before_run_on_the_new_schema(new: str) -> None:
    """A relay, a worker or a service that was not replaced yet continues."""
    event = {"type": "PersonCreated", "occurredAt": "2024-03-01", "actor": "a", "subjects": ["p"], "sourceSystem": "s"}
    arguments: dict[str, Any] = {
        "events": json.dumps([{**event, "payload": {"name": "Ada"}}]),
        "expected": '{"holon/p": 0}',
        "id": "01938d5c-7b2a-7c3e-9d41-5b1f2a6c8e90",
        "after": 0,
        "until": 9,
        "frontier": 9,
        "limit": 9,
        "types": ["PersonCreated"],
        "start_time": None,
        "end_time": None,
        "actor": None,
        "subjects": None,
        "stream": "",
        "version": 0,
        "streams": ["holon/p"],
        "positions": [1],
        "position": 1,
        "bound": 9,
        "key": 1,
    }
    found: dict[str, list[tuple[Any, ...]]] = {}
    with psycopg.connect(new) as connection:
        for name, statement in STATEMENTS.items():
            if name not in ("load_event_types", "note_schema", "raise_sequence"):  # of `init` of that release
                found[name] = connection.execute(statement, arguments).fetchall() if "LOCK" not in statement else []
            if name == "append":
                connection.commit()
    assert found["append"][0][1:] == (b"holon/p", 1, 1)
    assert found["frontier"] == [(1, 1)]
    assert len(found["read_batches"]) == len(found["get_events"]) == len(found["read_streams"]) == 1


def test_functions_that_the_release_before_put_back_are_replaced(new: str) -> None:
    with psycopg.connect(new, autocommit=True) as connection:
        connection.execute("COMMENT ON SCHEMA holonstream IS 'event log 0123456789abcdef'")
        connection.execute("DROP FUNCTION holonstream.token_text")
    assert [step.number for step in schema_status(new).pending] == [0]
    assert apply_schema(new, CATALOGUE)
    with PostgresEventStore(new, CATALOGUE) as store:
        store.append([person("p")])


@pytest.mark.parametrize(
    "altered",
    [
        "DROP FUNCTION holonstream.is_small",
        "DROP TYPE holonstream.incoming CASCADE",
        "CREATE OR REPLACE FUNCTION holonstream.max_event_bytes() RETURNS integer LANGUAGE sql AS 'SELECT 5'",
        "DROP OWNED BY holonstream_writer, holonstream_reader",  # as a dump that is restored where there are none
        "GRANT EXECUTE ON FUNCTION holonstream.append_events TO PUBLIC",
        "GRANT INSERT ON holonstream.events TO holonstream_writer",
        "GRANT UPDATE (payload) ON holonstream.events TO holonstream_writer",
        "GRANT INSERT (position, stream), REFERENCES (id) ON holonstream.events TO PUBLIC",
        "GRANT CREATE ON SCHEMA holonstream TO holonstream_writer",
        "GRANT USAGE ON SCHEMA holonstream TO PUBLIC",
        "GRANT UPDATE ON SEQUENCE holonstream.events_position TO holonstream_reader",
        "DROP TRIGGER commits_durably ON holonstream.events",
        "ALTER TABLE holonstream.streams DISABLE TRIGGER keeps_streams",
    ],
)
def test_init_makes_again_what_somebody_has_altered(new: str, altered: LiteralString) -> None:
    before = dump(new)
    with psycopg.connect(new, autocommit=True) as connection:
        connection.execute(altered)
        facts = log_facts(connection, CATALOGUE)
        assert facts is not None
        assert not facts.is_as_made
    assert dump(new) != before
    assert [step.number for step in schema_status(new).pending] == [0]
    assert apply_schema(new, CATALOGUE)
    assert dump(new) == before
    assert not apply_schema(new, CATALOGUE)


@pytest.fixture
def outsider(postgres_dsn: str) -> Iterator[str]:
    """A role that is not ours."""
    name = f"outsider_{uuid4().hex}"
    with psycopg.connect(postgres_dsn, autocommit=True) as owner:
        owner.execute(f"CREATE ROLE {name}".encode())
        yield name
        owner.execute(f"DROP OWNED BY {name} CASCADE".encode())
        owner.execute(f"DROP ROLE {name}".encode())


def test_a_right_to_read_that_somebody_has_given_stays(new: str, outsider: str) -> None:
    with psycopg.connect(new, autocommit=True) as connection:
        connection.execute(f"GRANT SELECT ON holonstream.events TO {outsider}".encode())
        assert schema_status(new).pending == []
        connection.execute(f"GRANT INSERT ON holonstream.events TO {outsider}".encode())
        assert apply_schema(new, CATALOGUE)
        rights = (
            "SELECT has_table_privilege(%s, 'holonstream.events', name) FROM unnest(ARRAY['SELECT', 'INSERT']) AS name"
        )
        assert connection.execute(rights, [outsider]).fetchall() == [(True,), (False,)]


def test_rights_to_write_single_columns_or_make_functions_are_taken_away(new: str, outsider: str) -> None:
    """Who may insert into the columns that must have values writes events past append_events."""
    grants = (
        "INSERT (position, stream), UPDATE (payload), SELECT (position, type) ON holonstream.events",
        "UPDATE (version) ON holonstream.streams",
        "USAGE, CREATE ON SCHEMA holonstream",
    )
    rights = (
        "SELECT has_any_column_privilege(%(role)s, 'holonstream.events', 'INSERT, UPDATE'),"
        " has_any_column_privilege(%(role)s, 'holonstream.streams', 'UPDATE'),"
        " has_schema_privilege(%(role)s, 'holonstream', 'CREATE'),"
        " has_column_privilege(%(role)s, 'holonstream.events', 'type', 'SELECT'),"
        " has_schema_privilege(%(role)s, 'holonstream', 'USAGE')"
    )
    with psycopg.connect(new, autocommit=True) as connection:
        for grant in grants:
            connection.execute(f"GRANT {grant} TO {outsider}".encode())
            facts = log_facts(connection, CATALOGUE)
            assert facts is not None
            assert not facts.is_as_made, grant
            assert apply_schema(new, CATALOGUE)
        assert connection.execute(rights, {"role": outsider}).fetchone() == (False, False, False, True, True)
    assert not apply_schema(new, CATALOGUE)


def test_a_function_that_another_role_has_made_beside_ours_is_named(new: str, outsider: str) -> None:
    """A call with plain texts takes it before ours, which has parameters of another type."""
    with psycopg.connect(new, autocommit=True) as connection:
        connection.execute(f"GRANT USAGE, CREATE ON SCHEMA holonstream TO {outsider}".encode())
        connection.execute(f"SET ROLE {outsider}".encode())
        connection.execute(
            "CREATE FUNCTION holonstream.append_events(text, text) RETURNS text LANGUAGE sql AS $$ SELECT 'lost' $$"
        )
        connection.execute("RESET ROLE")
        assert connection.execute("SELECT holonstream.append_events('[]', NULL)").fetchone() == ("lost",)
        apply_schema(new, CATALOGUE)
        facts = log_facts(connection, CATALOGUE)
        assert facts is not None
        ((found, remedy),) = facts.altered
        assert found.startswith(f"function holonstream.append_events(text,text) is of role {outsider}")
        connection.execute(remedy.encode())
        facts = log_facts(connection, CATALOGUE)
        assert facts is not None
        assert facts.altered == []


def test_default_privileges_let_nobody_write_past_append_events(postgres_dsn: str, outsider: str) -> None:
    """What is written there takes no frontier lock: the relay could pass it by."""
    with psycopg.connect(postgres_dsn, autocommit=True) as connection:
        for kind in ("TABLES", "SEQUENCES"):
            connection.execute(f"ALTER DEFAULT PRIVILEGES GRANT ALL ON {kind} TO {outsider}".encode())
        assert apply_schema(postgres_dsn, CATALOGUE)
        found = connection.execute(
            "SELECT has_table_privilege(%(role)s, 'holonstream.events', 'SELECT'),"
            " has_table_privilege(%(role)s, 'holonstream.events', 'INSERT'),"
            " has_table_privilege(%(role)s, 'holonstream.streams', 'UPDATE'),"
            " has_sequence_privilege(%(role)s, 'holonstream.events_position', 'UPDATE')",
            {"role": outsider},
        ).fetchone()
        assert found == (True, False, False, False)
    assert not apply_schema(postgres_dsn, CATALOGUE)


def test_a_schema_of_our_name_that_another_role_has_made_is_refused(postgres_dsn: str, outsider: str) -> None:
    """Its functions would be called, and its owner could drop the log."""
    with psycopg.connect(postgres_dsn, autocommit=True) as owner:
        owner.execute(f"CREATE SCHEMA holonstream AUTHORIZATION {outsider}".encode())
        with pytest.raises(BadData, match=f"has not made; it belongs to role {outsider}"):
            apply_schema(postgres_dsn, CATALOGUE)
        owner.execute("ALTER SCHEMA holonstream OWNER TO CURRENT_USER")
        assert apply_schema(postgres_dsn, CATALOGUE)


@pytest.mark.parametrize(
    "newer",
    [
        "INSERT INTO holonstream.migrations VALUES (9999, '9999_later', '99.0.0')",
        "UPDATE holonstream.migrations SET release = '99.0.0', name = 'functions-1' WHERE number = 0",
    ],
)
def test_a_database_of_a_later_release_is_refused(new: str, newer: LiteralString) -> None:
    with psycopg.connect(new, autocommit=True) as connection:
        connection.execute(newer)
        for use in (lambda: apply_schema(new, CATALOGUE), lambda: schema_status(new)):
            with pytest.raises(SchemaNewer, match=r"99\.0\.0"):
                use()
    with PostgresEventStore(new, CATALOGUE) as store:  # services continue
        store.append([person("p")])


def test_many_that_upgrade_at_once_apply_each_step_once(old: str) -> None:
    with ThreadPoolExecutor(4) as threads:
        done = list(threads.map(lambda _: apply_schema(old, CATALOGUE), range(4)))
    assert sorted(done) == [False, False, False, True]


@pytest.fixture
def command(old: str) -> Callable[..., str]:
    settings = Settings.of({"HOLONSTREAM_POSTGRES_DSN": old})

    def run(*arguments: str) -> str:
        done = CliRunner().invoke(cli, ["migrate", *arguments, "--only", "log"], obj=settings, catch_exceptions=False)
        assert done.exit_code == 0, done.output
        return done.stdout

    return run


def test_an_upgrade_that_waits_for_a_transaction_does_not_hold_up_appends(
    old: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with psycopg.connect(old) as idle, ThreadPoolExecutor(1) as thread:
        idle.execute("LOCK TABLE holonstream.events IN ROW EXCLUSIVE MODE")  # as an append that is not committed yet
        monkeypatch.setattr(schema, "PATIENCE", 0.0)
        with pytest.raises(LogUnavailable, match="doctor"):
            apply_schema(old, CATALOGUE)
        monkeypatch.undo()
        upgrade = thread.submit(apply_schema, old, CATALOGUE)
        with psycopg.connect(old, autocommit=True) as service:
            waiting = (
                "SELECT count(*) > 0 FROM pg_locks WHERE NOT granted AND relation = 'holonstream.events'::regclass"
            )
            wait_until(lambda: service.execute(waiting).fetchone() == (True,), "the upgrade waits")
            service.execute("SET statement_timeout = '30s'")
            append(service, [envelope("meanwhile")])
        assert not upgrade.done()
        idle.commit()
        assert upgrade.result(60)


def test_an_upgrade_names_who_has_its_lock(new: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Anybody who may connect can take it."""
    with psycopg.connect(new, application_name="outsider") as outsider:
        outsider.execute("SELECT pg_advisory_lock(%s)", [schema.SCHEMA_LOCK])
        monkeypatch.setattr(schema, "PATIENCE", 0.0)
        with pytest.raises(LogUnavailable, match=rf"pid {outsider.info.backend_pid} \(postgres, outsider\)"):
            apply_schema(new, CATALOGUE)
    assert apply_schema(new, CATALOGUE) is False


def test_the_commands_show_what_they_would_do_and_do_it(command: Callable[..., str], old: str) -> None:
    names = [step.name for step in schema_status(old).pending]
    before = dump(old)
    assert command("plan").split() == [word for name in names for word in ("log", name)]
    assert [step["name"] for step in json.loads(command("plan", "--json"))] == names
    sql = command("apply", "--dry-run")
    assert all(step["text"] in sql for step in json.loads(command("apply", "--dry-run", "--json")))
    assert all(f"-- {name}\n" in sql for name in names)
    assert "event_types_name_is_no_literal" in sql
    assert json.loads(command("status", "--json"))["applied"] == []
    assert dump(old) == before
    assert json.loads(command("apply", "--json"))["changed"] is True
    assert command("plan") == ""
    assert json.loads(command("plan", "--json")) == []
    found = json.loads(command("status", "--json"))
    assert found["pending"] == []
    assert sorted(step["name"] for step in found["applied"]) == sorted(names)
    assert command("status").count("applied  ") == len(names)
