"""The cases whose states the reference implementation computed (tests/cases)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from holonstream.schemas import instant
from holonstream.schemas.event import parse_events
from holonstream.schemas.projection import fold, modifications, recorded
from holonstream.schemas.state import Holon, Relationship
from tests.unit.schema_support import catalogue

CASES = sorted((Path(__file__).parent.parent / "cases").glob("*.json"))


def test_the_cases_are_there() -> None:
    assert [case.stem for case in CASES] == ["01-structural", "02-assignments"]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.stem)
def test_the_fold_of_a_case(case: Path) -> None:
    text = case.read_bytes()
    document = json.loads(text)
    log = list(recorded(catalogue(), parse_events(text)))
    states = fold(catalogue(), log).values()
    reached = modifications(catalogue(), log)

    holons = {state.id: state for state in states if isinstance(state, Holon)}
    assert holons.keys() == {expected["id"] for expected in document["expected"]["holons"]}
    for expected in document["expected"]["holons"]:
        holon, meta = holons[expected["id"]], document["meta"]["holons"][expected["id"]]
        assert (holon.type, holon.status) == (expected["type"], expected["status"])
        assert_same_json(holon.properties, expected["properties"])
        assert same_instant(holon.created_at, meta["createdAt"])
        assert same_instant(holon.last_modified, meta["lastModified"])
        assert (holon.created_by, list(holon.source_documents)) == (meta["createdBy"], meta["sourceDocuments"])
        assert len(reached[f"holon/{holon.id}"]) == meta["modificationCount"]

    relationships = {state.id: state for state in states if isinstance(state, Relationship)}
    assert relationships.keys() == {expected["id"] for expected in document["expected"]["relationships"]}
    for expected in document["expected"]["relationships"]:
        edge, meta = relationships[expected["id"]], document["meta"]["relationships"][expected["id"]]
        ends = (expected["type"], expected["source"], expected["target"])
        assert (edge.type, edge.source, edge.target) == ends
        assert_same_json(edge.properties, expected["properties"])
        assert same_instant(edge.effective_start, expected["effectiveStart"])
        assert same_instant(edge.effective_end, expected["effectiveEnd"])
        assert same_instant(edge.last_modified, meta["lastModified"])
        assert (edge.created_by, list(edge.source_documents)) == (meta["createdBy"], meta["sourceDocuments"])
        assert edge.source_system == meta["sourceSystem"]
        assert (edge.authority_level, edge.confidence_score) == (meta["authorityLevel"], meta["confidenceScore"])
        assert len(reached[f"relationship/{edge.id}"]) == meta["modificationCount"]


def assert_same_json(found: Any, expected: Any) -> None:
    """Equal as JSON: in Python 1 is True."""
    assert json.dumps(found, sort_keys=True) == json.dumps(expected, sort_keys=True)


def same_instant(found: str | None, expected: str | None) -> bool:
    if found is None or expected is None:
        return found is expected
    return instant.parse(found) == instant.parse(expected)
