"""How statements travel to Neo4j: their lists in one map, since it plans them by the length of each list."""

from __future__ import annotations

from holonstream.sinks.graph.driver import with_lists


def test_lists_travel_in_a_map() -> None:
    query, parameters = with_lists("UNWIND $ids AS id MATCH (n {k: $id}) SET n.all = $ids", {"ids": ["a"], "id": "b"})
    assert query == "UNWIND $lists.ids AS id MATCH (n {k: $id}) SET n.all = $lists.ids"
    assert parameters == {"id": "b", "lists": {"ids": ["a"]}}


def test_a_statement_without_lists_stays_as_it_is() -> None:
    assert with_lists("RETURN $id, $($label)", {"id": 1, "label": "x"}) == (
        "RETURN $id, $($label)",
        {"id": 1, "label": "x"},
    )


def test_what_is_logged_of_parameters_does_not_hold_their_values() -> None:
    _, parameters = with_lists("RETURN $rows", {"rows": [{"name": "secret"}]})
    assert "secret" not in repr(parameters)
