"""Commands on real servers: what is read of them, hostile names in what they print, waiting, gates, outages."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import psycopg
import pytest

from holonstream.ops import cli as command_line
from holonstream.ops import doctor, servers
from holonstream.ops.settings import Settings
from holonstream.producers.relay.lease import leader_key
from tests.fix_pipeline import Pipeline
from tests.support.poison import envelope
from tests.support.topics import alter
from tests.support.waiting import wait_until

pytestmark = pytest.mark.usefixtures("logging_restored")

PATIENT = ("--timeout", "60s")  # the machine of a test may be busy
HOSTILE = "[/x][bold]\x1b[2J\x9b\u202e\nforged line"


def _is_json(arguments: tuple[str, ...]) -> bool:
    """Whether a command prints JSON, which is not for a terminal here."""
    return bool({"--json", "show", "fold"} & set(arguments))


class Shell:
    """Runs commands in this process, as an operator of a pipeline types them."""

    def __init__(
        self, pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], folder: Path
    ) -> None:
        self._patch, self._capsys = monkeypatch, capsys
        for name, value in pipeline.environment.items():
            monkeypatch.setenv(name, value)
        monkeypatch.chdir(folder)

    def missing(self, *arguments: str) -> str:
        """What `wait` says that is missing; it is asked again when a busy broker did not answer it in time."""

        def said() -> str | None:
            self._patch.setattr(sys, "argv", ["holonstream", "wait", *arguments, "--timeout", "0"])
            ended = command_line.run()
            text = self._capsys.readouterr().err
            assert ended in (1, 3), text
            return text if ended == 1 else None

        return str(wait_until(said, "an answer of the brokers"))

    def run(self, *arguments: str, code: int = 0) -> str:
        """Standard output and error; every line must be harmless."""
        self._patch.setattr(sys, "argv", ["holonstream", *arguments])
        ended = command_line.run()
        printed = self._capsys.readouterr()
        assert ended == code, f"{arguments}: code {ended}\n{printed.out}{printed.err}"
        for line in (printed.out + printed.err).splitlines():
            assert line.isprintable() or _is_json(arguments), f"{arguments}: {line!r}"
            assert not line.strip().startswith("forged line"), f"{arguments}: {line!r}"
        return printed.out + printed.err

    def json(self, *arguments: str, code: int = 0) -> Any:
        """The document that a command prints."""
        self._patch.setattr(sys, "argv", ["holonstream", *arguments, "--json"])
        ended = command_line.run()
        printed = self._capsys.readouterr()
        assert ended == code, f"{arguments}: code {ended}\n{printed.out}{printed.err}"
        return json.loads(printed.out)


@pytest.fixture
def shell(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Shell:
    return Shell(pipeline, monkeypatch, capsys, tmp_path)


def events_file(folder: Path, *events: dict[str, Any]) -> str:
    file = folder / "events.json"
    file.write_text(json.dumps(events))
    return str(file)


def hostile_events() -> list[dict[str, Any]]:
    """Streams with hostile ids, actors, property names and values; one parks, with a reason that quotes them."""
    made = [
        envelope("PersonCreated", HOSTILE, name=HOSTILE, **{HOSTILE: HOSTILE}),
        envelope("OrganizationCreated", f"o{HOSTILE}", holonType="MeasureDefinition"),
        envelope("OrganizationRealigned", f"o{HOSTILE}", properties={"measurements": HOSTILE, HOSTILE: [HOSTILE]}),
        envelope("MeasureEmitted", f"o{HOSTILE}", "x", value=1, measureId="k"),
    ]
    return [{**event, "actor": HOSTILE, "sourceSystem": HOSTILE} for event in made]


def test_nothing_that_events_hold_acts_on_a_terminal(pipeline: Pipeline, shell: Shell, tmp_path: Path) -> None:
    file = events_file(tmp_path, *hostile_events())
    shell.run("import", file)
    pipeline.start("relay", "graph", "cache")
    assert "up to position 4" in shell.run("wait", "--timeout", "5m")
    stream = f"holon/o{HOSTILE}"
    listed = shell.run("dead-letters", "list")
    assert "[/x][bold]\\x1b[2J\\x9b\\u202e\\nforged line" in listed
    assert shell.json("dead-letters", "list")[0]["stream"] == stream
    shell.run("dead-letters", "show", stream)
    shell.run("dead-letters", "redrive", "--all", "--dry-run")
    shell.run("dead-letters", "redrive", stream, code=1)
    shell.run("dead-letters", "redrive", "holon/nothing " + HOSTILE, code=1)
    shell.run("dead-letters", "redrive", "nothing " + HOSTILE, code=2)
    shell.run("dead-letters", "discard", stream, "--version", "3", "--dry-run")
    assert shell.json("dead-letters", "redrive", "--all", code=1)[0]["parked"]["stream"] == stream
    for command in (
        ("status", *PATIENT),
        ("top", "--rounds", "1", *PATIENT),
        ("events", "list"),
        ("events", "show", "1"),
        ("events", "list", "--type", HOSTILE),
        ("export", "graph"),
        ("export", "log"),
        ("fold", file),
        ("schemas", "check", "--against-log"),
        ("verify", "graph"),
        ("verify", "cache", "--all"),
        ("replay", "graph", "--in-place", "--dry-run"),
    ):
        shell.run(*command, code=1 if command in {("export", "log"), ("fold", file)} else 0)

    pipeline.processes.kill("graph")
    damage(pipeline)
    found = shell.run("verify", "graph", "--no-wait", code=1)
    assert "\\x1b[2J" in found
    assert shell.json("verify", "graph", "--no-wait", code=1)["diverging"] == 1
    shell.run("verify", "graph", "--no-wait", "--repair", code=1)
    shell.run("verify", "graph", "--no-wait")
    for name in ("graph", "cache", "relay"):
        log = (tmp_path / "logs" / f"{name}.log").read_text()
        assert all(line.isprintable() for line in log.splitlines()), name
        assert "\nforged line" not in log


def damage(pipeline: Pipeline) -> None:
    """Change a property of the hostile person behind the sink's back."""
    import neo4j

    with neo4j.GraphDatabase.driver(pipeline.environment["HOLONSTREAM_NEO4J_URI"]) as driver:
        driver.execute_query("MATCH (n:Holon {_id: $id}) SET n.name = 'x' + n.name", id=HOSTILE)


