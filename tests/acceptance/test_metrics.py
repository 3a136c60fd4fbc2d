"""What Prometheus and an orchestrator see of real processes: every metric with a right value, and who is ready."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from confluent_kafka import Producer
from prometheus_client import CollectorRegistry

from holonstream import local
from holonstream.client import NotYetVisible, SyncClient, Token
from holonstream.local import ports
from holonstream.ops.processes import Processes
from holonstream.ops.settings import Settings
from holonstream.schemas.metrics import METRICS
from tests.fix_pipeline import Pipeline
from tests.support.event_log import append, person
from tests.support.event_log import envelope as log_envelope
from tests.support.poison import POISON, Envelope, envelope
from tests.support.scraping import Scrape, Target, scrape
from tests.support.topics import alter
from tests.support.waiting import FIRST_BATCH, wait_until

NAMES = ("relay", "standby", "graph", "cache", "exporter")
ARGUMENTS = {"relay": ["relay"], "standby": ["relay"], "graph": ["worker", "graph"], "cache": ["worker", "cache"]}
PEOPLE = 500
EVENTS = [envelope("PersonCreated", f"p-{n}", name=f"Person {n}") for n in range(PEOPLE)] + POISON
TOTAL = len(EVENTS)
CHANGE = envelope("PersonModified", "p-1", diff={"rank": "O-5"})


class MeasuredPipeline:
    """A pipeline, each of whose processes serves its metrics."""

    def __init__(self, pipeline: Pipeline, logs: Path) -> None:
        pipeline.environment |= {"HOLONSTREAM_METRICS_INTERVAL": "0.3", "HOLONSTREAM_SESSION_TIMEOUT": "12"}
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
            90,  # the first batch of a Neo4j that has just started, on a busy machine
        )


@pytest.fixture
def watched(pipeline: Pipeline, tmp_path: Path) -> Iterator[MeasuredPipeline]:
    made = MeasuredPipeline(pipeline, tmp_path / "logs")
    with made.processes:
        yield made


def test_every_metric_is_there_with_a_right_value(
    watched: MeasuredPipeline, stack: local.Stack, tmp_path: Path
) -> None:
    lag_is_seen_from_outside(watched, tmp_path)
    a_standby_is_as_ready_as_a_leader(watched)
    workers_count_what_they_handle(watched)
    a_topic_that_may_lose_events_is_a_problem(watched)
    an_open_transaction_is_seen_to_hold_the_frontier(watched)
    a_fenced_relay_is_counted(watched, tmp_path)
    reader = a_client_counts(watched)
    a_cache_that_is_gone_and_back(watched, stack, tmp_path)
    a_graph_that_hangs_and_continues(watched, stack, tmp_path)
    the_catalogue_is_complete(watched, reader)


def lag_is_seen_from_outside(watched: MeasuredPipeline, folder: Path) -> None:
    """Nobody works for the groups yet."""
    watched.start("relay", "exporter")
    watched.pipeline.run("import", str(_file(folder, EVENTS)))
    watched.wait_for("exporter", "holonstream_log_frontier_position", TOTAL)
    watched.wait_for("exporter", "holonstream_relay_lag_events", 0)
    outside = watched.scrape("exporter")
    for group in ("graph", "cache"):
        assert (outside.value("holonstream_consumer_group_lag", group=group) or 0) >= TOTAL
        assert 0 < (outside.value("holonstream_consumer_group_lag_seconds", group=group) or 0) < 60
        assert outside.value("holonstream_consumer_group_members", group=group) == 0
    assert outside.value("holonstream_log_head_position") == TOTAL
    assert outside.value("holonstream_relay_lag_seconds") == 0
    assert outside.value("holonstream_exporter_source_up", source="log") == 1
    assert outside.value("holonstream_exporter_source_up", source="kafka") == 1


def a_standby_is_as_ready_as_a_leader(watched: MeasuredPipeline) -> None:
    watched.start("standby", "graph", "cache")
    for name in NAMES:
        wait_until(watched.targets[name].ready, f"{name} is ready: {watched.targets[name].get('/readyz')}", 60)
        assert watched.targets[name].get("/livez") == (200, "alive\n")
    leader, standby = watched.scrape("relay"), watched.scrape("standby")
    assert (leader.value("holonstream_relay_leading"), standby.value("holonstream_relay_leading")) == (1, 0)
    assert leader.value("holonstream_relay_events_total") == TOTAL
    assert 1 <= (leader.value("holonstream_relay_transactions_total") or 0) <= TOTAL
    assert (leader.value("holonstream_relay_bytes_total") or 0) > 100 * TOTAL
    assert leader.value("holonstream_relay_position") == TOTAL
    assert standby.value("holonstream_relay_lag_seconds") is None
    assert standby.value("holonstream_log_head_position") == TOTAL


def workers_count_what_they_handle(watched: MeasuredPipeline) -> None:
    watched.wait_for("exporter", "holonstream_consumer_group_lag", 0)
    watched.wait_for("exporter", "holonstream_consumer_group_lag_seconds", 0)
    watched.wait_for("exporter", "holonstream_consumer_group_members", 2)
    for group, applied, dead in (("graph", TOTAL - 3, 3), ("cache", TOTAL, 0)):
        watched.wait_for(group, "holonstream_group_lag_events", 0)
        found = watched.scrape(group)
        assert found.value("holonstream_group_partitions", group=group) == 12
        assert len(found.samples["holonstream_group_lag_events"]) == 12
        assert found.value("holonstream_group_lag_seconds", group=group) == 0
        assert found.value("holonstream_events_total", outcome="applied") == applied
        assert found.value("holonstream_events_total", outcome="dead") == dead
        assert found.value("holonstream_events_total", outcome="skipped") == 0
        assert found.value("holonstream_batch_events_sum") == TOTAL
        writes = found.value("holonstream_write_seconds_count")
        assert writes == found.value("holonstream_batch_events_count") == found.value("holonstream_fold_seconds_count")
        seconds, fold = found.value("holonstream_write_seconds_sum"), found.value("holonstream_fold_seconds_sum")
        assert seconds is not None
        assert fold is not None
        assert 0 < fold < seconds
        assert found.value("holonstream_freshness_seconds_bucket", le="+Inf") == TOTAL
        assert found.value("holonstream_freshness_seconds_bucket", le="0.01") == 0  # they waited for the workers
    assert watched.scrape("graph").value("holonstream_parked_streams") == 1
    assert watched.scrape("cache").value("holonstream_cache_tombstones_total") == PEOPLE + 1
    assert watched.scrape("cache").value("holonstream_cache_floors_total") == 12


def a_topic_that_may_lose_events_is_a_problem(watched: MeasuredPipeline) -> None:
    watched.wait_for("exporter", "holonstream_problems", 0)
    settings = Settings.of(watched.pipeline.environment)
    for retention, problems in (("86400000", 1), ("-1", 0)):
        alter(settings, "retention.ms", retention)
        watched.wait_for("exporter", "holonstream_problems", problems)


def an_open_transaction_is_seen_to_hold_the_frontier(watched: MeasuredPipeline) -> None:
    with psycopg.connect(watched.pipeline.environment["HOLONSTREAM_POSTGRES_DSN"]) as service:
        append(service, [log_envelope("p-0", type="PersonModified", payload={"diff": {"rank": "O-4"}})])
        for name in ("relay", "exporter"):
            wait_until(
                lambda name=name: (watched.scrape(name).value("holonstream_log_frontier_holder_seconds") or 0) > 0.5,  # type: ignore[misc]
                f"{name} sees who holds the frontier",
            )
            watched.wait_for(name, "holonstream_log_head_position", TOTAL + 1)
            assert watched.scrape(name).value("holonstream_log_frontier_position") == TOTAL
    for name in ("relay", "exporter"):
        watched.wait_for(name, "holonstream_log_frontier_holder_seconds", 0)


def a_fenced_relay_is_counted(watched: MeasuredPipeline, folder: Path) -> None:
    """Another producer takes the relay's transactional id: the leader is interrupted, and one leads again."""
    bootstrap = watched.pipeline.environment["HOLONSTREAM_KAFKA_BOOTSTRAP"]
    intruder = Producer({"bootstrap.servers": bootstrap, "transactional.id": f"{watched.pipeline.namespace}-relay"})
    intruder.init_transactions(30)
    watched.pipeline.run("import", str(_file(folder, [CHANGE])))
    wait_until(
        lambda: sum(
            watched.scrape(name).value("holonstream_relay_interruptions_total", cause="fenced") or 0
            for name in ("relay", "standby")
        ),
        "a relay was fenced",
    )
    watched.wait_for("exporter", "holonstream_relay_lag_seconds", 0)


