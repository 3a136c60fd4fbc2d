"""Settings: every fault at once, secrets from files, and none of them in what is shown."""

from __future__ import annotations

from pathlib import Path

import psycopg
import pytest
import trustme
from psycopg.conninfo import conninfo_to_dict

from holonstream.client.settings import ClientSettings, InvalidSettings, Secret
from holonstream.ops.kafka import security
from holonstream.ops.settings import Settings
from holonstream.schemas.errors import BadData

SECRET = "s3cret-Marker"


def test_all_secrets_are_known() -> None:
    assert set(Settings.secrets()) == {name for name in Settings.__struct_fields__ if "password" in name} | {
        "postgres_dsn",
        "redis_url",
        "console_token",
    }


def test_every_fault_is_named_and_no_secret_quoted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    wrong = {
        "POSTGRES_DSN": f"postgresql://user:{SECRET}/more@host:port/db",
        "REDIS_URL": f"redis://:{SECRET}/more@host",
        "NEO4J_URI": f"bolt://neo4j:{SECRET}@host",
        "KAFKA_CA": str(tmp_path / "missing.pem"),
        "METRICS_PORT": "70000",
        "PARTITIONS": "many",
        "NEO4J_PASSWORD_FILE": str(tmp_path / "missing"),
        "KAFKA_PASSWORD": SECRET,
        "KAFKA_PASSWORD_FILE": str(tmp_path / "kafka"),
    }
    for name, value in wrong.items():
        monkeypatch.setenv(f"HOLONSTREAM_{name}", value)
    with pytest.raises(InvalidSettings) as raised:
        Settings.load()
    for name in wrong.keys() - {"KAFKA_PASSWORD"}:
        assert f"HOLONSTREAM_{name}: " in str(raised.value)
    assert len(raised.value.faults) == len(wrong) - 1
    assert SECRET not in str(raised.value)


def test_settings_of_the_cache_that_cannot_work_are_named_in_one_line() -> None:
    """Before anything is connected to."""
    with pytest.raises(
        InvalidSettings, match=r"^Invalid settings: HOLONSTREAM_REDIS_URL: \*\*\* has an option 'timeout'; .*$"
    ):
        ClientSettings.of({"HOLONSTREAM_REDIS_URL": "redis://cache?timeout=1"})
    lives = {"HOLONSTREAM_VALUE_TTL": "60", "HOLONSTREAM_TOMBSTONE_TTL": "60"}
    complaint = "^Invalid settings: HOLONSTREAM_TOMBSTONE_TTL: 60 s must be longer than HOLONSTREAM_VALUE_TTL, 60 s$"
    with pytest.raises(InvalidSettings, match=complaint):
        Settings.of(lives)
    assert Settings.of({**lives, "HOLONSTREAM_TOMBSTONE_TTL": "61"}).tombstone_ttl == 61


@pytest.mark.parametrize(
    "dsn", [f"host=h {SECRET}", f"host=h password=two {SECRET}", f"postgresql://u:{SECRET}%zz@h/d"]
)
def test_a_connection_string_that_cannot_be_read_is_not_quoted(monkeypatch: pytest.MonkeyPatch, dsn: str) -> None:
    with pytest.raises(psycopg.ProgrammingError, match=SECRET if "%zz" not in dsn else "zz"):
        conninfo_to_dict(dsn)  # the driver's own text quotes it
    monkeypatch.setenv("HOLONSTREAM_POSTGRES_DSN", dsn)
    with pytest.raises(InvalidSettings, match="no libpq connection string") as raised:
        Settings.load()
    assert SECRET not in str(raised.value)
    with pytest.raises(BadData, match="no libpq connection string") as refused:
        _ = ClientSettings(
            postgres_dsn=Secret(dsn), postgres_password=Secret("own")
        ).log_dsn  # which nothing has checked
    assert SECRET not in str(refused.value)


