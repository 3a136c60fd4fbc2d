"""Seals: anyone who changes rows of the log, as a superuser with triggers off, is found out."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
from click.testing import CliRunner
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from holonstream.ops.cli import cli
from holonstream.ops.settings import Settings
from holonstream.ops.verify.seals import verify_log
from holonstream.producers.errors import AppendOnly, NotPermitted
from holonstream.producers.log.postgres import connect, driver_errors, query
from holonstream.producers.log.schema import apply_schema
from holonstream.producers.log.seals import make_seals, read_seals, unsealed_range
from holonstream.schemas.catalogue import Catalogue
from holonstream.schemas.errors import BadData
from tests.support.event_log import append, envelope

CATALOGUE = Catalogue.load()
EVENTS = 25
OFF = "ALTER TABLE holonstream.events DISABLE TRIGGER USER; ALTER TABLE holonstream.seals DISABLE TRIGGER USER;"
INSERT = """
INSERT INTO holonstream.events SELECT (jsonb_populate_record(e, '{"version": 2, "position": 30}'::jsonb
                                       || jsonb_build_object('id', gen_random_uuid()))).*
FROM holonstream.events AS e WHERE position = 3
"""
SWAP = """
UPDATE holonstream.events SET position = -7 WHERE position = 7;
UPDATE holonstream.events SET position = 7 WHERE position = 8;
UPDATE holonstream.events SET position = 8 WHERE position = -7;
"""


@pytest.fixture
def dsn(postgres_dsn: str) -> str:
    """A log with 25 events and a gap, sealed ten at a time, and two events beyond the seals."""
    apply_schema(postgres_dsn, CATALOGUE)
    with psycopg.connect(postgres_dsn, autocommit=True) as service:
        for n in range(EVENTS):
            if n == 20:
                service.execute("SELECT nextval('holonstream.events_position') FROM generate_series(1, 10)")
            append(service, [envelope(f"p-{n}")])
        made = make_seals(postgres_dsn, 10)
        assert [(seal.after, seal.until, seal.events) for seal in made] == [(0, 10, 10), (10, 20, 10), (20, 35, 5)]
        append(service, [envelope("later"), envelope("latest")])
    return postgres_dsn


def tamper(dsn: str, statement: str) -> None:
    with psycopg.connect(dsn, autocommit=True) as superuser:
        superuser.execute(OFF)
        superuser.execute(statement)


def test_a_log_that_nobody_changed_is_as_sealed(dsn: str) -> None:
    verdict = verify_log(dsn)
    assert (verdict.findings, verdict.seals, verdict.events) == ([], 3, EVENTS)
    assert (verdict.until, verdict.frontier) == (35, 37)
    assert unsealed_range(dsn) == (35, 37)
    assert [(seal.number, seal.after, seal.events) for seal in make_seals(dsn)] == [(4, 35, 2)]
    assert make_seals(dsn) == []
    assert unsealed_range(dsn) == (37, 37)
    assert verify_log(dsn).findings == []


@pytest.mark.parametrize(
    ("statement", "found"),
    [
        ("UPDATE holonstream.events SET payload = '{\"name\": \"Eve\"}' WHERE position = 5", [("altered", 1, 5)]),
        ("UPDATE holonstream.events SET actor = 'somebody' WHERE position = 12", [("altered", 2, 12)]),
        ("UPDATE holonstream.events SET recorded_at = recorded_at - interval '1 ms' WHERE position = 12",
         [("altered", 2, 12)]),
        ("UPDATE holonstream.events SET subjects = subjects || ARRAY['x'] WHERE position = 35", [("altered", 3, 35)]),
        ("DELETE FROM holonstream.events WHERE position IN (1, 31)", [("removed", 1, 1), ("removed", 3, 31)]),
        ("DELETE FROM holonstream.events WHERE position > 30", [("removed", 3, n) for n in range(31, 36)]),
        (INSERT, [("inserted", 3, 30)]),
        (SWAP, [("reordered", 1, 7), ("reordered", 1, 8)]),
        ("UPDATE holonstream.events SET id = gen_random_uuid() WHERE position = 4",
         [("inserted", 1, 4), ("removed", 1, 4)]),
    ],
)  # fmt: skip
def test_every_change_is_named(dsn: str, statement: str, found: list[tuple[str, int, int]]) -> None:
    tamper(dsn, statement)
    assert [(f.kind, f.seal, f.position) for f in verify_log(dsn).findings] == found


def test_without_entries_to_compare_with_the_range_is_named(dsn: str) -> None:
    make_seals(dsn)
    with connect(dsn, "test") as connection:
        trusted = read_seals(connection)
    tamper(dsn, "DELETE FROM holonstream.events WHERE position = 3; TRUNCATE holonstream.seals")
    kinds = [(f.kind, f.seal) for f in verify_log(dsn, trusted).findings]
    assert kinds == [("seal", 1), ("seal", 2), ("seal", 3), ("seal", 4), ("range", 1)]


def test_a_seal_that_is_taken_away_or_changed_breaks_the_chain(dsn: str) -> None:
    tamper(dsn, "DELETE FROM holonstream.seals WHERE number = 2")
    assert [(f.kind, f.seal) for f in verify_log(dsn).findings] == [("chain", 3)]


def test_only_the_owner_makes_seals_and_nobody_changes_one(dsn: str) -> None:
    with connect(dsn, "test") as owner:
        for statement in ("DELETE FROM holonstream.seals", "UPDATE holonstream.seals SET events = 1"):
            with pytest.raises(AppendOnly), driver_errors():
                owner.execute(statement)
        owner.execute("SET ROLE holonstream_reader")
        assert len(read_seals(owner)) == 3
        with pytest.raises(NotPermitted), driver_errors(), owner.transaction():
            owner.execute(query("lock_seals"))


@pytest.fixture
def run(dsn: str) -> Callable[..., tuple[int, str]]:
    settings = Settings.of({"HOLONSTREAM_POSTGRES_DSN": dsn})

    def command(*arguments: str) -> tuple[int, str]:
        done = CliRunner().invoke(cli, list(arguments), obj=settings)
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            raise done.exception
        return done.exit_code, done.stdout

    return command


def test_exported_seals_find_an_intruder_who_sealed_again(
    dsn: str, run: Callable[..., tuple[int, str]], tmp_path: Path
) -> None:
    key = Ed25519PrivateKey.generate()
    private, public, seals = tmp_path / "seal.pem", tmp_path / "public.pem", tmp_path / "seals.jsonl"
    private.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    public.write_bytes(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    assert run("seal", "make") == (0, "")
    again = CliRunner().invoke(cli, ["seal", "make", "--dry-run"], obj=Settings.of({"HOLONSTREAM_POSTGRES_DSN": dsn}))
    assert again.stderr == "everything up to position 37 is sealed\n"
    code, text = run("seal", "export", "--key", str(private))
    assert code == 0
    seals.write_text(text)
    code, text = run("verify", "log", "--seals", str(seals), "--public-key", str(public), "--json")
    assert (code, json.loads(text)["findings"]) == (0, [])

    tamper(dsn, "UPDATE holonstream.events SET actor = 'eve' WHERE position = 5; TRUNCATE holonstream.seals")
    make_seals(dsn, 10)
    assert run("verify", "log")[0] == 0
    code, text = run("verify", "log", "--seals", str(seals), "--public-key", str(public))
    assert code == 1
    assert "range: seal 1: positions 1 to 10 differ" in text
    assert "4 seals up to position 37 of 37: 27 events" in text

    seals.write_text(seals.read_text().replace('"events":10', '"events":11'))
    with pytest.raises(BadData, match="line 1: seal 1 is not signed by this key"):
        run("verify", "log", "--seals", str(seals), "--public-key", str(public))


def test_a_key_of_openssl_signs(dsn: str, run: Callable[..., tuple[int, str]], tmp_path: Path) -> None:
    private, public, seals = tmp_path / "seal.pem", tmp_path / "public.pem", tmp_path / "seals.jsonl"
    for words in (
        ["genpkey", "-algorithm", "ed25519", "-out", private],
        ["pkey", "-in", private, "-pubout", "-out", public],
    ):
        subprocess.run(["openssl", *map(str, words)], check=True, capture_output=True)
    seals.write_text(run("seal", "export", "--key", str(private))[1])
    assert run("verify", "log", "--seals", str(seals), "--public-key", str(public))[0] == 0