def a_client_counts(watched: MeasuredPipeline) -> Scrape:
    with SyncClient.from_settings(Settings.of(watched.pipeline.environment)) as client:
        registry = CollectorRegistry()
        client.metrics.register(registry)
        (appended,) = client.append([person("reader")])
        with pytest.raises(NotYetVisible):
            client.get_holon("reader", at_least=Token({"holon/reader": 10**9}), deadline=2)
        assert client.get_holon("reader", at_least=appended.token, deadline=FIRST_BATCH) is not None
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
    return reader


def a_cache_that_is_gone_and_back(watched: MeasuredPipeline, stack: local.Stack, folder: Path) -> None:
    """Tries are counted by their cause, and floors made again."""
    stack.kill("redis")
    wait_until(lambda: watched.targets["cache"].unready("the store is down"), "the cache worker says so")
    watched.pipeline.run("import", str(_file(folder, [CHANGE])))
    wait_until(lambda: watched.scrape("cache").value("holonstream_retries_total", cause="CacheUnavailable"), "retries")
    assert (watched.scrape("cache").value("holonstream_group_lag_seconds") or 0) > 0
    assert watched.targets["graph"].ready()
    stack.start("redis")
    wait_until(watched.targets["cache"].ready, "the cache worker is ready again", 60)
    watched.wait_for("cache", "holonstream_group_lag_events", 0)
    wait_until(lambda: (watched.scrape("cache").value("holonstream_cache_floors_total") or 0) > 12, "floors made again")


