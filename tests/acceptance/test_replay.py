"""Replays, and streams that are parked and redriven, with real processes: as an operator uses them."""

from __future__ import annotations

import asyncio
import json
import re
import signal
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from holonstream.client import connections
from holonstream.ops.kafka import client
from holonstream.ops.processes import Processes
from holonstream.ops.replay.group import members
from holonstream.ops.replay.progress import ReplayEstimate
from holonstream.ops.settings import Settings
from holonstream.sinks.cache.entry import HEADER, decode_value, encode_holon
from holonstream.sinks.cache.reader import CachedGraphStore
from holonstream.sinks.graph.driver import GraphConnection
from holonstream.sinks.graph.read.store import Neo4jGraphStore
from tests.fix_pipeline import Pipeline, offsets
from tests.integration.test_redrive import NEWER
from tests.support.poison import POISON, Envelope, envelope
from tests.support.waiting import wait_until


def bring(pipeline: Pipeline, folder: Path, events: list[Envelope]) -> None:
    """Append events."""
    file = folder / "events.json"
    file.write_text(json.dumps(events))
    pipeline.run("import", str(file))


def with_target(pipeline: Pipeline, uri: str, suffix: str) -> Pipeline:
    """The same command line, for the graph beside."""
    environment = {**pipeline.environment, "HOLONSTREAM_NEO4J_URI": uri, "HOLONSTREAM_GROUP_SUFFIX": suffix}
    return Pipeline(environment, pipeline.processes)


def test_progress_shows_the_recent_rate_and_the_time_left() -> None:
    estimate = ReplayEstimate(100.0)
    assert str(estimate.add(100.0, 0, 50_000, 0)).endswith("? left   0 workers")
    estimate.add(101.0, 10, 50_000, 1)
    for second in range(2, 30):
        progress = estimate.add(100.0 + second, 1_000 * second, 50_000, 2)
    assert (progress.rate, progress.left) == (1_000, 21)
    assert "29,000 of 50,000 ( 58.0 %)       1,000/s   0:21 left   2 workers" in str(progress)
    assert estimate.add(200.0, 50_000, 50_000, 2).left == 0


def test_a_graph_is_rebuilt_beside_the_live_one_despite_interruptions_and_changing_workers(
    pipeline: Pipeline, other_graph: str, small_organisation: Path, tmp_path: Path
) -> None:
    pipeline.start("relay", "graph")
    bring(pipeline, tmp_path, json.loads(small_organisation.read_text()) + POISON)
    pipeline.wait_until_caught_up("graph")
    assert [mark["version"] for mark in pipeline.json("dead-letters", "list", "--json")] == [3]
    pipeline.run("dead-letters", "discard", "holon/poor", "--version", "3", "--note", "no such unit")
    live = pipeline.run("export", "graph", "--json").stdout
    end = offsets(pipeline.environment["HOLONSTREAM_NEO4J_URI"], pipeline.namespace)

    # small batches, so that the replay takes long enough to be interrupted
    replaying = Processes({**pipeline.environment, "HOLONSTREAM_BATCH_EVENTS": "5"}, tmp_path / "replay")
    order = ("replay", "graph", "--to-uri", other_graph, "--workers", "1", "--logs", str(tmp_path / "replay"))
    with replaying:
        first = replaying.start("first", *order)
        reached = wait_until(lambda: offsets(other_graph, pipeline.namespace), "the replay has begun", 240)
        first.send_signal(signal.SIGTERM)
        assert first.wait(60) == 143
        replaying.running.clear()
        before = offsets(other_graph, pipeline.namespace)
        assert 0 < reached <= before < end

        again = replaying.start("again", *order)
        wait_until(lambda: offsets(other_graph, pipeline.namespace) > before, "the replay continues", 60)
        output = (tmp_path / "replay" / "again.log").read_text()
        assert re.search(r"continues at log position [1-9]", output)
        found = re.search(r"HOLONSTREAM_GROUP_SUFFIX=(\S+) holonstream worker graph", output)
        assert found is not None
        target = with_target(pipeline, other_graph, found[1])
        settings = Settings.of(target.environment)
        brokers, group = client(settings), settings.group("graph")

        with Processes({**target.environment, "HOLONSTREAM_BATCH_EVENTS": "5"}, tmp_path / "joined") as joined:
            joined.start("worker", "worker", "graph")
            wait_until(
                lambda: [len(m.partitions) > 0 for m in members(brokers, group)] == [True, True],
                "partitions moved",
                60,
            )
            at = offsets(other_graph, pipeline.namespace)
            wait_until(lambda: offsets(other_graph, pipeline.namespace) > at + 300, "both workers write", 60)
            joined.kill("worker")  # and the partitions move back
        assert again.wait(300) == 0, (tmp_path / "replay" / "again.log").read_text()
        replaying.running.clear()

    output = (tmp_path / "replay" / "again.log").read_text()
    assert "1 event discarded again" in output
    assert "parked:" not in output
    assert "Switch:" in output
    assert target.run("export", "graph", "--json").stdout == live
    assert pipeline.run("export", "graph", "--json").stdout == live
    assert target.json("dead-letters", "list", "--json") == []

    # as the last lines say: workers of the new graph continue where the replay ended
    with Processes(target.environment, tmp_path / "switched") as switched:
        switched.start("worker", "worker", "graph")
        bring(pipeline, tmp_path, [envelope("PersonCreated", "late", name="Late")])
        pipeline.wait_until_caught_up("graph")
        wait_until(lambda: target._caught_up(("graph" + found[1],)), "the new graph's workers follow", 60)
    after = pipeline.run("export", "graph", "--json").stdout
    assert after != live
    assert target.run("export", "graph", "--json").stdout == after


