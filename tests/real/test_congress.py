"""Real data through the whole pipeline: the United States Congress, from files that are not part of the project."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

from holonstream.client import (
    HolonFilter,
    HolonPattern,
    Pattern,
    RelationshipFilter,
    RelationshipPattern,
    SyncClient,
    as_of,
)
from holonstream.demo.datasets.congress import TAKEN_ON
from holonstream.ops.settings import Settings
from tests.fix_pipeline import Pipeline


def test_the_congress_arrives_whole_and_answers_as_its_files_do(
    pipeline: Pipeline, congress: Path, tmp_path: Path
) -> None:
    file = tmp_path / "congress.json"
    file.write_text(pipeline.run("dataset", "congress", str(congress)).stdout)
    pipeline.start("relay", "graph", "cache")
    pipeline.run("import", str(file))
    pipeline.wait_until_caught_up("graph", "cache")
    graph = pipeline.run("export", "graph", "--json").stdout
    assert graph == pipeline.run("fold", str(file)).stdout
    pipeline.run("verify", "graph")
    with SyncClient.from_settings(Settings.of(pipeline.environment)) as client:
        _hold_against_the_files(client, congress)
        _ask(client)


def _ask(client: SyncClient) -> None:
    """Questions whose answers anyone can look up; the files are those of 2026-06-15."""
    cantwell = client.get_holon("C000127")
    assert cantwell is not None
    assert cantwell.properties["name"] == "Maria Cantwell"
    terms = client.traverse_relationships("C000127", "OCCUPIES", "outgoing")
    assert sorted(term.effective_start[:4] for term in terms) == ["1993", "2001", "2007", "2013", "2019", "2025"]

    chairs = Pattern(
        holons=(
            HolonPattern(alias="person", type="Person"),
            HolonPattern(alias="committee", type="Organization", properties={"type": "joint committee"}),
        ),
        relationships=(
            RelationshipPattern(
                type="MEMBER_OF", source_alias="person", target_alias="committee", properties={"title": "Chairman"}
            ),
        ),
    )
    found = [(m.holons["person"].properties["name"], m.holons["committee"].id) for m in client.match_pattern(chairs)]
    assert found == [("Mike Crapo", "JSTX"), ("Mitch McConnell", "JSPR"), ("David Schweikert", "JSEC")]

    day = as_of("2001-06-01")
    parties = client.query_holons_by_type("Organization", HolonFilter(properties={"type": "party"}))
    members = {p.id: len(client.traverse_relationships(p.id, "MEMBER_OF", "incoming", day)) for p in parties}
    assert members == {"party/Democrat": 38, "party/Independent": 1, "party/Republican": 18}

    for day_, party in (("2024-06-01", "party/Republican"), ("2026-06-01", "party/Independent")):
        of_kiley = client.traverse_relationships("K000401", "MEMBER_OF", "outgoing", as_of(day_))
        assert [membership.target for membership in of_kiley] == [party]

    for day_, open_ in (("1992-06-01", None), ("1994-06-01", True), ("1995-06-01", False)):
        term = client.get_relationship("term/C000127/1", at=day_)
        assert (term and term.effective_end is None) == open_


def _hold_against_the_files(client: SyncClient, folder: Path) -> None:
    """Seats, parties, hierarchy and places as of days through half a century, computed a second time from the files."""
    people, committees, places = (
        [json.loads(line) for line in (folder / f"{name}.jsonl").read_text().splitlines()]
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
