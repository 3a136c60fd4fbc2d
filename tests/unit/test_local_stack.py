"""What a stack says and refuses before any server runs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from holonstream.local import LocalStackError, Stack, default_data_dir, jars, ports
from holonstream.local.cli import env_text, local


def test_env_names_every_server(tmp_path: Path) -> None:
    names = ["postgres", "kafka", "kafka-controller", "neo4j", "redis"]
    kept = ports.load_or_choose(tmp_path / "stack.json", names)
    assert Stack(tmp_path).env() == {
        "HOLONSTREAM_POSTGRES_DSN": f"postgresql://postgres@127.0.0.1:{kept['postgres']}/holonstream",
        "HOLONSTREAM_KAFKA_BOOTSTRAP": f"127.0.0.1:{kept['kafka']}",
        "HOLONSTREAM_NEO4J_URI": f"bolt://127.0.0.1:{kept['neo4j']}",
        "HOLONSTREAM_REDIS_URL": f"redis://127.0.0.1:{kept['redis']}/0",
    }


def test_env_text_is_for_a_file_or_for_a_shell() -> None:
    settings = {"A": "1", "B": "two words"}
    assert env_text(settings, export=False) == "A=1\nB=two words"
    assert env_text(settings, export=True) == "export A=1\nexport B='two words'"


def test_a_stack_never_started_has_stopped_nothing_and_no_env(tmp_path: Path) -> None:
    stack = Stack(tmp_path / "none")
    with pytest.raises(LocalStackError, match="start one: holonstream local up"):
        stack.env()
    stack.down()
    stack.down(wipe=True)
    assert not stack.data_dir.exists()


def test_a_folder_with_other_things_is_neither_used_nor_wiped(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    stack = Stack(tmp_path)
    with pytest.raises(LocalStackError, match="other things"):
        stack.up()
    with pytest.raises(LocalStackError, match="other things"):
        stack.down(wipe=True)
    assert (tmp_path / "thesis.txt").exists()


def test_an_unknown_service_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LocalStackError, match="no such service: mongo"):
        Stack(tmp_path, services=["mongo"])
    with pytest.raises(LocalStackError, match="no such service in this stack: kafka"):
        Stack(tmp_path, services=["redis"]).kill("kafka")


def test_the_command_line_fails_with_one_line(tmp_path: Path) -> None:
    done = CliRunner().invoke(local, ["--dir", str(tmp_path / "none"), "status"])
    assert done.exit_code == 1
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("Error: no local stack")


def test_what_would_be_stopped_and_where_the_servers_are_is_printed_for_programs(tmp_path: Path) -> None:
    names = ["postgres", "kafka", "kafka-controller", "neo4j", "redis"]
    ports.load_or_choose(tmp_path / "stack.json", names)

    def run(*arguments: str) -> str:
        done = CliRunner().invoke(local, ["--dir", str(tmp_path), *arguments], catch_exceptions=False)
        assert done.exit_code == 0, done.output
        return done.stdout

    assert json.loads(run("env", "--json")) == Stack(tmp_path).env()
    assert json.loads(run("down", "--wipe", "--dry-run", "--json")) == {
        "folder": str(tmp_path),
        "stop": [],
        "delete": True,
    }
    assert run("down", "--wipe", "--dry-run") == f"would stop nothing, and delete {tmp_path}\n"
    assert (tmp_path / "stack.json").exists()


def test_a_stack_of_some_services_says_where_these_are(tmp_path: Path) -> None:
    kept = ports.load_or_choose(tmp_path / "stack.json", ["redis"])
    done = CliRunner().invoke(local, ["--dir", str(tmp_path), "env"], catch_exceptions=False)
    assert done.stdout == f"HOLONSTREAM_REDIS_URL=redis://127.0.0.1:{kept['redis']}/0\n"
    done = CliRunner().invoke(local, ["--dir", str(tmp_path), "status"], catch_exceptions=False)
    assert done.stdout.split()[:2] == ["redis", "stopped"]


def test_the_data_folder_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HOLONSTREAM_LOCAL_DIR", raising=False)
    assert default_data_dir() == Path(".local-stack")
    monkeypatch.setenv("HOLONSTREAM_LOCAL_DIR", "/somewhere")
    assert default_data_dir() == Path("/somewhere")


def test_jars_are_cached_per_user_and_per_pom(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HOLONSTREAM_CACHE_DIR", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", "/xdg")
    assert jars.cache_dir() == Path("/xdg/holonstream")
    monkeypatch.setenv("HOLONSTREAM_CACHE_DIR", "/own")
    assert jars.folder("kafka").parent == Path("/own/jars")
    assert jars.folder("kafka").name.startswith(f"kafka-{jars.version('kafka')}-")
    assert jars.version("neo4j").startswith("5.26.")