def a_graph_that_hangs_and_continues(watched: MeasuredPipeline, stack: local.Stack, folder: Path) -> None:
    graph = watched.targets["graph"]
    stack.pause("neo4j")
    try:
        # nothing is to be written, and still it is noticed
        wait_until(lambda: graph.unready("the store is down: no answer for 5 s"), "the store is down")
        watched.pipeline.run("import", str(_file(folder, [CHANGE])))
        wait_until(lambda: watched.scrape("graph").value("holonstream_group_lag_events"), "the worker lags")
        wait_until(lambda: (watched.scrape("graph").value("holonstream_group_lag_seconds") or 0) > 1, "for a while")
        assert graph.get("/livez")[0] == 200
    finally:
        stack.resume("neo4j")
    wait_until(graph.ready, "the graph worker is ready again", 60)
    watched.wait_for("graph", "holonstream_group_lag_events", 0)


def the_catalogue_is_complete(watched: MeasuredPipeline, reader: Scrape) -> None:
    """Each metric of the catalogue is there, as the catalogue says it, and no other."""
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


def _file(folder: Path, events: list[Envelope]) -> Path:
    file = folder / "events.json"
    file.write_text(json.dumps(events))
    return file


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
        assert processes.start("exporter", "exporter").wait(30) == 2  # as any setting that is wrong
    assert "HOLONSTREAM_METRICS_PORT" in (tmp_path / "exporter.log").read_text()