def test_the_log_is_browsed_and_followed(pipeline: Pipeline, shell: Shell, tmp_path: Path) -> None:
    made = [envelope("PersonCreated", f"p-{n}", name=f"name {n}") for n in range(12)]
    made[3] |= {"actor": "other", "occurredAt": "2020-01-01"}
    shell.run("import", "--dry-run", events_file(tmp_path, *made))
    assert shell.json("events", "list") == []
    assert shell.json("import", events_file(tmp_path, *made)) == {"events": 12, "appended": 12, "position": 12}
    assert [event["position"] for event in shell.json("events", "list", "--limit", "2")] == [11, 12]
    assert [event["position"] for event in shell.json("events", "list", "--after", "4", "--limit", "2")] == [5, 6]
    for chosen in (("--actor", "other"), ("--subject", "p-3"), ("--until", "2021-01-01")):
        assert [event["position"] for event in shell.json("events", "list", *chosen)] == [4]
    assert shell.json("events", "list", "--type", "PersonRenamed") == []
    one = shell.json("events", "show", "4")
    assert (one["stream"], one["version"], one["actor"], one["payload"]) == (
        "holon/p-3",
        1,
        "other",
        {"name": "name 3"},
    )
    assert shell.json("events", "show", one["id"]) == one
    shell.run("events", "show", "99", code=1)
    shell.run("events", "list", "--since", "yesterday", code=2)
    assert "Position 13 lies beyond the end of the log, 12" in shell.run("events", "tail", "--after", "13", code=1)

    command = [sys.executable, "-m", "holonstream", "events", "tail", "--last", "1", "--json", "--interval", "50ms"]
    tail = subprocess.Popen(command, stdout=subprocess.PIPE, env={**os.environ, **pipeline.environment}, text=True)
    assert tail.stdout is not None
    assert json.loads(tail.stdout.readline())["position"] == 12
    shell.run("import", events_file(tmp_path, envelope("PersonCreated", "late")))
    assert json.loads(tail.stdout.readline())["stream"] == "holon/late"
    tail.terminate()
    tail.wait(60)
    tail.stdout.close()


