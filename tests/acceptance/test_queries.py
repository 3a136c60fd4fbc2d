"""The client on a pipeline of real processes: docs/queries.md, the congress on many days, the examples' queries."""

from __future__ import annotations

import contextlib
import difflib
import doctest
import io
import json
import re
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

import holonstream.client.asking
import holonstream.client.asynchronous
import holonstream.client.blocking
from holonstream import client as front_door
from holonstream.client import Client, RelationshipFilter, SyncClient, as_of
from holonstream.demo.datasets.congress import TAKEN_ON
from holonstream.sinks.requests import ask, ids
from tests.acceptance.conftest import CONGRESS, EXAMPLES, Pipeline
from tests.conformance.graph_store import in_loop

PAGE = Path(__file__).parents[2] / "docs" / "queries.md"
QUESTIONS = 10


@pytest.fixture
def in_shell(pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch) -> Pipeline:
    """The pipeline, with the settings of the test's own process."""
    pipeline.environment["HOLONSTREAM_READ_DEADLINE"] = "60"
    for name, value in pipeline.environment.items():
        monkeypatch.setenv(name, value)
    pipeline.start("relay", "graph", "cache")
    return pipeline


def test_the_congress_answers_as_its_page_says_and_as_its_files_do(in_shell: Pipeline, tmp_path: Path) -> None:
    file = tmp_path / "congress.json"
    file.write_text(in_shell.run("dataset", "congress", str(CONGRESS)).stdout)
    in_shell.run("import", str(file))
    in_shell.wait_until_caught_up("graph", "cache")
    with SyncClient.from_settings() as client:
        _hold_against_the_files(client)
        page = PAGE.read_text()
        ran = _run(page, client)
    assert ran == page, "".join(difflib.unified_diff(page.splitlines(True), ran.splitlines(True), "page", "run"))
    assert len(re.findall(r"^## \d+\. ", page, re.MULTILINE)) == QUESTIONS


def _run(page: str, client: SyncClient) -> str:
    """The page with what its blocks print now; a block without answer may print nothing."""
    names: dict[str, Any] = {}

    def run(block: re.Match[str]) -> str:
        names["client"] = client
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(block[1], names)
        answer = f"```text\n{printed.getvalue()}```\n" if block[2] is not None or printed.getvalue() else ""
        return f"```python\n{block[1]}```\n{answer}"

    return re.sub(r"```python\n(.*?)```\n(```text\n.*?```\n)?", run, page, flags=re.DOTALL)


def _hold_against_the_files(client: SyncClient) -> None:
    """Seats, parties, hierarchy and places as of days through half a century, computed a second time from the files."""
    people, committees, places = (
        [json.loads(line) for line in (CONGRESS / f"{name}.jsonl").read_text().splitlines()]
        for name in ("legislators", "committees", "memberships")
    )
    for day in ("1974-01-01", "1975-01-14", "1989-07-01", "2001-06-01", "2007-01-03", "2015-01-05", "2026-06-15"):
        then = as_of(day)
        seats = {(r.source, r.target) for r in client.query_relationships_by_type("OCCUPIES", then)}
        assert seats == {(p["id"], _seat(t)) for p in people for t in p["terms"] if _holds(t["start"], t["end"], day)}
        members = client.query_relationships_by_type("MEMBER_OF", then)
        parties = {(r.source, r.target) for r in members if r.target.startswith("party/")}
        assert parties == {(p["id"], f"party/{name}") for p in people for name in _parties(p["terms"], day)}
        committee_places = {(r.source, r.target) for r in members} - parties
        assert committee_places == {(p["person"], p["committee"]) for p in places if day >= TAKEN_ON}
        below = {
            (r.source, r.target)
            for chamber in ("house", "senate")
            for whole in (chamber, *(h.id for h in client.get_connected_holons(chamber, "CONTAINS", "outgoing", then)))
            for r in client.traverse_relationships(whole, "CONTAINS", "outgoing", then)
        }
        chambers = {"joint": ("house", "senate")}
        assert below == {
            pair
            for c in committees
            for pair in [(chamber, c["id"]) for chamber in chambers.get(c["type"], (c["type"],))]
            + [(c["id"], sub["id"]) for sub in c["subcommittees"]]
            if day >= "1975-01-14"
        }
    for person in people[:20]:
        terms = client.traverse_relationships(person["id"], "OCCUPIES", "outgoing")
        spans = {(r.effective_start[:10], r.effective_end and r.effective_end[:10], r.target) for r in terms}
        assert spans == {(t["start"], t["end"] if t["end"] <= TAKEN_ON else None, _seat(t)) for t in person["terms"]}
    sitting = client.query_relationships_by_type("OCCUPIES", RelationshipFilter())
    assert {r.source for r in sitting} == {p["id"] for p in people if p["terms"][-1]["end"] > TAKEN_ON}


def _holds(start: str, end: str, day: str) -> bool:
    return start <= day and (end > TAKEN_ON or day <= end)


def _seat(term: dict[str, Any]) -> str:
    if term["type"] == "sen":
        return f"senate/{term['state']}/class-{term['class']}"
    return f"house/{term['state']}/{term['district']}"


def _parties(terms: list[dict[str, Any]], day: str) -> set[str]:
    """The party of the last term begun, and on the day of a change the one before too."""
    terms = sorted(terms, key=lambda term: term["start"])
    begun = [term for term in terms if term["start"] <= day]
    changed = {before["party"] for before, after in pairwise(terms) if after["start"] == day}
    return changed | {term["party"] for term in begun[-1:]}


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


def test_the_queries_of_the_examples_are_answered_as_expected(in_shell: Pipeline) -> None:
    file = EXAMPLES / "02-assignments.json"
    in_shell.run("import", str(file))
    in_shell.wait_until_caught_up("graph")
    case = json.loads(file.read_text())
    assert len(case["queries"]) == 40
    _ask_all(case)