def test_a_second_replay_of_the_day_takes_no_partitions_from_the_graph_that_the_first_has_made(
    pipeline: Pipeline, other_graph: str, tmp_path: Path
) -> None:
    pipeline.environment["HOLONSTREAM_GROUP_SUFFIX"] = f"-replay-{datetime.now(UTC):%Y%m%d}"  # as it was switched to
    settings = Settings.of(pipeline.environment)
    pipeline.start("relay")
    bring(pipeline, tmp_path, [envelope("PersonCreated", f"p-{n}", name=f"P{n}") for n in range(50)])
    with Processes(pipeline.environment, tmp_path / "live") as live:
        live.start("graph", "worker", "graph")
        pipeline.wait_until_caught_up(settings.group("graph").removeprefix(f"{pipeline.namespace}-"))
        done = pipeline.run("replay", "graph", "--to-uri", other_graph, "--workers", "1")
        found = re.search(r"group (\S+); more workers", done.stderr)
        assert found is not None
        assert found[1] != settings.group("graph")
        (worker,) = members(client(settings), settings.group("graph"))
        assert len(worker.partitions) == 12
        live.check()
    target = with_target(pipeline, other_graph, found[1].removeprefix(f"{pipeline.namespace}-graph"))
    assert target.run("export", "graph", "--json").stdout == pipeline.run("export", "log", "--json").stdout


def test_a_graph_that_no_replay_has_made_is_refused(pipeline: Pipeline, other_graph: str) -> None:
    live = pipeline.environment["HOLONSTREAM_NEO4J_URI"]
    assert "is the live graph" in pipeline.run("replay", "graph", "--to-uri", live, code=1).stderr

    async def fill() -> None:
        async with GraphConnection(other_graph) as connection:
            await connection.execute("CREATE (:Holon {_id: 'x'})")

    asyncio.run(fill())
    refused = pipeline.run("replay", "graph", "--to-uri", other_graph, code=1).stderr
    assert "holds 1 node that no replay made" in refused


def test_the_one_graph_is_rebuilt_in_place_only_when_no_worker_runs(
    pipeline: Pipeline, small_organisation: Path, tmp_path: Path
) -> None:
    pipeline.start("relay", "graph")
    bring(pipeline, tmp_path, json.loads(small_organisation.read_text()) + POISON)
    pipeline.wait_until_caught_up("graph")
    pipeline.run("dead-letters", "discard", "holon/poor", "--version", "3")
    live = pipeline.run("export", "graph", "--json").stdout
    uri = pipeline.environment["HOLONSTREAM_NEO4J_URI"]

    refused = pipeline.run("replay", "graph", "--in-place", "--yes", code=1).stderr
    assert f"{pipeline.namespace}-graph has 1 worker, which must be stopped first: faust" in refused
    assert "on 127.0.0.1 with 12 partitions" in refused
    worker = pipeline.processes.running.pop("graph")
    worker.send_signal(signal.SIGTERM)
    worker.wait(30)
    pipeline.run("replay", "graph", "--in-place", code=130)  # the question was not answered
    assert pipeline.run("export", "graph", "--json").stdout == live

    async def damage() -> None:
        async with GraphConnection(uri) as connection:
            await connection.execute("MATCH (n:Person) SET n.name = 'nobody', n._version = 99")
            await connection.execute("CREATE (:Holon:Person {_id: 'ghost', _version: 1})")

    asyncio.run(damage())
    done = pipeline.run("replay", "graph", "--in-place", "--yes")
    assert re.search(r"wiped [\d,]+ nodes", done.stderr)
    assert "1 event discarded again" in done.stdout
    assert pipeline.run("export", "graph", "--json").stdout == live
    assert pipeline.json("dead-letters", "list", "--json") == []
    pipeline.start("graph")
    bring(pipeline, tmp_path, [envelope("PersonCreated", "late", name="Late")])
    pipeline.wait_until_caught_up("graph")
    state = pipeline.json("export", "graph", "--json")
    assert [holon["id"] for holon in state["holons"] if holon["id"] == "late"] == ["late"]


