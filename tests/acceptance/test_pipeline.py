"""The whole path with real processes: the organisation, the reference cases, kills in the middle, and bad input."""

from __future__ import annotations

import json
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

import psycopg
import pytest

from holonstream.ops.processes import Processes
from tests.fix_pipeline import CASES, Pipeline, offsets
from tests.support.event_log import append, envelope
from tests.support.waiting import wait_until


def test_the_organisation_arrives_whole_though_every_process_is_killed_on_the_way(
    pipeline: Pipeline, organisation: Path
) -> None:
    total = len(json.loads(organisation.read_text()))
    pipeline.environment["HOLONSTREAM_RELAY_BATCH"] = "500"  # many transactions, so that the kill falls among them
    pipeline.environment["HOLONSTREAM_BATCH_EVENTS"] = "30"
    pipeline.start("relay", "relay-standby", "graph", "graph-2", "cache")
    pipeline.run("import", str(organisation))

    pipeline.wait_until_relayed(1)
    pipeline.processes.kill("relay")
    graph_uri = pipeline.environment["HOLONSTREAM_NEO4J_URI"]
    wait_until(lambda: offsets(graph_uri, pipeline.namespace), "the graph has begun")
    pipeline.processes.kill("graph")
    pipeline.processes.kill("cache")
    assert offsets(graph_uri, pipeline.namespace) < total
    pipeline.start("relay", "graph", "cache")
    pipeline.wait_until_caught_up("graph", "cache")

    # each event once on the topic, in order
    records = pipeline.records()
    assert Counter(event.id for found in records.values() for event in found).most_common(1)[0][1] == 1
    assert sum(len(found) for found in records.values()) == total
    for found in records.values():
        assert all(before.position < after.position for before, after in pairwise(found))
    versions: dict[str, int] = {}
    for event in sorted((e for found in records.values() for e in found), key=lambda e: e.position):
        assert event.version == versions.get(event.stream, 0) + 1
        versions[event.stream] = event.version

    graph = pipeline.run("export", "graph", "--json").stdout
    assert graph == pipeline.run("fold", str(organisation)).stdout
    assert graph == pipeline.run("export", "log", "--json").stdout
    state = json.loads(graph)
    assert len(state["holons"]) > 1_000
    assert len(state["relationships"]) > 2_500


@pytest.mark.parametrize("case", sorted(file.name for file in CASES.glob("*.json")))
def test_an_example_case_comes_out_as_expected(pipeline: Pipeline, case: str) -> None:
    pipeline.start("relay", "graph")
    pipeline.run("import", str(CASES / case))
    pipeline.wait_until_caught_up("graph")
    expected = json.loads((CASES / case).read_text())["expected"]
    for state in (pipeline.json("export", "graph", "--json"), pipeline.json("fold", str(CASES / case))):
        for kind in ("holons", "relationships"):
            found = {entity["id"]: entity for entity in state[kind]}
            wanted = {entity["id"]: entity for entity in expected[kind]}
            assert found.keys() == wanted.keys()
            for id_, entity in wanted.items():
                assert {name: found[id_][name] for name in entity} == entity


ENVELOPE = {
    "type": "PersonCreated",
    "occurredAt": "2024-03-01T08:00:00.000Z",
    "actor": "test",
    "subjects": ["p-1"],
    "payload": {"name": "Ada"},
    "sourceSystem": "test",
}


def test_status_names_the_session_that_holds_the_frontier_and_the_leader(pipeline: Pipeline, tmp_path: Path) -> None:
    pipeline.start("relay")
    dsn = pipeline.environment["HOLONSTREAM_POSTGRES_DSN"]
    with psycopg.connect(dsn, application_name="month-end close") as service:
        append(service, [envelope("held")])
        file = tmp_path / "events.json"
        file.write_text(json.dumps([ENVELOPE]))
        pipeline.run("import", str(file))

        def status() -> Any:
            return pipeline.json("status", "--json", "--timeout", "60s")

        shown = wait_until(lambda: (s := status())["relay"]["leader"] and s, "a relay leads")
        assert (shown["log"]["head"], shown["log"]["frontier"], shown["relay"]["position"]) == (2, 0, 0)
        assert shown["relay"]["lag"] == 1
        holder = shown["log"]["holder"]
        assert (holder["position"], holder["pid"], holder["application_name"], holder["state"]) == (
            0, service.info.backend_pid, "month-end close", "idle in transaction",
        )  # fmt: skip
        assert 0 < holder["age_seconds"] < 120
        assert shown["relay"]["leader"]["application_name"] == "holonstream-relay"
        lines = pipeline.run("status", "--timeout", "60s").stdout
        assert "head 2, gap-free up to 0" in lines
        holder = f"held back at 0 by pid {service.info.backend_pid} (postgres, month-end close, "
        assert holder in lines
    wait_until(lambda: status()["relay"]["position"] == 2, "the relay continues when that transaction has ended")
    assert status()["log"]["holder"] is None


