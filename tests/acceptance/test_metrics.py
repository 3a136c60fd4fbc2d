"""What Prometheus and an orchestrator see of real processes: every metric with a right value, and who is ready."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from confluent_kafka import Producer
from prometheus_client import CollectorRegistry

import local
from holonstream.client import NotYetVisible, SyncClient, Token
from holonstream.observe.catalogue import METRICS
from holonstream.processes import Processes
from holonstream.settings import Settings
from local import ports
from tests.acceptance.conftest import Pipeline
from tests.acceptance.test_replay import POISON, envelope
from tests.support.event_log import append, person
from tests.support.event_log import envelope as log_envelope
from tests.support.scraping import Scrape, Target, scrape
from tests.support.waiting import wait_until

NAMES = ("relay", "standby", "graph", "cache", "exporter")
ARGUMENTS = {"relay": ["relay"], "standby": ["relay"], "graph": ["worker", "graph"], "cache": ["worker", "cache"]}
PEOPLE = 500


class Watched:
    """A pipeline, each of whose processes serves its metrics."""

    def __init__(self, pipeline: Pipeline, logs: Path) -> None:
        pipeline.environment |= {"HOLONSTREAM_METRICS_INTERVAL": "0.3", "HOLONSTREAM_READY_STALL": "5"}
        self.pipeline = pipeline
        self.targets = {name: Target(port) for name, port in ports.choose(NAMES).items()}
        self.processes = Processes(pipeline.environment, logs)

    def start(self, *names: str) -> None:
        for name in names:
            self.processes.start(name, *ARGUMENTS.get(name, [name]), metrics_port=self.targets[name].port)

    def scrape(self, name: str) -> Scrape:
        self.processes.check()
        return self.targets[name].scrape()

    def wait_for(self, process: str, metric: str, wanted: float, **labels: str) -> None:
        wait_until(
            lambda: self.scrape(process).value(metric, **labels) == wanted,
            f"{metric} {labels} of {process} is {wanted}: {self.scrape(process).samples.get(metric)}",
            30,
        )


@pytest.fixture
def watched(pipeline: Pipeline, tmp_path: Path) -> Iterator[Watched]:
    made = Watched(pipeline, tmp_path / "logs")
    with made.processes:
        yield made


def test_every_metric_is_there_with_a_right_value(watched: Watched, stack: local.Stack, tmp_path: Path) -> None:
    pipeline, namespace = watched.pipeline, watched.pipeline.namespace
    events = [envelope("PersonCreated", f"p-{n}", name=f"Person {n}") for n in range(PEOPLE)] + POISON
    total = len(events)
    file = tmp_path / "events.json"
    file.write_text(json.dumps(events))

    # the exporter sees the lag of groups that nobody works for
    watched.start("relay", "exporter")
    pipeline.run("import", str(file))
    watched.wait_for("exporter", "holonstream_log_frontier_position", total)
    watched.wait_for("exporter", "holonstream_relay_lag_events", 0)
    outside = watched.scrape("exporter")
    for group in ("graph", "cache"):
        assert (outside.value("holonstream_consumer_group_lag", group=group) or 0) >= total
        assert 0 < (outside.value("holonstream_consumer_group_lag_seconds", group=group) or 0) < 60
        assert outside.value("holonstream_consumer_group_members", group=group) == 0
    assert outside.value("holonstream_log_head_position") == total
    assert outside.value("holonstream_relay_lag_seconds") == 0
    assert outside.value("holonstream_exporter_source_up", source="log") == 1
    assert outside.value("holonstream_exporter_source_up", source="kafka") == 1

    # a standby is as ready as a leader
    watched.start("standby", "graph", "cache")
    for name in NAMES:
        wait_until(watched.targets[name].ready, f"{name} is ready: {watched.targets[name].get('/readyz')}", 60)
        assert watched.targets[name].get("/livez") == (200, "alive\n")
    leader, standby = watched.scrape("relay"), watched.scrape("standby")
    assert (leader.value("holonstream_relay_leading"), standby.value("holonstream_relay_leading")) == (1, 0)
    assert leader.value("holonstream_relay_events_total") == total
    assert 1 <= (leader.value("holonstream_relay_transactions_total") or 0) <= total
    assert (leader.value("holonstream_relay_bytes_total") or 0) > 100 * total
    assert leader.value("holonstream_relay_position") == total
    assert standby.value("holonstream_relay_lag_seconds") is None
    assert standby.value("holonstream_log_head_position") == total

    # the workers have handled all of it
    watched.wait_for("exporter", "holonstream_consumer_group_lag", 0)
    watched.wait_for("exporter", "holonstream_consumer_group_lag_seconds", 0)
    watched.wait_for("exporter", "holonstream_consumer_group_members", 2)
    for group, applied, dead in (("graph", total - 3, 3), ("cache", total, 0)):
        watched.wait_for(group, "holonstream_group_lag_events", 0)
        found = watched.scrape(group)
        assert found.value("holonstream_group_partitions", group=group) == 12
        assert len(found.samples["holonstream_group_lag_events"]) == 12
        assert found.value("holonstream_group_lag_seconds", group=group) == 0
        assert found.value("holonstream_events_total", outcome="applied") == applied
        assert found.value("holonstream_events_total", outcome="dead") == dead
        assert found.value("holonstream_events_total", outcome="skipped") == 0
        assert found.value("holonstream_run_events_sum") == total
        writes = found.value("holonstream_write_seconds_count")
        assert writes == found.value("holonstream_run_events_count") == found.value("holonstream_fold_seconds_count")
        seconds, fold = found.value("holonstream_write_seconds_sum"), found.value("holonstream_fold_seconds_sum")
        assert seconds is not None
        assert fold is not None
        assert 0 < fold < seconds
        assert found.value("holonstream_freshness_seconds_bucket", le="+Inf") == total
        assert found.value("holonstream_freshness_seconds_bucket", le="0.01") == 0  # they waited for the workers
    assert watched.scrape("graph").value("holonstream_parked_streams") == 1
    assert watched.scrape("cache").value("holonstream_cache_tombstones_total") == PEOPLE + 1
    assert watched.scrape("cache").value("holonstream_cache_floors_total") == 12

    # a transaction that stays open holds the frontier
    with psycopg.connect(pipeline.environment["HOLONSTREAM_POSTGRES_DSN"]) as service:
        append(service, [log_envelope("p-0", type="PersonModified", payload={"diff": {"rank": "O-4"}})])
        for name in ("relay", "exporter"):
            wait_until(
                lambda name=name: (watched.scrape(name).value("holonstream_log_frontier_holder_seconds") or 0) > 0.5,  # type: ignore[misc]
                f"{name} sees who holds the frontier",
            )
            watched.wait_for(name, "holonstream_log_head_position", total + 1)
            assert watched.scrape(name).value("holonstream_log_frontier_position") == total
    for name in ("relay", "exporter"):
        watched.wait_for(name, "holonstream_log_frontier_holder_seconds", 0)

    # another producer with the relay's id: the leader is interrupted, and leads again
    bootstrap = pipeline.environment["HOLONSTREAM_KAFKA_BOOTSTRAP"]
    intruder = Producer({"bootstrap.servers": bootstrap, "transactional.id": f"{namespace}-relay"})
    intruder.init_transactions(30)
    pipeline.run("import", str(_one(tmp_path)))
    wait_until(
        lambda: sum(
            watched.scrape(name).value("holonstream_relay_interruptions_total", cause="fenced") or 0
            for name in ("relay", "standby")
        ),
        "a relay was fenced",
    )
    watched.wait_for("exporter", "holonstream_relay_lag_seconds", 0)

    # a reader
    with SyncClient.from_settings(Settings.of(pipeline.environment)) as client:
        registry = CollectorRegistry()
        client.metrics.register(registry)
        (appended,) = client.append([person("reader")])
        with pytest.raises(NotYetVisible):
            client.get_holon("reader", at_least=Token({"holon/reader": 10**9}), deadline=0.1)
        wait_until(lambda: client.get_holon("reader", at_least=appended.token, deadline=30), "it is visible")
        wait_until(
            lambda: client.get_holon("reader") and scrape(registry).value("holonstream_cache_fills_total"), "a fill"
        )
        wait_until(
            lambda: client.get_holon("reader") and scrape(registry).value("holonstream_cache_hits_total"), "a hit"
        )
        reader = scrape(registry)
        assert reader.value("holonstream_append_events_total") == 1
        assert reader.value("holonstream_append_seconds_count") == 1
        assert (reader.value("holonstream_cache_misses_total") or 0) >= 1
        assert (reader.value("holonstream_graph_reads_total") or 0) >= 1
        assert (reader.value("holonstream_token_waits_total") or 0) >= 1

    # Redis goes and comes back, empty: tries are counted by their cause, and floors made again
    stack.kill("redis")
    wait_until(lambda: watched.targets["cache"].unready("the store is down"), "the cache worker says so")
    pipeline.run("import", str(_one(tmp_path)))
    wait_until(lambda: watched.scrape("cache").value("holonstream_retries_total", cause="CacheUnavailable"), "retries")
    assert (watched.scrape("cache").value("holonstream_group_lag_seconds") or 0) > 0
    assert watched.targets["graph"].ready()
    stack.start("redis")
    wait_until(watched.targets["cache"].ready, "the cache worker is ready again", 60)
    watched.wait_for("cache", "holonstream_group_lag_events", 0)
    assert (watched.scrape("cache").value("holonstream_cache_floors_total") or 0) > 12

    # each metric of the catalogue was there, as the catalogue says it
    seen = {name: watched.scrape(name) for name in NAMES if name != "standby"}
    seen["relay"] = watched.scrape("relay" if seen["relay"].value("holonstream_relay_leading") else "standby")
    for name, found in {**seen, "client": reader}.items():
        for metric in METRICS.values():
            if name not in metric.processes or (name == "client" and metric.name == "holonstream_build_info"):
                assert metric.name not in found.types
                continue
            assert (found.types[metric.name], found.help[metric.name]) == (metric.kind, metric.help)
            samples = found.samples.get(metric.name + ("_bucket" if metric.buckets else ""), [])
            if metric.name not in ("holonstream_cache_fills_refused_total", "holonstream_retries_total"):
                assert samples, f"{metric.name} of {name}"
            assert all(set(sample.labels) - {"le"} == set(metric.labels) for sample in samples)
            if metric.buckets:
                bounds = {float(sample.labels["le"]) for sample in samples}
                assert bounds == {*metric.buckets, float("inf")}
        assert name == "client" or found.value("holonstream_build_info", process=name) == 1
        assert name == "client" or (found.value("process_resident_memory_bytes") or 0) > 1_000_000


def _one(folder: Path) -> Path:
    file = folder / "one.json"
    file.write_text(json.dumps([envelope("PersonModified", "p-1", diff={"rank": "O-5"})]))
    return file


def test_a_worker_whose_graph_does_not_answer_is_not_ready_until_it_does(
    watched: Watched, stack: local.Stack, tmp_path: Path
) -> None:
    graph = watched.targets["graph"]
    watched.start("relay", "graph")
    wait_until(graph.ready, "the graph worker is ready", 60)
    stack.pause("neo4j")
    try:
        # nothing is to be written, and still it is noticed
        wait_until(lambda: graph.unready("the store is down: no answer for 5 s"), "the store is down")
        watched.pipeline.run("import", str(_one(tmp_path)))
        wait_until(lambda: watched.scrape("graph").value("holonstream_group_lag_events"), "the worker lags")
        wait_until(lambda: (watched.scrape("graph").value("holonstream_group_lag_seconds") or 0) > 1, "for a while")
        assert graph.get("/livez")[0] == 200
    finally:
        stack.resume("neo4j")
    wait_until(graph.ready, "the graph worker is ready again", 60)
    watched.wait_for("graph", "holonstream_group_lag_events", 0)


@pytest.mark.parametrize(
    ("name", "setting", "address", "reason"),
    [
        ("relay", "POSTGRES_DSN", "postgresql://postgres@127.0.0.1:9/none", "PostgreSQL unavailable"),
        ("graph", "NEO4J_URI", "bolt://127.0.0.1:9", "Neo4j at bolt://127.0.0.1:9"),
    ],
)
def test_a_process_without_its_server_lives_and_is_not_ready(
    tmp_path: Path, name: str, setting: str, address: str, reason: str
) -> None:
    target = Target(ports.choose(["metrics"])["metrics"])
    with Processes({f"HOLONSTREAM_{setting}": address}, tmp_path) as processes:
        processes.start(name, *ARGUMENTS[name], metrics_port=target.port)
        wait_until(lambda: target.unready(reason), f"{reason}: {target.get('/readyz')}")
        assert target.get("/livez")[0] == 200
        processes.check()


def test_an_exporter_needs_a_port(tmp_path: Path) -> None:
    with Processes({}, tmp_path) as processes:
        assert processes.start("exporter", "exporter").wait(30) == 1
    assert "HOLONSTREAM_METRICS_PORT" in (tmp_path / "exporter.log").read_text()
