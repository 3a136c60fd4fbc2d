"""What the processes log: an incident in one line, with its place and cause, and neither a payload nor a secret."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource

from holonstream.ops.processes import Processes
from tests.fix_pipeline import Pipeline
from tests.support.poison import envelope
from tests.support.waiting import FIRST_BATCH, wait_until
from tests.support.worker_group import Log, Workers

MARKER = "payload-Marker"
SECRET = "secret-Marker"

POISON = [
    envelope("OrganizationCreated", "poor", holonType="MeasureDefinition", name=MARKER),
    envelope("OrganizationRealigned", "poor", properties={"measurements": f"no list, {MARKER}"}),
    envelope("MeasureEmitted", "poor", "x", value=1, measureId=MARKER),  # version 3 cannot be applied
    envelope("PersonCreated", "rich", name=MARKER),
]


class LogFiles:
    """The log files of processes, as lines of JSON."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def text(self) -> str:
        return "".join(file.read_text() for file in self.folder.glob("*.log"))

    def lines(self, event: str) -> list[dict[str, Any]]:
        found = [json.loads(line) for line in self.text().splitlines() if line.startswith("{")]
        return [line for line in found if line["event"] == event]


@pytest.fixture
def logged(tmp_path: Path) -> LogFiles:
    return LogFiles(tmp_path / "logs")


@pytest.fixture
def verbose(pipeline: Pipeline, logged: LogFiles) -> Iterator[Processes]:
    """Processes that log all that they can, with a secret wherever one may stand."""
    host = pipeline.environment["HOLONSTREAM_POSTGRES_DSN"].replace("postgres@", f"postgres:{SECRET}@")
    pipeline.environment |= {
        "HOLONSTREAM_LOG_LEVEL": "debug",
        "HOLONSTREAM_LOG_FORMAT": "json",
        "HOLONSTREAM_POSTGRES_DSN": host,
        "HOLONSTREAM_NEO4J_PASSWORD": SECRET,
    }
    with Processes(pipeline.environment, logged.folder) as processes:
        yield processes


def test_poison_is_reported_by_its_place_and_cause(
    pipeline: Pipeline, verbose: Processes, logged: LogFiles, tmp_path: Path
) -> None:
    file = tmp_path / "poison.json"
    file.write_text(json.dumps(POISON))
    pipeline.run("import", str(file))
    verbose.start("relay", "relay")
    pipeline.wait_until_caught_up()  # the relay, which would refuse a topic that ends with garbage
    garbage = Producer({"bootstrap.servers": pipeline.environment["HOLONSTREAM_KAFKA_BOOTSTRAP"]})
    place = {"subject": "holon/ghost", "sequence": "9", "streamversion": "1"}
    place["recordedtime"] = "2024-03-01T08:00:00.000Z"
    admin = AdminClient({"bootstrap.servers": pipeline.environment["HOLONSTREAM_KAFKA_BOOTSTRAP"]})
    smaller = ConfigEntry("max.message.bytes", "5000", incremental_operation=AlterConfigOpType.SET)
    letters = ConfigResource(
        ConfigResource.Type.TOPIC, f"{pipeline.namespace}.dead-letters", incremental_configs=[smaller]
    )
    admin.incremental_alter_configs([letters])[letters].result(30)
    broken = f"no JSON, {MARKER}, " + "x" * 20_000  # larger than a dead letter may be
    for value in (broken.encode(), json.dumps({**place, "data": MARKER}).encode()):
        garbage.produce(f"{pipeline.namespace}.events", value, b"holon/ghost", partition=0)
    garbage.flush(30)
    verbose.start("graph", "worker", "graph")
    verbose.start("cache", "worker", "cache")
    pipeline.wait_until_caught_up("graph", "cache", deadline=FIRST_BATCH)
    verbose.stop()

    parked = {line["stream"]: line for line in logged.lines("graph.stream.parked")}
    assert parked.keys() == {"holon/poor", "holon/ghost"}
    assert (parked["holon/poor"]["position"], parked["holon/poor"]["version"]) == (3, 3)
    assert parked["holon/poor"]["cause"] == "CannotApply"
    assert parked["holon/ghost"]["cause"] == "InvalidEvent"
    undecodable = logged.lines("cache.records.undecodable")  # more than one if the run came again
    assert {(line["partition"], line["count"], line["cause"]) for line in undecodable} == {(0, 1, "InvalidEvent")}
    assert logged.lines("dead_letters.shortened")
    found = [json.loads(value) for values in pipeline.values("dead-letters").values() for value in values]
    assert {letter["stream"] for letter in found} == {"holon/poor", "holon/ghost", None}
    assert all(letter["truncated"] for letter in found if letter["stream"] is None)
    assert MARKER not in logged.text()
    assert SECRET not in logged.text()
    assert MARKER in pipeline.run("dead-letters", "show", "holon/poor").stdout  # that is where an operator finds it


@pytest.mark.parametrize(
    ("process", "change", "event"),
    [
        ("cache", {"REDIS_URL": f"redis://:{SECRET}@127.0.0.1:9/0"}, "sink.unavailable"),
        ("graph", {"NEO4J_URI": "bolt://127.0.0.1:9", "NEO4J_PASSWORD": SECRET}, "sink.unavailable"),
        ("relay", {"POSTGRES_DSN": f"postgresql://postgres:{SECRET}@127.0.0.1:9/none"}, "relay.interrupted"),
        (
            "relay",
            {"POSTGRES_DSN": "postgresql://nobody@h?passfile=/", "POSTGRES_PASSWORD": SECRET},
            "relay.interrupted",
        ),
    ],
)
def test_a_server_that_refuses_is_one_line_without_the_secret(
    stack: Any, logged: LogFiles, process: str, change: dict[str, str], event: str
) -> None:
    environment = {**stack.env(), "HOLONSTREAM_LOG_FORMAT": "json", "HOLONSTREAM_LOG_LEVEL": "debug"}
    environment |= {f"HOLONSTREAM_{name}": value for name, value in change.items()}
    with Processes(environment, logged.folder) as processes:
        processes.start(process, *(["relay"] if process == "relay" else ["worker", process]))
        wait_until(lambda: logged.lines(event), f"{event}: {logged.text()}", 60)
    (line,) = logged.lines(event)
    assert line["cause"].endswith("Unavailable")
    assert SECRET not in logged.text()


def test_a_bug_is_reported_by_its_place_in_the_code(kafka_bootstrap: str, topic_prefix: str, tmp_path: Path) -> None:
    log = Log(kafka_bootstrap, topic_prefix)
    workers = Workers(log, tmp_path)
    producer = Producer({"bootstrap.servers": kafka_bootstrap})
    producer.produce(f"{topic_prefix}events", MARKER.encode(), partition=0)
    producer.flush(30)
    workers.order("bug")
    assert workers.start().wait(30) == 1
    text = (tmp_path / "worker.log").read_text()
    assert "worker.failed" in text
    assert "KeyError" in text
    assert "file_worker.py" in text
    assert "Traceback" not in text  # Faust cancels a commit in progress; the stop does not end with it
    assert MARKER not in text
