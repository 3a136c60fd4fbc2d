"""The client on a pipeline of real processes: docs/queries.md, the organisation on many days, the cases' queries."""

from __future__ import annotations

import difflib
import doctest
import json
import re
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

import holonstream.client.asking
import holonstream.client.asynchronous
import holonstream.client.blocking
from holonstream import client as front_door
from holonstream.client import Client, RelationshipFilter, SyncClient, as_of
from holonstream.sinks.requests import ask, ids
from tests.conformance.graph_store import in_loop
from tests.fix_pipeline import CASES, Pipeline
from tests.support.pages import run_blocks
from tests.support.waiting import FIRST_BATCH

PAGE = Path(__file__).parents[2] / "docs" / "queries.md"
QUESTIONS = 10


@pytest.fixture
def in_shell(pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch) -> Pipeline:
    """The pipeline, with the settings of the test's own process."""
    pipeline.environment["HOLONSTREAM_READ_DEADLINE"] = f"{FIRST_BATCH:g}"
    for name, value in pipeline.environment.items():
        monkeypatch.setenv(name, value)
    pipeline.start("relay", "graph", "cache")
    return pipeline


def test_the_organisation_answers_as_its_page_says_and_as_the_fold_does(in_shell: Pipeline, organisation: Path) -> None:
    in_shell.run("import", str(organisation))
    in_shell.wait_until_caught_up("graph", "cache")
    with SyncClient.from_settings() as client:
        _hold_against_the_fold(client, json.loads(in_shell.run("fold", str(organisation)).stdout))
        page = PAGE.read_text()
        with capture_logs():  # a cache that answers late is logged to standard output, and is no part of an answer
            ran = run_blocks(page, client=client)
    assert ran == page, "".join(difflib.unified_diff(page.splitlines(True), ran.splitlines(True), "page", "run"))
    assert len(re.findall(r"^## \d+\. ", page, re.MULTILINE)) == QUESTIONS


def _hold_against_the_fold(client: SyncClient, fold: dict[str, Any]) -> None:
    """Hierarchy, posts and crews as of days through two decades, computed a second time from the folded events."""
    edges = fold["relationships"]
    for day in ("2004-12-31", "2005-01-03", "2009-07-01", "2012-04-01", "2019-01-02", "2022-06-01", "2026-06-30"):
        then, instant = as_of(day), f"{day}T00:00:00.000Z"
        for type_ in ("CONTAINS", "OCCUPIES", "PARTICIPATES_IN"):
            held = {r["id"] for r in edges if r["type"] == type_ and _held(r, instant)}
            assert {r.id for r in client.query_relationships_by_type(type_, then)} == held
        below = {r["target"] for r in edges if r["type"] == "CONTAINS" and _held(r, instant)}
        reached = client.traverse("unit/coastal-rescue", ("CONTAINS",), "outgoing", then, max_depth=3)
        assert {one.holon.id for one in reached} == below
    persons = [holon["id"] for holon in fold["holons"] if holon["type"] == "Person"]
    for person in persons[:20]:
        postings = client.traverse_relationships(person, "OCCUPIES", "outgoing")
        expected = [r for r in edges if r["type"] == "OCCUPIES" and r["source"] == person]
        assert {(r.target, r.effective_start, r.effective_end) for r in postings} == {
            (r["target"], r["effectiveStart"], r["effectiveEnd"]) for r in expected
        }
    open_now = client.query_relationships_by_type("OCCUPIES", RelationshipFilter())
    assert {r.id for r in open_now} == {r["id"] for r in edges if r["type"] == "OCCUPIES" and not r["effectiveEnd"]}


def _held(relationship: dict[str, Any], instant: str) -> bool:
    """Whether it held at an instant in canonical text to the millisecond, as all instants of the organisation are."""
    end = relationship["effectiveEnd"]
    return bool(relationship["effectiveStart"] <= instant and (end is None or instant <= end))


def test_the_examples_of_the_docstrings_run(in_shell: Pipeline) -> None:
    names = {name: getattr(front_door, name) for name in front_door.__all__}
    for module in (holonstream.client.asking, holonstream.client.asynchronous, holonstream.client.blocking):
        result = doctest.testmod(module, extraglobs=names)
        assert result.attempted > 0
        assert result.failed == 0


@in_loop
async def _ask_all(case: dict[str, Any]) -> None:
    async with Client.from_settings() as client:
        for query in case["queries"]:
            assert ids(await ask(client, query["method"], query["args"])) == sorted(query["ids"]), query


def test_the_queries_of_a_case_are_answered_as_expected(in_shell: Pipeline) -> None:
    file = CASES / "02-assignments.json"
    in_shell.run("import", str(file))
    in_shell.wait_until_caught_up("graph")
    case = json.loads(file.read_text())
    assert len(case["queries"]) == 40
    _ask_all(case)