@pytest.mark.parametrize(
    ("variable", "address"),
    [
        ("POSTGRES_DSN", f"postgresql://user:first@{SECRET}@host/db"),
        ("POSTGRES_DSN", f"postgres://user:12/{SECRET}@host/db"),
        ("POSTGRES_DSN", f"postgresql://user:first@second/{SECRET}@host/db?sslmode=disable"),
        ("REDIS_URL", f"redis://user:12/{SECRET}@host:6379/0"),
        ("REDIS_URL", f"redis://user:12?{SECRET}@host:6379/0"),
        ("REDIS_URL", f"redis://user:12#{SECRET}@host:6379/0"),
    ],
)
def test_a_part_of_a_password_is_taken_for_nothing_else(variable: str, address: str) -> None:
    """An unescaped "@" or "/" would make it part of a host's or database's name, which errors quote."""
    with pytest.raises(InvalidSettings, match=rf"HOLONSTREAM_{variable}: \*\*\* is no") as raised:
        ClientSettings.of({f"HOLONSTREAM_{variable}": address})
    assert SECRET not in str(raised.value)


@pytest.mark.parametrize(
    "dsn",
    [
        "postgresql://user:p%40ss@host/db",
        "postgresql://user:pa?ss@host/db?application_name=a@b",
        "postgresql:///db?user=a%40b",
        "postgresql://%40abstract/db",
        "host=@abstract password=p@ss/word",
    ],
)
def test_an_at_sign_may_stand_where_it_has_one_meaning(dsn: str) -> None:
    assert ClientSettings.of({"HOLONSTREAM_POSTGRES_DSN": dsn}).log_dsn == dsn


def test_what_is_empty_counts_as_not_given_and_what_is_not_ours_is_ignored() -> None:
    given = {"HOLONSTREAM_SCHEMAS": "", "HOLONSTREAM_PARTITIONS": "", "HOLONSTREAM_SOMETHING": "x", "HOME": "/"}
    assert Settings.of(given) == Settings()


@pytest.mark.parametrize(
    ("text", "value"), [("true", True), ("1", True), ("Yes", True), ("off", False), ("False", False)]
)
def test_booleans_have_many_spellings(text: str, value: bool) -> None:
    assert Settings.of({"HOLONSTREAM_KAFKA_TLS": text}).kafka_tls is value


@pytest.mark.parametrize("end", ["", "\n", "\r\n"])
def test_a_secret_may_lie_in_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, end: str) -> None:
    environment = {}
    for name in ("postgres", "kafka", "neo4j", "redis"):
        (tmp_path / name).write_bytes(f"{SECRET} of {name}{end}".encode())
        environment[f"HOLONSTREAM_{name.upper()}_PASSWORD_FILE"] = str(tmp_path / name)
    for name, file in environment.items():
        monkeypatch.setenv(name, file)
    for settings in (Settings.load(), Settings.of(environment)):
        assert settings.kafka_password is not None
        assert settings.kafka_password.reveal() == f"{SECRET} of kafka"
        assert conninfo_to_dict(settings.log_dsn)["password"] == f"{SECRET} of postgres"
        assert SECRET not in repr(settings) + str(settings)


def test_a_password_apart_goes_into_any_form_of_connection_string() -> None:
    for dsn in ("postgresql://u@h:5/d?sslmode=verify-full", "host=h user=u port=5 dbname=d sslmode=verify-full"):
        found = conninfo_to_dict(Settings(postgres_dsn=Secret(dsn), postgres_password=Secret("a b'c")).log_dsn)
        assert found == {
            "user": "u", "host": "h", "port": "5", "dbname": "d", "sslmode": "verify-full", "password": "a b'c",
        }  # fmt: skip


def test_tls_to_the_brokers_trusts_the_file(tmp_path: Path) -> None:
    ca = tmp_path / "ca.pem"
    trustme.CA().cert_pem.write_to_path(ca)
    assert security(Settings(kafka_ca=ca)) == {"security.protocol": "PLAINTEXT"}
    found = security(Settings(kafka_tls=True, kafka_ca=ca, kafka_user="u", kafka_password=Secret(SECRET)))
    assert found["security.protocol"] == "SASL_SSL"
    assert found["ssl.ca.location"] == str(ca)
    assert found["sasl.password"] == SECRET


def test_a_secret_may_be_given_as_text_and_is_checked() -> None:
    settings = ClientSettings(postgres_dsn="postgresql://h/d", redis_password=SECRET)  # type: ignore[arg-type]
    assert (settings.postgres_dsn, settings.redis_password) == (Secret("postgresql://h/d"), Secret(SECRET))
    assert settings.log_dsn == "postgresql://h/d"
    with pytest.raises(InvalidSettings, match="postgres_dsn: is no libpq connection string") as raised:
        ClientSettings(postgres_dsn=f"text {SECRET}")  # type: ignore[arg-type]
    assert SECRET not in str(raised.value)
