"""What holds a pipeline up, and how the console's picture shows it. No servers."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import pytest

from holonstream.ops.console.live import Rates
from holonstream.ops.console.rendering import render
from holonstream.ops.console.watch import Observation
from holonstream.ops.doctor import Findings, check_group
from holonstream.ops.output import counted
from holonstream.ops.overview import GraphPlace, Overview
from holonstream.ops.pipeline import PipelineStatus, parked, troubles
from holonstream.ops.servers import servers
from holonstream.ops.settings import Settings
from holonstream.ops.status import GroupStatus, Member, PartitionLag
from holonstream.producers.log.frontier import FrontierHolder, FrontierStatus
from holonstream.producers.relay.lease import RelayLeader
from holonstream.producers.relay.status import LogStatus
from holonstream.schemas.errors import NotInitialised, Unavailable

LEADER = RelayLeader(7, "relay", "holonstream-relay", None, 60.0)
HOLDER = FrontierHolder(12, 8, "app", "shop", None, 90.0, "idle in transaction", None)
WORKER = Member("w-1", "here", [0])


def log(lag: int = 0, seconds: float = 0.0, leader: RelayLeader | None = LEADER, held: bool = False) -> LogStatus:
    return LogStatus(FrontierStatus(20, 11 if held else 20, HOLDER if held else None, []), lag, seconds, leader)


def group(name: str, *workers: Member, parked: int | None = None) -> GroupStatus:
    places = [PartitionLag(0, 3, 4, 1, 3, 0.5, parked), PartitionLag(1, 0, 0, 0, None, 0.0)]
    return GroupStatus(f"holonstream-{name}", "stable", list(workers), places)


def found(log: LogStatus | None, **groups: GroupStatus) -> list[tuple[str, str]]:
    return [(trouble.where, trouble.what) for trouble in troubles(log, groups, [])]


def test_a_relay_that_leads_and_does_not_publish_is_named() -> None:
    assert found(log()) == []
    assert found(log(lag=5, seconds=2.0)) == [], "it has only just got them"
    ((where, what),) = found(log(lag=5, seconds=45.0))
    assert where == "relay"
    assert "leads, 5 events to publish, the oldest 45 s old" in what
    assert found(log(lag=1, seconds=3.0, leader=None)) == [
        ("relay", "no relay leads, 1 event to publish, the oldest 3 s old")
    ]


def test_a_relay_that_waits_for_the_log_is_not_blamed() -> None:
    ((where, what),) = found(log(lag=9, seconds=90.0, held=True))
    assert (where, "pid 8" in what) == ("log", True)


def test_a_group_without_workers_is_named_also_one_of_a_sink_of_ones_own() -> None:
    groups = {"graph": group("graph", WORKER), "cache": group("cache"), "sink-search": group("sink-search")}
    cache, search = troubles(None, groups, [])
    assert (cache.where, cache.what) == ("cache", "no worker, 1 record to handle")
    assert cache.remedy == "start `holonstream worker cache`"
    assert "MODULE:FACTORY" in search.remedy
    assert "delete its group holonstream-sink-search" in search.remedy


def test_what_a_sink_of_ones_own_has_parked_is_named_with_the_command() -> None:
    groups = {name: group(f"sink-{name}", WORKER, parked=count) for name, count in (("a", 2), ("b", 0), ("c", None))}
    (trouble,) = troubles(None, {f"sink-{name}": status for name, status in groups.items()}, [])
    assert (trouble.where, trouble.what) == ("sink-a", "2 streams parked, so that events are missing from its store")
    assert "`holonstream dead-letters list --sink MODULE:FACTORY`" in trouble.remedy
    assert [status.parked for status in groups.values()] == [2, 0, None]


def test_what_was_parked_when_the_last_worker_ended_may_have_been_redriven() -> None:
    workers, parked = troubles(None, {"sink-a": group("sink-a", parked=2)}, [])
    assert workers.what.startswith("no worker")
    assert parked.what == (
        "2 streams parked when its last worker ended, so that events are missing from its store unless they were "
        "redriven since"
    )
    findings = Findings(servers(Settings())["kafka"])
    check_group("sink-a", group("sink-a", parked=2), findings)
    assert findings.checks[-1].detail == "2 streams in sink-a when its last worker ended"


def test_a_gate_is_told_what_a_sink_of_ones_own_has_parked() -> None:
    findings = Findings(servers(Settings())["kafka"])
    for name, count in (("graph", None), ("sink-a", 1), ("sink-b", 0)):
        check_group(name, group(name, WORKER, parked=count), findings)
    parked = [check for check in findings.checks if check.what == "parked"]
    assert [(check.state, check.detail) for check in parked] == [
        ("warning", "1 stream in sink-a"),
        ("ok", "0 streams in sink-b"),
    ]
    assert parked[0].remedy == "`holonstream dead-letters list --sink MODULE:FACTORY`"


@pytest.mark.parametrize(("number", "text"), [(0, "0 streams"), (1, "1 stream"), (1234, "1,234 streams")])
def test_what_is_counted_is_in_the_right_number(number: int, text: str) -> None:
    assert counted(number, "stream") == text
    assert text in parked("graph", number).what
    assert counted(number, "entity", "entities").endswith("y" if number == 1 else "ies")


def test_the_picture_has_every_group() -> None:
    groups = {name: group(name, WORKER) for name in ("graph", "cache", "sink-search")}
    figures: dict[str, Any] = {"graph": {"p50": None}}
    text = render(
        "live_picture.html",
        newest=Observation(0.0, None, {}, 0),
        status=PipelineStatus(20, log(), groups, []),
        groups=groups,
        rates=Rates(handled={"sink-search": 12.0}),
        troubles=[],
        figures=figures,
    )
    assert 'id="stage-sink-search"' in text
    assert "12/s" in text
    assert 'id="stage-cache-store"' in text
    assert "stage-sink-search-store" not in text


def test_a_server_that_lacks_what_init_makes_need_not_be_started() -> None:
    settings = Settings()
    lacks = f"Neo4j at {settings.neo4j_uri} (database neo4j): topic 'x' has no checkpoints: run `holonstream init`"
    errors: dict[str, Exception | None] = {"neo4j": NotInitialised(lacks), "redis": Unavailable("refused")}
    graph, cache = Overview(errors).silent(settings)
    assert (graph.what, graph.remedy) == (lacks, "`holonstream doctor` says what else is missing")
    answers: dict[str, Exception | None] = {"postgresql": None, "kafka": None}
    assert Overview(errors | answers, graph=GraphPlace(3, 2)).document(settings)["stuck"] == [
        asdict(trouble) for trouble in (graph, cache, parked("graph", 2))
    ]
    assert cache.what.startswith("Redis at ")
    assert cache.what.endswith(": refused")
    assert cache.remedy