def test_a_trace_is_kept_from_the_append_to_the_record_the_dead_letter_and_the_log_line(
    pipeline: Pipeline, tmp_path: Path
) -> None:
    def trace(number: int) -> str:
        return f"00-4bf92f3577b34da6a3ce929d0e0e4736-{number:016x}-01"

    poison = [
        {"type": "OrganizationCreated", "payload": {"holonType": "MeasureDefinition", "measurements": "no list"}},
        {"type": "MeasureEmitted", "payload": {"value": 1, "measureId": "k"}, "subjects": ["m", "x"]},
        {"type": "OrganizationRealigned", "payload": {"properties": {"name": "M"}}},
    ]
    events = [{**ENVELOPE, "subjects": ["m"], **e, "traceparent": trace(n)} for n, e in enumerate(poison)]
    file = tmp_path / "events.json"
    file.write_text(json.dumps(events))
    with Processes({**pipeline.environment, "HOLONSTREAM_LOG_FORMAT": "json"}, tmp_path / "json") as processes:
        processes.start("relay", "relay")
        processes.start("graph", "worker", "graph")
        pipeline.run("import", str(file))
        pipeline.wait_until_caught_up("graph")

    records = [event for events in pipeline.records().values() for event in events]
    assert [event.traceparent for event in records] == [trace(0), trace(1), trace(2)]
    letters = [json.loads(value) for values in pipeline.values("dead-letters").values() for value in values]
    # an attempt that was not committed has sent them already
    assert {(letter["version"], letter["traceparent"]) for letter in letters} == {(2, trace(1)), (3, trace(2))}
    lines = (tmp_path / "json" / "graph.log").read_text().splitlines()
    (parked,) = [line for line in map(json.loads, lines) if line["event"] == "graph.stream.parked"]
    assert (parked["stream"], parked["version"], parked["traceparent"]) == ("holon/m", 2, trace(1))
    assert pipeline.json("dead-letters", "show", "holon/m")["event"]["traceparent"] == trace(1)


BAD: list[tuple[object, str]] = [
    ([ENVELOPE, {**ENVELOPE, "type": "PersonPromoted"}], "Unknown event type: 'PersonPromoted'"),
    ([ENVELOPE, {**ENVELOPE, "subjects": []}], "Missing subject"),
    ([ENVELOPE, {**ENVELOPE, "occurredAt": "yesterday"}], "Not an instant: 'yesterday'"),
    ([ENVELOPE, {**ENVELOPE, "id": "17"}], "not a UUID"),
    ([ENVELOPE, {**ENVELOPE, "payload": {"holonType": "Robot"}}], "Robot"),
    ("[{]", "Invalid JSON"),
    ({"facts": []}, "no key 'events'"),
]


def test_a_bad_file_is_refused_whole_with_one_line(pipeline: Pipeline, tmp_path: Path) -> None:
    file = tmp_path / "bad.json"
    for events, said in BAD:
        file.write_text(events if isinstance(events, str) else json.dumps(events))
        for command in ("import", "fold"):
            failed = pipeline.run(command, str(file), code=1)
            assert failed.stdout == ""
            (line,) = failed.stderr.splitlines()
            assert line.startswith("error: ")
            assert said in line
            assert line.startswith(f"error: {file}: ")
            assert ("(number 2 of the list)" in line) == isinstance(events, list)
    assert pipeline.json("status", "--json", "--timeout", "60s")["log"]["head"] == 0


@pytest.mark.parametrize(
    ("setting", "address", "command"),
    [
        ("HOLONSTREAM_POSTGRES_DSN", "postgresql://postgres@127.0.0.1:9/none", ("export", "log")),
        ("HOLONSTREAM_NEO4J_URI", "bolt://127.0.0.1:9", ("export", "graph")),
        ("HOLONSTREAM_KAFKA_BOOTSTRAP", "127.0.0.1:9", ("status",)),
    ],
)
def test_a_server_that_cannot_be_reached_is_named_in_one_line(
    pipeline: Pipeline, setting: str, address: str, command: tuple[str, ...]
) -> None:
    pipeline.environment[setting] = address
    failed = pipeline.run(*command, code=3)
    (line,) = failed.stderr.splitlines()
    assert line.startswith("error: ")
    assert "127.0.0.1:9" in line or 'host "127.0.0.1", port 9' in line or 'at "127.0.0.1", port 9' in line


def test_wrong_settings_are_all_named_at_once(pipeline: Pipeline) -> None:
    pipeline.environment |= {"HOLONSTREAM_PARTITIONS": "many", "HOLONSTREAM_LOG_FORMAT": "xml"}
    failed = pipeline.run("status", code=2)
    assert "HOLONSTREAM_PARTITIONS" in failed.stderr
    assert "HOLONSTREAM_LOG_FORMAT" in failed.stderr
