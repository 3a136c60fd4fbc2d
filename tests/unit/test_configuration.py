"""Settings of commands: environment, .env and a configuration file; misspelt names; durations."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from holonstream.client.settings import InvalidSettings
from holonstream.ops.commands.config import ADDRESSES, effective
from holonstream.ops.configuration import read_configuration
from holonstream.ops.settings import Settings
from holonstream.schemas import duration


def test_the_environment_wins_over_dotenv_and_that_over_the_file(tmp_path: Path) -> None:
    (tmp_path / "holonstream.toml").write_text(
        'namespace = "file"\npartitions = 3\nkafka_tls = true\nvalue_ttl = "5m"\n'
    )
    (tmp_path / ".env").write_text(
        "# of a shop\nHOLONSTREAM_NAMESPACE='dotenv'\nexport HOLONSTREAM_REPLICATION=2\nX=y\n"
    )
    found = read_configuration({"HOLONSTREAM_REPLICATION": "3", "HOLONSTREAM_PARTITIONS": ""}, tmp_path)
    settings = found.settings()
    assert (settings.namespace, settings.replication, settings.partitions) == ("dotenv", 3, 3)
    assert (settings.kafka_tls, settings.value_ttl) == (True, 300)
    assert found.origins["HOLONSTREAM_NAMESPACE"] == str(tmp_path / ".env")
    assert found.origins["HOLONSTREAM_REPLICATION"] == "environment"
    assert found.origins["HOLONSTREAM_PARTITIONS"] == str(tmp_path / "holonstream.toml")
    assert found.unknown == []


def test_a_secret_of_a_nearer_place_hides_the_file_of_a_farther_one(tmp_path: Path) -> None:
    (tmp_path / "password").write_text("far")
    (tmp_path / ".env").write_text(f"HOLONSTREAM_NEO4J_PASSWORD_FILE={tmp_path / 'password'}\n")
    near = read_configuration({"HOLONSTREAM_NEO4J_PASSWORD": "near"}, tmp_path).settings()
    assert near.neo4j_password is not None
    assert near.neo4j_password.reveal() == "near"
    both = {"HOLONSTREAM_NEO4J_PASSWORD": "a", "HOLONSTREAM_NEO4J_PASSWORD_FILE": str(tmp_path / "password")}
    found = read_configuration(both, tmp_path)
    with pytest.raises(InvalidSettings, match="is set too"):
        found.settings()


@pytest.mark.parametrize("text", ["redis-hunter2", "redis://hunter2@host", "user=hunter2", "postgresql://hunter2@h"])
def test_nothing_of_a_password_is_shown_whatever_it_looks_like(text: str) -> None:
    secrets = [f"HOLONSTREAM_{name.upper()}" for name in Settings.secrets() if name not in ADDRESSES]
    shown = {row["variable"]: row["value"] for row in effective(read_configuration(dict.fromkeys(secrets, text)))}
    assert [shown[name] for name in secrets] == ["***"] * len(secrets)


def test_of_an_address_everything_but_its_secrets_is_shown() -> None:
    given = {
        "HOLONSTREAM_POSTGRES_DSN": "postgresql://ada:hunter2@host/db?sslmode=require&sslpassword=hunter2",
        "HOLONSTREAM_REDIS_URL": "rediss://ada:hunter2@host:6379/2",
    }
    shown = {row["variable"]: row["value"] for row in effective(read_configuration(given))}
    assert shown["HOLONSTREAM_REDIS_URL"] == "rediss://ada:***@host:6379/2"
    assert "hunter2" not in shown["HOLONSTREAM_POSTGRES_DSN"]
    assert {"host=host", "dbname=db", "user=ada"} <= set(shown["HOLONSTREAM_POSTGRES_DSN"].split())


def test_the_configuration_file_may_be_named_or_lie_in_the_users_folder(tmp_path: Path) -> None:
    (tmp_path / "holonstream").mkdir()
    (tmp_path / "holonstream" / "config.toml").write_text('namespace = "user"')
    (tmp_path / "named.toml").write_text('namespace = "named"')
    empty = tmp_path / "empty"
    empty.mkdir()
    user = {"XDG_CONFIG_HOME": str(tmp_path)}
    assert read_configuration(user, empty).settings().namespace == "user"
    named = {**user, "HOLONSTREAM_CONFIG": str(tmp_path / "named.toml")}
    assert read_configuration(named, empty).settings().namespace == "named"
    assert read_configuration({"HOME": "/nope"}, empty).settings() == Settings()
    assert read_configuration({}, empty).settings() == Settings()


@pytest.mark.parametrize("content", [b"namespace = ", b"\xff\xfe", b'namespace = ["a"]', b"[table]\nx = 1"])
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "bad.toml"
    file.write_bytes(content)
    with pytest.raises(InvalidSettings, match=r"bad\.toml"):
        read_configuration({"HOLONSTREAM_CONFIG": str(file)}, tmp_path)
    for other in (tmp_path, tmp_path / "missing"):
        with pytest.raises(InvalidSettings, match="cannot be read"):
            read_configuration({"HOLONSTREAM_CONFIG": str(other)}, tmp_path)


def test_a_folder_named_dotenv_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / ".env").mkdir()
    assert read_configuration({}, tmp_path).settings() == Settings()


def test_a_misspelt_variable_is_named_with_the_one_that_is_meant(tmp_path: Path) -> None:
    (tmp_path / "holonstream.toml").write_text('namespce = "x"')
    environment = {
        "HOLONSTREAM_KAFKA_BOOTSTRP": "x",
        "HOLONSTREAM_SOMETHING_ELSE": "x",
        "HOLONSTREAM_LOCAL_DIR": "x",
        "HOLONSTREAM_TEST_STACK_DIR": "x",
        "HOLONSTREAM_NEO4J_PASSWORD_FILE": "",
    }
    lines = read_configuration(environment, tmp_path).unknown
    assert len(lines) == 3
    assert "HOLONSTREAM_KAFKA_BOOTSTRP (environment) is no setting: did you mean HOLONSTREAM_KAFKA_BOOTSTRAP?" in lines
    assert "HOLONSTREAM_SOMETHING_ELSE (environment) is no setting: `holonstream settings` lists them" in lines
    assert any("did you mean HOLONSTREAM_NAMESPACE?" in line for line in lines)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("30", "30"), ("30s", "30"), ("500ms", "0.5"), ("1.5m", "90"), ("1h30m", "5400"), ("7d", "604800"), (" 2 ", "2")],
)
def test_durations(text: str, seconds: str) -> None:
    assert duration.seconds(text) == seconds
    assert duration.seconds(duration.shown(float(seconds))) == seconds


@pytest.mark.parametrize("text", ["", "s", "nan", "inf", "-1", "1e9", "5 m", "1y", "s5", "\u0661s", "9" * 40])
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(ValueError, match="is no duration like 30s, 5m or 1h"):
        duration.seconds(text)


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        ("PARTITIONS", "many", "'many' must be a whole number, at least 1"),
        ("METRICS_PORT", "70000", "'70000' must be a whole number, at least 0, at most 65535"),
        ("KAFKA_TLS", "perhaps", "'perhaps' must be true or false"),
        ("LOG_LEVEL", "loud", "'loud' must be debug, info, warning or error"),
        ("LOG_FORMAT", "xml", "'xml' must be console or json"),
        ("NAMESPACE", "a b", "'a b' must be letters, digits, '.', '_' and '-'"),
        ("VALUE_TTL", "1500ms", "'1500ms' must be a whole number of seconds"),
        ("READ_DEADLINE", "soon", "'soon' is no duration like 30s, 5m or 1h"),
        ("READ_DEADLINE", "nan", "'nan' is no duration"),
        ("SESSION_TIMEOUT", "0.5s", "'0.5s' must be a number of seconds, or a duration like 30s or 5m, at least 1"),
        ("SCHEMAS", "/nope", "'/nope' is no folder"),
        ("KAFKA_CA", "/", "'/' is no file"),
        ("KAFKA_CA", "/" + "x" * 5000, "is no file"),
        ("NEO4J_URI", "http://x", "'http://x' is no address bolt:// or neo4j://"),
        ("NEO4J_URI", "bolt://u:hidden@h", "*** must not hold a user"),
        ("POSTGRES_DSN", "hidden", "*** is no libpq connection string"),
        ("REDIS_URL", "redis://:hidden@h/zero", "*** must end with the number of a database"),
        ("REDIS_URL", "redis://h/0?decode_responses=1", "*** has an option 'decode_responses'"),
        ("REDIS_URL", "redis://h/0?protocol=x", "*** has an option protocol with a value that it cannot have"),
        ("KAFKA_BOOTSTRAP", "kafka://h:9092", "must be host:port of the brokers"),
        ("KAFKA_BOOTSTRAP", "h:99999", "must be host:port of the brokers"),
        ("CONSOLE_WORKERS", "graph:9464,cache", "must be host:port of the workers' metrics"),
        ("CONSOLE_WORKERS", "http://graph:9464", "must be host:port of the workers' metrics"),
        ("CONSOLE_WORKERS", "graph:0", "must be host:port of the workers' metrics"),
        ("TOMBSTONE_TTL", "1h", "3600 s must be longer than HOLONSTREAM_VALUE_TTL, 3600 s"),
    ],
)
def test_a_wrong_value_is_named_with_what_is_allowed(name: str, value: str, allowed: str) -> None:
    with pytest.raises(InvalidSettings) as raised:
        Settings.of({f"HOLONSTREAM_{name}": value})
    (fault,) = raised.value.faults
    assert fault.startswith(f"HOLONSTREAM_{name}: ")
    assert allowed in fault
    assert "hidden" not in fault
    assert len(fault) < 300


def test_right_values_in_other_spellings() -> None:
    right = {
        "KAFKA_BOOTSTRAP": "a:1,[::1]:2,c",
        "CONSOLE_WORKERS": "graph:9464, [::1]:2,",
        "REDIS_URL": "rediss://h:1/3?ssl_cert_reqs=none",
        "SCHEMAS": os.getcwd(),
    }
    Settings.of({f"HOLONSTREAM_{name}": value for name, value in right.items()})


def test_a_file_that_may_not_be_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "ca.pem"
    file.touch()
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # root may read everything
    with pytest.raises(InvalidSettings, match="is a file that may not be read"):
        Settings.of({"HOLONSTREAM_KAFKA_CA": str(file)})
