"""The plans of all statements, as the server would run them: none scans the graph for what it knows by id.

Plans are read over an empty graph, too: there the planner would rather scan, and keep the plan while the graph fills.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from holonstream.sinks.graph.driver import GraphConnection
from holonstream.sinks.graph.read.pattern import compile_pattern
from holonstream.sinks.graph.read.prefilter import holon_prefilter, relationship_prefilter
from holonstream.sinks.graph.statements import count_statement, names, statement, text
from holonstream.sinks.requests import pattern
from tests.conformance.graph_store import CATALOGUE, in_loop, log_of, person, started
from tests.integration.graph_kit import feed, ready, sink

SCHEMA = {"constraint_holon", "constraint_relationship", "constraint_checkpoint", "constraint_parked"}
SCHEMA |= {
    "constraint_empty_stream",
    "constraint_migration",
    "server_facts",
    "open_transactions",
    "index_parked",
    "index_holon_type",
    "indexes",
    "await_indexes",
}
PARTS = {  # of statements that are composed: these are tried as the whole
    "relationships_count",
    "relationship_branch",
    "relationships_all",
    "relationship_page",
    "relationships_load",
    "verify_relationships",
    "batch_update",
    "pattern_holon",
    "pattern_relationship",
    "pattern_holon_result",
    "pattern_relationship_result",
}
BY_ID = {
    "checkpoint_publish",
    "checkpoint_topic",
    "claim",
    "raise_epoch",
    "advance_visible",
    "park",
    "unpark",
    "parked_of",
    "hidden_from",
    "holons_load",
    "batch_write",
    "holons_write",
    "holons_retype",
    "ends_write",
    "relationships_create",
    "relationships_update",
    "relationships_delete",
    "holon_read",
    "holons_locked",
    "relationships_locked",
    "relationships_of",
    "hop",
    "hop_relationships",
    "repair_holons",
    "repair_bare",
    "verify_holons",
    "checkpoint_offsets",
    "empty_streams_of",
    "empty_streams_write",
    "repair_checkpoint",
}
FEW = {
    "migrations_applied",
    "migrations_lock",
    "migration_note",
    "checkpoints",
    "other_topics",
    "verify_checkpoints",
    "checkpoints_lock",
    "parked_in",
    "parked_streams",
}  # of checkpoints, parked streams and
FEW |= {"discard", "discarded_events", "discarded_of"}  # discarded events there are a handful
PAGES = {"holons_query", "relationships_query"}
EVERYTHING = {  # of commands that read the whole graph
    "repair_loose_nodes",
    "repair_loose_edges",
    "verify_nodes",
    "verify_edges",
    "replay_content",
    "replay_mark",
    "replay_mark_set",
    "replay_mark_delete",
    "checkpoints_create",  # one holon, to see whether there is any
    "duplicate_nodes",
    "duplicate_relationships",
    "replay_wipe_checkpoints",
    "replay_wipe_empty_streams",
    "replay_wipe_decisions",
    "replay_wipe_relationships",
    "replay_wipe_holons",
    "replay_decisions_before",
    "replay_decisions_forget",
}
HANDFUL = ("HolonstreamCheckpoint", "HolonstreamParked", "HolonstreamDiscarded", "HolonstreamMigration")
PARAMETERS: dict[str, Any] = {
    "rows": [],
    "claims": [],
    "holons": [],
    "ends": [],
    "created": [],
    "updated": [],
    "empty": [],
    "ids": [],
    "id": "a",
    "topic": "t",
    "partition": 0,
    "partitions": 1,
    "keys": [],
    "row": {},
    "expected": None,
    "properties": {},
    "after": "",
    "limit": 10,
    "number": 0,
    "name": "",
    "release": "",
}


def operators(plan: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """The operators of a plan with their details."""
    yield plan["operatorType"].partition("@")[0], str(plan["args"].get("Details", ""))
    for child in plan.get("children", ()):
        yield from operators(child)


def scans(plan: dict[str, Any], *, allowed: tuple[str, ...] = ()) -> list[tuple[str, str]]:
    """The operators that scan nodes or relationships."""
    return [
        (name, details)
        for name, details in operators(plan)
        if "Scan" in name and not any(label in details for label in allowed)
    ]


def test_every_statement_has_its_place_in_this_test() -> None:
    sets = (SCHEMA, PARTS, BY_ID, FEW, PAGES, EVERYTHING)
    assert sorted(name for kind in sets for name in kind) == names()


async def plans_are_good(connection: GraphConnection) -> None:
    await connection.execute("CALL db.clearQueryCaches()")
    for name in sorted(BY_ID | FEW | PAGES):
        types = ["OCCUPIES"] if name.startswith("relationships_") and name != "relationships_of" else []
        types = ["HAS", "OCCUPIES"] if name == "batch_write" else types
        for holon_type in (None, "Person") if name == "holons_query" else (None,):
            prefilter = holon_prefilter(None) if name == "holons_query" else relationship_prefilter(None)
            made = statement(name, CATALOGUE, relationship_types=types, holon_type=holon_type)
            plan = await connection.plan(made, **PARAMETERS, filter=prefilter)
            assert scans(plan, allowed=HANDFUL) == [], name
            if name in PAGES:
                assert not {"Sort", "Top", "PartialTop"} & {kind for kind, _ in operators(plan)}, name
    for name in ("relationships_load", "verify_relationships", "relationships_all"):
        load = statement(name, CATALOGUE, relationship_types=CATALOGUE.relationship_types)
        found = list(operators(await connection.plan(load, **PARAMETERS)))
        seeks = sum(kind.startswith("DirectedRelationshipUniqueIndexSeek") for kind, _ in found)
        assert seeks == len(CATALOGUE.relationship_types)
        assert not any("Scan" in kind for kind, _ in found)
    counts = await connection.plan(count_statement(CATALOGUE, sorted(CATALOGUE.relationship_types)))
    assert scans(counts) == []
    reading = [name for name, _ in operators(await connection.plan(text("holon_read"), **PARAMETERS))]
    assert reading.index("NodeUniqueIndexSeek") >= 0


@in_loop
async def test_no_statement_scans_an_empty_graph(neo4j_uri: str) -> None:
    async with ready(neo4j_uri) as connection:
        await plans_are_good(connection)


@in_loop
async def test_no_statement_scans_a_filled_graph(neo4j_uri: str) -> None:
    async with ready(neo4j_uri) as connection:
        events = [person(f"p{i}") for i in range(300)]
        events += [started(f"r{i}", f"p{i}", f"p{i * 7 % 300}") for i in range(300)]
        await feed(sink(connection, group=500), log_of(*events), 500)
        await plans_are_good(connection)


@in_loop
async def test_a_statement_is_planned_once_whatever_the_length_of_its_lists(neo4j_uri: str) -> None:
    async with ready(neo4j_uri) as connection:
        lists = {name: PARAMETERS[name] for name in ("claims", "holons", "ends", "created", "updated", "empty")}

        async def planned(*lengths: int) -> object:
            await connection.execute("CALL db.clearQueryCaches()")
            for length in lengths:
                await connection.execute(statement("batch_write", CATALOGUE), **{**lists, "ends": ["a"] * length})
            return await connection.execute("CALL db.clearQueryCaches()")  # says how many there were

        assert await planned(1) != await planned()
        assert await planned(1, 2, 50, 500) == await planned(1)


@pytest.mark.parametrize("end", ["sourceAlias", "targetAlias"])
@in_loop
async def test_a_pattern_walks_from_its_types_and_never_multiplies_what_is_connected(neo4j_uri: str, end: str) -> None:
    other = {"sourceAlias": "targetAlias", "targetAlias": "sourceAlias"}[end]
    made, parameters = compile_pattern(
        CATALOGUE,
        pattern(
            {
                "holonPatterns": [{"alias": "p", "type": "Person"}, {"alias": "q", "type": "Position"}],
                "relationshipPatterns": [{end: "p", other: "q", "type": "OCCUPIES"}],
            }
        ),
    )
    async with ready(neo4j_uri) as connection:
        events = [person(f"p{i}") for i in range(100)] + [started(f"r{i}", f"p{i}", f"q{i}") for i in range(100)]
        await feed(sink(connection, group=500), log_of(*events), 500)
        await connection.execute("CALL db.clearQueryCaches()")
        found = list(operators(await connection.plan(made, **parameters)))
        assert not any("AllNodesScan" in name or "AllRelationships" in name for name, _ in found)
        assert not any(name == "CartesianProduct" for name, _ in found)


@in_loop
async def test_the_checkpoint_is_read_before_the_holon(neo4j_uri: str) -> None:
    """The fill of a cache relies on it: position first, then the holon, so that the holon is at least as new."""
    async with ready(neo4j_uri) as connection:
        plan = await connection.plan(text("holon_read"), **PARAMETERS)
    found = list(operators(plan))  # from the result down: what runs last comes first, of an Apply the left side first
    apply = next(i for i, (name, _) in enumerate(found) if name in ("Apply", "OptionalExpand(All)"))
    seeks = [details for name, details in found[apply:] if "Seek" in name or "Scan" in name]
    projected = [i for i, (name, details) in enumerate(found) if name == "Projection" and "c.visible" in details]
    assert "HolonstreamCheckpoint" in seeks[0]
    assert "Holon(_id)" in seeks[-1]
    assert projected
    assert projected[0] < [i for i, (_, details) in enumerate(found) if "Holon(_id)" in details][-1]
