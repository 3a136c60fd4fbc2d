"""Queries as JSON."""

from __future__ import annotations

from typing import Any

import pytest

from holonstream.schemas.errors import BadData
from holonstream.sinks.requests import ask, holon_filter, ids, pattern, relationship_filter
from holonstream.sinks.store import HolonFilter, RelationshipFilter
from tests.conformance.graph_store import in_loop, log_of, memory_graph, person, started


def test_filters_read_the_catalogues_names() -> None:
    assert holon_filter(None) is None
    assert relationship_filter(None) is None
    assert holon_filter({}) == HolonFilter()
    assert holon_filter({"createdAfter": "2024-03-01T09:00:00+01:00", "status": None}) == HolonFilter(
        created_after="2024-03-01T08:00:00.000Z"
    )
    assert relationship_filter({"includeEnded": True, "sourceHolonID": "a", "properties": {"x": None}}) == (
        RelationshipFilter(include_ended=True, source="a", properties={"x": None})
    )


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({"includeEnd": True}, "Unknown part of a relationship filter: 'includeEnd'"),
        ({"includeEnded": "yes"}, "includeEnded is 'yes', expected bool"),
        ({"effectiveAt": "yesterday"}, "effectiveAt: Not an instant: 'yesterday'"),
        ([], "Not a relationship filter"),
    ],
)
def test_what_is_no_filter_is_refused(document: Any, message: str) -> None:
    with pytest.raises(BadData, match=message):
        relationship_filter(document)


def test_what_is_no_pattern_is_refused() -> None:
    documents: list[dict[str, Any]] = [{"holonPatterns": [{"typ": "Person"}]}, {"holonPatterns": {}}, {"holons": []}]
    for document in documents:
        with pytest.raises(BadData):
            pattern(document)


@in_loop
async def test_every_method_answers() -> None:
    store = memory_graph(log_of(person("a"), person("b"), started("r", "a", "b")))
    for method, args, answer in (
        ("getHolon", ["a"], ["a"]),
        ("getHolon", ["x"], []),
        ("getAllHolons", [], ["a", "b"]),
        ("getAllRelationships", [], ["r"]),
        ("traverseRelationships", ["a"], ["r"]),
        ("traverseRelationships", ["a", None, "incoming", {}], []),
        ("matchPattern", [{"holonPatterns": [{}], "relationshipPatterns": [{}]}], ["a"]),
    ):
        assert ids(await ask(store, method, args)) == answer
    with pytest.raises(BadData, match="Unknown query: 'dropAll'"):
        await ask(store, "dropAll", [])
