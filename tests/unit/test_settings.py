"""Settings: every fault at once, secrets from files, and none of them in what is shown."""

from __future__ import annotations

from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from holonstream.ops.kafka import security
from holonstream.ops.settings import SECRETS, InvalidSettings, Settings, load

SECRET = "s3cret-Marker"


def test_all_secrets_are_known() -> None:
    assert set(SECRETS) == {name for name in Settings.model_fields if "password" in name} | {
        "postgres_dsn",
        "redis_url",
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
        load()
    for name in wrong.keys() - {"KAFKA_PASSWORD"}:
        assert f"HOLONSTREAM_{name}: " in str(raised.value)
    assert SECRET not in str(raised.value)


@pytest.mark.parametrize(
    "dsn", [f"host=h {SECRET}", f"host=h password=two {SECRET}", f"postgresql://u:{SECRET}%zz@h/d"]
)
def test_a_connection_string_that_cannot_be_read_is_not_quoted(monkeypatch: pytest.MonkeyPatch, dsn: str) -> None:
    with pytest.raises(psycopg.ProgrammingError, match=SECRET if "%zz" not in dsn else "zz"):
        conninfo_to_dict(dsn)  # the driver's own text quotes it
    monkeypatch.setenv("HOLONSTREAM_POSTGRES_DSN", dsn)
    with pytest.raises(InvalidSettings, match="no libpq connection string") as raised:
        load()
    assert SECRET not in str(raised.value)


@pytest.mark.parametrize("end", ["", "\n", "\r\n"])
def test_a_secret_may_lie_in_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, end: str) -> None:
    environment = {}
    for name in ("postgres", "kafka", "neo4j", "redis"):
        (tmp_path / name).write_bytes(f"{SECRET} of {name}{end}".encode())
        environment[f"HOLONSTREAM_{name.upper()}_PASSWORD_FILE"] = str(tmp_path / name)
    for name, file in environment.items():
        monkeypatch.setenv(name, file)
    for settings in (load(), Settings.of(environment)):
        assert settings.kafka_password is not None
        assert settings.kafka_password.get_secret_value() == f"{SECRET} of kafka"
        assert conninfo_to_dict(settings.log_dsn)["password"] == f"{SECRET} of postgres"
        assert SECRET not in repr(settings) + str(settings)


def test_a_password_apart_goes_into_any_form_of_connection_string() -> None:
    for dsn in ("postgresql://u@h:5/d?sslmode=verify-full", "host=h user=u port=5 dbname=d sslmode=verify-full"):
        found = conninfo_to_dict(Settings(postgres_dsn=dsn, postgres_password="a b'c").log_dsn)
        assert found == {
            "user": "u", "host": "h", "port": "5", "dbname": "d", "sslmode": "verify-full", "password": "a b'c",
        }  # fmt: skip


def test_tls_to_the_brokers_trusts_the_file(tmp_path: Path) -> None:
    ca = tmp_path / "ca.pem"
    ca.touch()
    assert security(Settings(kafka_ca=ca)) == {"security.protocol": "PLAINTEXT"}
    found = security(Settings(kafka_tls=True, kafka_ca=ca, kafka_user="u", kafka_password=SECRET))
    assert found["security.protocol"] == "SASL_SSL"
    assert found["ssl.ca.location"] == str(ca)
    assert found["sasl.password"] == SECRET