def test_a_stream_that_older_workers_parked_is_redriven_while_they_work(pipeline: Pipeline, tmp_path: Path) -> None:
    pipeline.start("relay", "graph")  # with the schemas that ship
    schemas = tmp_path / "schemas"
    schemas.mkdir()
    (schemas / "PersonModified.v2.json").write_text(json.dumps(NEWER))
    pipeline.environment["HOLONSTREAM_SCHEMAS"] = str(schemas)
    pipeline.run("init")
    newer = {**envelope("PersonModified", "p-0", changes={"rank": "O-4"}), "schemaVersion": 2}
    bring(pipeline, tmp_path, [*(envelope("PersonCreated", f"p-{n}", name=f"P{n}") for n in range(5)), newer])

    def parked() -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = pipeline.json("dead-letters", "list", "--json")
        return found

    def older(number: int) -> list[Envelope]:
        return [
            {**envelope("PersonModified", f"p-{n}", properties={f"k{number}": number}), "schemaVersion": 1}
            for n in range(5)
            for _ in range(20)
        ]

    (mark,) = wait_until(parked, "the stream is parked", 60)
    assert (mark["stream"], mark["version"], mark["waiting"]) == ("holon/p-0", 2, 0)
    bring(pipeline, tmp_path, older(0))
    pipeline.wait_until_caught_up("graph")
    shown = pipeline.json("dead-letters", "show", "holon/p-0")
    assert shown["waiting"] == 20
    assert shown["event"]["data"] == {"changes": {"rank": "O-4"}}
    assert shown["state"]["properties"] == {"name": "P0"}
    assert "version 2" in shown["reason"]
    assert "version 2" in pipeline.run("dead-letters", "list").stdout

    without = Pipeline(
        {k: v for k, v in pipeline.environment.items() if k != "HOLONSTREAM_SCHEMAS"}, pipeline.processes
    )
    assert "still parked at version 2" in without.run("dead-letters", "redrive", "--all", code=1).stdout

    # while the worker is busy with this and other streams
    for number in range(1, 4):
        bring(pipeline, tmp_path, [*older(number), newer])
        pipeline.processes.start(f"redrive-{number}", "dead-letters", "redrive", "--all").wait(60)
        pipeline.processes.running.pop(f"redrive-{number}")
    pipeline.wait_until_caught_up("graph")
    if parked():  # the worker is as old as before
        pipeline.run("dead-letters", "redrive", "--all")
    assert parked() == []
    assert "Not parked: holon/p-0" in pipeline.run("dead-letters", "redrive", "holon/p-0", code=1).stderr
    assert pipeline.run("export", "graph", "--json").stdout == pipeline.run("export", "log", "--json").stdout


def test_a_cleared_cache_answers_from_the_graph(pipeline: Pipeline, tmp_path: Path) -> None:
    pipeline.start("relay", "graph", "cache")
    bring(pipeline, tmp_path, [envelope("PersonCreated", f"p-{n}", name=f"P{n}") for n in range(3)])
    pipeline.wait_until_caught_up("graph", "cache")
    settings = Settings.of(pipeline.environment)

    async def read() -> tuple[list[str], int, int]:
        """The names of all three, cache hits, and fills."""
        async with connections.graph_connection(settings) as connection:
            graph = Neo4jGraphStore(connection, connections.catalogue(settings), settings.topic)
            redis = connections.redis_client(settings, timeout=5)
            async with CachedGraphStore(graph, redis, settings.namespace) as store:
                found = [await store.get_holon(f"p-{n}") for n in range(3)]
                return (
                    [h.properties["name"] for h in found if h is not None],
                    store.counters.hits,
                    store.counters.fills,
                )

    async def spoil() -> None:
        """A wrong value that no invalidation will replace, as of a restored Redis: at a position that is far ahead."""
        redis = connections.redis_client(settings, timeout=5)
        key = f"{settings.namespace}:holon:p-1"
        entry = await redis.get(key)
        assert isinstance(entry, bytes)
        holon = decode_value(entry, "p-1")
        assert holon is not None
        wrong = replace(holon, properties={"name": "XX"}, position=10**12)
        await redis.set(key, b"V%020d%b%b" % (wrong.position, entry[21:HEADER], encode_holon(wrong)))
        await redis.aclose()

    def right_and_cached() -> bool:
        names, hits, _ = asyncio.run(read())
        assert names == ["P0", "P1", "P2"]
        return hits == 3

    wait_until(right_and_cached, "the cache is warm", 30)
    asyncio.run(spoil())
    assert asyncio.run(read())[0] == ["P0", "XX", "P2"]
    worker = pipeline.processes.running["cache"]
    worker.send_signal(signal.SIGSTOP)  # the one that says from when on what may be filled
    try:
        assert pipeline.run("replay", "cache").stderr == "3 entries deleted\n"
        names, hits, fills = asyncio.run(read())
        assert (names, hits, fills) == (["P0", "P1", "P2"], 0, 0)
    finally:
        worker.send_signal(signal.SIGCONT)
    wait_until(right_and_cached, "it is filled again", 60)
