"""Neo4jGraphStore on a real server: the contract, agreement with memory on random graphs, freshness, plans."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from holonstream.schemas.errors import NotInitialised, PartitionsAdded
from holonstream.schemas.event import Event
from holonstream.schemas.partition import partition_of
from holonstream.schemas.token import Token
from holonstream.sinks.errors import GraphRefused, NotYetVisible
from holonstream.sinks.graph.checkpoint import Checkpoint
from holonstream.sinks.graph.driver import GraphConnection
from holonstream.sinks.graph.read.store import Neo4jGraphStore
from holonstream.sinks.graph.schema import check, initialise
from holonstream.sinks.requests import pattern
from holonstream.sinks.store import RelationshipFilter, SemanticGraphStore
from tests.conformance.graph_store import (
    CATALOGUE,
    GraphStoreContract,
    ended,
    event,
    in_loop,
    log_of,
    person,
    started,
    states_of,
)
from tests.integration.graph_kit import PARTITIONS, TOPIC, feed, graph, holding, ready, sink


class TestNeo4jGraphStore(GraphStoreContract):
    @pytest.fixture(autouse=True)
    def _server(self, neo4j_uri: str) -> None:
        self.uri = neo4j_uri

    @asynccontextmanager
    async def holding(self, *events: Event) -> AsyncIterator[SemanticGraphStore]:
        async with ready(self.uri) as connection:
            yield await holding(connection, *events)


@in_loop
async def test_a_reader_waits_for_its_token(neo4j_uri: str) -> None:
    async with ready(neo4j_uri) as connection:
        store = Neo4jGraphStore(connection, CATALOGUE, TOPIC)
        log = log_of(person("a"), person("b"))
        waiting = asyncio.create_task(store.get_holon("b", at_least=Token({"holon/b": 2}), deadline=30))
        with pytest.raises(NotYetVisible):
            await store.get_holon("b", at_least=Token({"holon/b": 2}), deadline=0.02)
        assert not waiting.done()
        await feed(sink(connection), log)
        holon = await waiting
        assert holon is not None
        assert holon.position == 2


@in_loop
async def test_a_holon_is_read_with_the_checkpoint_of_its_partition(neo4j_uri: str) -> None:
    async with ready(neo4j_uri) as connection:
        store = await holding(connection, person("a"), person("b"), started("r", "a", "bare"))
        there = await store.checkpoints()
        assert [c.partition for c in there] == list(range(PARTITIONS))
        assert max(c.visible_position for c in there) == 3
        for name in ("a", "b", "bare", "nobody"):
            read = await store.read_holon(name)
            assert (read.holon is None) == (name not in ("a", "b"))
            assert read.checkpoint_position == there[read.partition].visible_position
            assert read.holon is None or read.holon.position <= read.checkpoint_position


@in_loop
async def test_without_init_nothing_opens_and_the_error_says_what_is_missing(neo4j_uri: str) -> None:
    async with GraphConnection(neo4j_uri) as connection:
        await initialise(connection, CATALOGUE, TOPIC, 2)
        await initialise(connection, CATALOGUE, TOPIC, 2)  # again is fine
        assert await check(connection, CATALOGUE, TOPIC) == 2
        assert await Neo4jGraphStore(connection, CATALOGUE, TOPIC).checkpoints() == [
            Checkpoint(0, 0, 0),
            Checkpoint(1, 0, 0),
        ]
        with pytest.raises(NotInitialised, match="no checkpoints"):
            await Neo4jGraphStore(connection, CATALOGUE, "other").open()
        await connection.execute("DROP CONSTRAINT holonstream_HELD_BY")
        with pytest.raises(NotInitialised, match=r"unique HELD_BY\(_id\)"):
            await sink(connection).open()
        await initialise(connection, CATALOGUE, TOPIC, 2)
        await connection.execute("MATCH (c:HolonstreamCheckpoint {partition: 0}) DELETE c")
        with pytest.raises(NotInitialised, match=r"\[1\]"):
            await sink(connection).open()


@in_loop
async def test_more_partitions_are_taken_only_while_nothing_is_written(neo4j_uri: str) -> None:
    async with ready(neo4j_uri, 1) as connection:
        store = Neo4jGraphStore(connection, CATALOGUE, TOPIC)
        assert (await store.read_holon("a")).partition == 0
        await initialise(connection, CATALOGUE, TOPIC, 2)
        assert await store.checkpoints() == [Checkpoint(0, 0, 0), Checkpoint(1, 0, 0)]
        await feed(sink(connection), log_of(person("a"), person("b")), partitions=2)
        for name in ("a", "b"):  # by a reader of before
            read = await store.read_holon(name)
            assert read.partition == partition_of(f"holon/{name}", 2)
            assert read.checkpoint_position == (await store.checkpoints())[read.partition].visible_position
        before = await store.checkpoints()
        with pytest.raises(PartitionsAdded, match="with 2 partitions, and it has 3 now"):
            await initialise(connection, CATALOGUE, TOPIC, 3)
        await initialise(connection, CATALOGUE, TOPIC, 2)
        assert await store.checkpoints() == before


@pytest.mark.parametrize(
    "foreign",
    [
        "CREATE INDEX holonstream_parked FOR (n:Foreign) ON (n.name)",
        "CREATE INDEX foreign FOR (p:HolonstreamParked) ON (p.key)",
    ],
)
@in_loop
async def test_an_index_of_another_program_in_the_way_is_named(neo4j_uri: str, foreign: str) -> None:
    async with ready(neo4j_uri, 1) as connection:
        name = foreign.split()[2]
        await connection.execute("DROP CONSTRAINT holonstream_parked")
        try:
            await connection.execute(foreign)
            with pytest.raises(NotInitialised, match=r"cannot be made: unique HolonstreamParked\(key\).*SHOW INDEXES"):
                await initialise(connection, CATALOGUE, TOPIC, 1)
        finally:
            await connection.execute(f"DROP INDEX {name} IF EXISTS")
            await initialise(connection, CATALOGUE, TOPIC, 1)


@in_loop
async def test_what_the_server_refuses_is_no_outage(neo4j_uri: str) -> None:
    async with GraphConnection(neo4j_uri) as connection:
        with pytest.raises(GraphRefused, match="SyntaxError"):
            await connection.execute("NONSENSE")


async def all_answers(store: SemanticGraphStore) -> dict[str, object]:
    """What each query answers."""
    of_any = pattern({"holonPatterns": [{"type": "Person", "alias": "p"}], "relationshipPatterns": [{}]})
    return {
        "holons": await store.get_all_holons(),
        "holons of a type": await store.query_holons_by_type("Person"),
        "relationships": await store.get_all_relationships(),
        "relationships of a type": await store.query_relationships_by_type("OCCUPIES"),
        "relationships of a holon": await store.get_holon_relationships("a"),
        "one hop": await store.traverse_relationships("a"),
        "filtered": await store.get_connected_holons("a", filters=RelationshipFilter(properties={"share": 1})),
        "connected": await store.get_connected_holons("a"),
        "reached": await store.traverse("a", max_depth=3),
        "matches": await store.match_pattern(pattern({"holonPatterns": [{"type": "Person"}]})),
        "matches of any": await store.match_pattern(of_any),
        "export": [state async for state in store.export()],
    }


@in_loop
async def test_a_reader_does_not_guess_when_a_checkpoint_is_gone(neo4j_uri: str) -> None:
    """How many there are says in which partition a stream is: a wrong one may have reached any position."""
    async with ready(neo4j_uri, 4) as connection:
        store = Neo4jGraphStore(connection, CATALOGUE, TOPIC)
        token = Token({f"holon/p-{n}": 1 for n in range(40)})
        await connection.execute("MATCH (c:HolonstreamCheckpoint) SET c.visible = 9")
        assert await store.get_all_holons(at_least=token) == []
        for gone in (1, 3):
            await connection.execute("MATCH (c:HolonstreamCheckpoint {partition: $gone}) DELETE c", gone=gone)
            with pytest.raises(NotInitialised, match=r"has checkpoints for .* only: run `holonstream init`"):
                await store.get_all_holons(at_least=token, deadline=0.1)
            await initialise(connection, CATALOGUE, TOPIC, 4)
            with pytest.raises(NotYetVisible):
                await store.get_all_holons(at_least=token, deadline=0.1)
            await connection.execute("MATCH (c:HolonstreamCheckpoint) SET c.visible = 9")


@in_loop
async def test_what_other_programs_keep_in_the_same_database_changes_no_answer(neo4j_uri: str) -> None:
    async with ready(neo4j_uri) as connection:
        share: Any = {"properties": {"share": 1}}
        events = [person("a"), person("b"), person("c"), started("r", "a", "b", **share), started("s", "b", "bare")]
        log = log_of(*events, person("bare"), ended("r"), event("PersonModified", ["a"], diff={"rank": "O-3"}))
        store = Neo4jGraphStore(connection, CATALOGUE, TOPIC)
        await feed(sink(connection), log[: len(events)])
        before = await all_answers(store)
        assert all(before.values()), before
        for statement in OTHERS:
            await connection.execute(statement)
        assert await all_answers(store) == before

        await feed(sink(connection), log)  # the worker writes on
        assert await graph(connection) == states_of(log)
        assert (await store.read_holon("a")).is_whole


@in_loop
async def test_a_page_passes_by_ends_that_are_no_holons_and_have_labels_of_others(neo4j_uri: str) -> None:
    """More of them than a page has rows, at its beginning and in its middle."""
    async with ready(neo4j_uri) as connection:
        links = [started(f"r-{n}", f"bare-{n}", f"more-{n}") for n in range(6)]
        store = await holding(connection, person("c"), person("z"), *links)
        await connection.execute("MATCH (n:Holon) SET n:Seen")
        async with asyncio.timeout(60):
            for limit in (1, 2, 3):
                found = await store.get_all_holons(limit=limit)
                assert [holon.id for holon in found] == ["c", "z"][:limit]
            assert [holon.id for holon in await store.get_all_holons(after="c", limit=1)] == ["z"]
            assert await store.get_all_holons(after="z", limit=1) == []


@in_loop
async def test_a_walk_passes_by_a_node_of_others_whose_id_is_no_text(neo4j_uri: str) -> None:
    async with ready(neo4j_uri) as connection:
        store = await holding(connection, person("a"), person("b"), started("r", "a", "b"))
        await connection.execute("MATCH (a {_id: 'a'}) CREATE (a)-[:OCCUPIES {_id: 'x'}]->(:Thing {_id: 5})")
        assert [holon.id for holon in await store.get_connected_holons("a")] == ["b"]
        assert [found.holon.id for found in await store.traverse("a", max_depth=2)] == ["b"]
        assert await store.get_holon("x" * 50_000) is None  # longer than an index holds


OTHERS = (
    # an algorithm that writes its results
    "MATCH (a {_id: 'a'}), (c {_id: 'c'}) CREATE (a)-[:SIMILAR {score: 0.9, share: 1}]->(c)",
    "MATCH (a {_id: 'a'}), (c {_id: 'c'}) CREATE (a)-[:SIMILAR {_id: 'x-1', share: 1}]->(c)",
    "MATCH (n:Holon) SET n:Seen",
    # an application with types of the same names, and ids of the same name
    "CREATE (:Person:Employee {name: 'x'})-[:OCCUPIES {since: 2020}]->(:Position:Employee)",
    "CREATE (:Person:Employee {name: 'y'})-[:OCCUPIES {_id: 'm-1'}]->(:Position:Employee)",
    "CREATE (:Person:Employee {_id: 'm-2'})-[:OCCUPIES {_id: 'm-3'}]->(:Person:Employee {_id: 'm-4'})",
    "CREATE (:Person {name: 'z'}), (:Person {_id: 'm-5'})",
    # notes about holons
    "MATCH (a {_id: 'a'}) CREATE (:Note {_id: 'm-6'})-[:ABOUT]->(a), (:Note)-[:ABOUT {_id: 'm-7'}]->(a)",
)