def test_wait_and_top_say_how_far_the_views_are(pipeline: Pipeline, shell: Shell, tmp_path: Path) -> None:
    shell.run("import", events_file(tmp_path, *(envelope("PersonCreated", f"p-{n}") for n in range(5))))
    assert "relay has published up to 0 of 5" in shell.missing()
    assert "beyond the log's head" in shell.run("wait", "99", code=1)
    assert "neither a token nor a position" in shell.run("wait", "soon", code=2)
    pipeline.start("relay", "cache")
    assert shell.json("wait", "--view", "cache", "--timeout", "5m")["position"] == 5
    assert "graph has " in shell.missing("3")
    pipeline.start("graph")
    assert shell.json("wait", "3", "--timeout", "5m")["views"] == ["graph", "cache"]

    report = json.loads(shell.run("top", "--json", "--rounds", "2", "--interval", "10ms", *PATIENT).splitlines()[-1])
    parts = {part["part"]: part for part in report["parts"]}
    assert parts.keys() == {"log", "relay", "graph", "cache"}
    assert parts["log"]["done"] == parts["relay"]["done"] == 5
    assert parts["graph"]["lag"] == parts["cache"]["lag"] == 0
    assert parts["relay"]["rate"] == 0.0
    assert {worker["group"] for worker in report["workers"]} == {"graph", "cache"}
    assert report["stuck"] == []
    pipeline.processes.kill("relay")

    def noticed() -> bool:
        return "no relay leads" in shell.run("top", "--rounds", "1", *PATIENT)

    wait_until(noticed, "the leader's lock is free")
    shell.run("import", events_file(tmp_path, envelope("PersonCreated", "late")))
    assert "relay: no relay leads, 1 event to publish" in shell.run("status", *PATIENT)
    (relay,) = [check for check in shell.json("doctor", *PATIENT)["checks"] if check["check"] == "relay"]
    assert (relay["state"], relay["remedy"]) == ("warning", "start `holonstream relay`")


