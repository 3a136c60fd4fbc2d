"""Random histories: written in batches of any size, the graph is the fold, and every query answers as memory does."""

from __future__ import annotations

import asyncio
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from holonstream.schemas.event import Event
from holonstream.schemas.state import State
from holonstream.sinks.graph.read.store import Neo4jGraphStore
from holonstream.sinks.requests import ask
from holonstream.sinks.store import SemanticGraphStore, equal
from tests.conformance.graph_store import CATALOGUE, event, log_of, memory_graph, person, started, states_of
from tests.integration.graph_kit import TOPIC, feed, graph, ready, sink

HOLONS = ["a", "b", "c", "d", "\uffff", "\U00010000"]
RELATIONSHIPS = ["r1", "r2", "r3", "r4", "r5"]
TYPES = ["OCCUPIES", "HAS", "CONTAINS"]
DAYS = [f"2024-03-0{day}T00:00:00.000Z" for day in range(1, 7)]

keys = st.sampled_from(["k", "_id", "", "l"])
values = st.sampled_from([None, 0, 1, True, "", "1", 2**70, 0.5, [1, 2], [1, None], [], {}, {"x": [1]}, '{"x":[1]}'])
properties = st.dictionaries(keys, values, max_size=2)
holon_ids = st.sampled_from(HOLONS)
relationship_ids = st.sampled_from(RELATIONSHIPS)
days = st.sampled_from(DAYS)


@st.composite
def events(draw: st.DrawFn) -> Event:
    kind = draw(st.integers(0, 6))
    name, relationship = draw(holon_ids), draw(relationship_ids)
    match kind:
        case 0:
            return person(name, properties=draw(properties))
        case 1:
            return event("OrganizationCreated", [name], draw(days), properties=draw(properties))
        case 2:
            return event("PersonModified", [name], draw(days), properties=draw(properties))
        case 3:
            return event("OrganizationDeactivated", [name], draw(days), reason="x")
        case 4 | 5:
            authority = draw(st.sampled_from(["authoritative", "derived"]))
            type, other, at = draw(st.sampled_from(TYPES)), draw(holon_ids), draw(days)
            return started(
                relationship, name, other, type, at=at, properties=draw(properties), authorityLevel=authority
            )
        case _:
            return event("AssignmentEnded", [], draw(days), relationshipId=relationship)


def optional(**parts: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({}, optional=parts)


holon_filters = st.none() | optional(
    status=st.sampled_from(["active", "inactive"]), createdAfter=days, createdBefore=days, properties=properties
)
relationship_filters = st.none() | optional(
    includeEnded=st.booleans(),
    effectiveAt=days,
    authorityLevel=st.sampled_from(["authoritative", "derived"]),
    sourceHolonID=holon_ids,
    targetHolonID=holon_ids,
    properties=properties,
)
aliases = st.sampled_from(["x", "y", "z"])
patterns = st.fixed_dictionaries(
    {
        "holonPatterns": st.lists(
            optional(type=st.sampled_from(["Person", "Organization"]), properties=properties, alias=aliases), max_size=2
        ),
        "relationshipPatterns": st.lists(
            optional(
                type=st.sampled_from(TYPES),
                sourceAlias=aliases,
                targetAlias=aliases,
                properties=properties,
                includeEnded=st.booleans(),
            ),
            max_size=2,
        ),
    }
)
directions = st.sampled_from(["outgoing", "incoming", "both"])
some_type = st.none() | st.sampled_from(TYPES)
queries = st.one_of(
    st.tuples(st.just("getHolon"), st.tuples(holon_ids)),
    st.tuples(
        st.just("queryHolonsByType"), st.tuples(st.sampled_from(["Person", "Organization", "Task"]), holon_filters)
    ),
    st.tuples(st.just("getHolonRelationships"), st.tuples(holon_ids)),
    st.tuples(
        st.sampled_from(["traverseRelationships", "getConnectedHolons"]),
        st.tuples(holon_ids, some_type, directions, relationship_filters),
    ),
    st.tuples(st.just("queryRelationshipsByType"), st.tuples(st.sampled_from(TYPES), relationship_filters)),
    st.tuples(st.just("matchPattern"), st.tuples(patterns)),
)


async def same(store: SemanticGraphStore, memory: SemanticGraphStore, asked: list[Any]) -> None:
    for method, args in asked:
        theirs, ours = await ask(memory, method, args), await ask(store, method, args)
        assert list(theirs) == list(ours), (method, args)


async def history(uri: str, log: list[Event], size: int, cached: int, asked: list[Any], walk: Any) -> None:
    recorded = log_of(*log)
    states = states_of(recorded)
    async with ready(uri) as connection:
        await connection.execute("MATCH (n) DETACH DELETE n")
        async with ready(uri):
            await feed(sink(connection, cached=cached), recorded, size)
        found = await graph(connection)
        assert found == states
        assert all(_same_types(found[stream], state) for stream, state in states.items())
        store, memory = Neo4jGraphStore(connection, CATALOGUE, TOPIC), memory_graph(recorded)
        await same(store, memory, asked)
        start, types, direction, depth, limit = walk
        assert await store.traverse(start, types, direction, max_depth=depth, limit=limit) == await memory.traverse(
            start, types, direction, max_depth=depth, limit=limit
        )


def _same_types(a: State, b: State) -> bool:
    return equal(a.properties, b.properties) and repr(sorted(a.properties.items(), key=str)) == repr(
        sorted(b.properties.items(), key=str)
    )


def test_a_random_history_is_its_fold_and_answers_like_memory(neo4j_uri: str) -> None:
    @settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
    @given(
        st.lists(events(), min_size=1, max_size=30),
        st.integers(1, 10),
        st.sampled_from([0, 1, 4096]),
        st.lists(queries, max_size=15),
        st.tuples(
            holon_ids,
            st.none() | st.lists(st.sampled_from(TYPES), min_size=1).map(tuple),
            directions,
            st.integers(1, 4),
            st.none() | st.integers(1, 3),
        ),
    )
    def check(log: list[Event], size: int, cached: int, asked: list[Any], walk: Any) -> None:
        asyncio.run(history(neo4j_uri, log, size, cached, asked, walk))

    check()