def test_doctor_finds_what_is_wrong_and_says_what_to_do(
    pipeline: Pipeline, shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    healthy = shell.json("doctor", *PATIENT)
    assert healthy["ready"]
    states = {(check["server"], check["check"]): check["state"] for check in healthy["checks"]}
    assert {server for server, _ in states} == {"postgresql", "kafka", "neo4j", "redis"}
    for check in (("postgresql", "schema"), ("postgresql", "rights"), ("kafka", "topics"), ("neo4j", "constraints")):
        assert states[check] == "ok"
    details = {(check["server"], check["check"]): check["detail"] for check in healthy["checks"]}
    assert all("are free" in details[server, "disk"] for server in ("postgresql", "kafka"))
    assert "of Kafka 4.0 or later" in details["kafka", "cluster"]
    assert details["postgresql", "durability"].startswith("fsync off: ")  # so does the tests' server start
    assert ("kafka", "letters") not in states
    settings = Settings.of(pipeline.environment)
    alter(settings, "retention.ms", "604800000", topic=settings.dead_letter_topic)
    (letters,) = [check for check in shell.json("doctor", *PATIENT)["checks"] if check["check"] == "letters"]
    assert (letters["state"], "retention.ms=604800000" in letters["detail"]) == ("warning", True)
    assert f"--topic {settings.dead_letter_topic} --add-config retention.ms=-1" in letters["remedy"]
    monkeypatch.setenv("HOLONSTREAM_NAMESPACE", settings.namespace + "-other")
    lines = shell.run("doctor", *PATIENT, code=1).splitlines()
    faults = [line for line in lines if line.startswith("fault")]
    assert any(" kafka " in line.lower() and "holonstream init" in line for line in faults)
    assert any(" neo4j " in line.lower() and "holonstream init" in line for line in faults)
    monkeypatch.setenv("HOLONSTREAM_REDIS_URL", "redis://127.0.0.1:9/0")
    assert "127.0.0.1:9/0" in shell.run("doctor", *PATIENT, code=3)


def test_doctor_finds_a_relay_that_leads_and_publishes_nothing(
    pipeline: Pipeline, shell: Shell, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(doctor, "STUCK", 0.0)
    settings = Settings.of(pipeline.environment)
    shell.run("import", events_file(tmp_path, envelope("PersonCreated", "p-1")))
    with psycopg.connect(settings.log_dsn) as leader:  # as a relay that hangs
        leader.execute("SELECT pg_advisory_lock(%s)", [leader_key(settings.namespace)])
        checks = shell.json("doctor", *PATIENT, code=1)["checks"]
    (fault,) = [check for check in checks if check["state"] == "fault"]
    assert fault["check"] == "published"
    assert "position 0, 1 event to publish" in fault["detail"]
    assert "restart `holonstream relay`" in fault["remedy"]


def test_status_knows_the_rest_when_a_server_refuses(shell: Shell) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{closed.getsockname()[1]}"
        for server, setting, value, known in (
            ("Kafka", "KAFKA_BOOTSTRAP", address, ("log", "graph")),
            ("PostgreSQL", "POSTGRES_DSN", f"postgresql://postgres@{address}/none", ("relay", "groups", "graph")),
            ("Neo4j", "NEO4J_URI", f"bolt://{address}", ("log", "relay", "groups")),
            ("Redis", "REDIS_URL", f"redis://{address}/0", ("log", "relay", "groups", "graph")),
        ):
            with pytest.MonkeyPatch.context() as patch:
                patch.setenv(f"HOLONSTREAM_{setting}", value)
                shown = shell.json("status", *PATIENT, code=3)
                assert all(shown[part] for part in known), (server, shown)
                assert [name for name, asked in shown["servers"].items() if asked["error"]] == [server.lower()]
                lines = shell.run("status", *PATIENT, code=3).splitlines()
                (line,) = [line for line in lines if line.startswith("error: ")]
                assert line.startswith(f"error: {server} at ")
                assert address in line


def test_status_knows_all_when_the_host_of_the_first_broker_has_vanished(
    pipeline: Pipeline, shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(servers, "CONNECT", 60.0)  # as long as all of Kafka may take
    monkeypatch.setattr(servers, "HELLO", 30.0)
    with (
        socket.create_server(("127.0.0.1", 0), backlog=0) as vanished,
        socket.create_connection(vanished.getsockname()),  # all that it takes: the next one gets no answer
    ):
        address = f"127.0.0.1:{vanished.getsockname()[1]}"
        there = pipeline.environment["HOLONSTREAM_KAFKA_BOOTSTRAP"]
        monkeypatch.setenv("HOLONSTREAM_KAFKA_BOOTSTRAP", f"{address},{there}")
        shown = shell.json("status", "--timeout", "60s")
    assert shown["servers"]["kafka"]["error"] is None
    assert shown["groups"]


def test_status_does_not_wait_for_a_server_that_is_silent(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen()  # and never accepts
        address = f"127.0.0.1:{deaf.getsockname()[1]}"
        monkeypatch.setenv("HOLONSTREAM_KAFKA_BOOTSTRAP", address)
        monkeypatch.setenv("HOLONSTREAM_NEO4J_URI", f"bolt://{address}")
        shown = shell.json("status", "--timeout", "10s", code=3)
    assert shown["log"]["head"] == 0
    assert (shown["relay"]["position"], shown["groups"], shown["graph"]) == (None, {}, None)
    silent = {name: asked["error"] for name, asked in shown["servers"].items() if asked["error"]}
    assert silent.keys() == {"kafka", "neo4j"}
    assert all(address in shown["servers"][name]["address"] for name in silent)
