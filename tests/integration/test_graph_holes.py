"""Holes in streams, lost and moved checkpoints, dropped constraints: each is noticed and named."""

from __future__ import annotations

import pytest

from holonstream.schemas.errors import NotInitialised
from holonstream.schemas.event import RecordedEvent
from holonstream.sinks.base import Batch, WriteResult
from holonstream.sinks.errors import CheckpointMoved, GraphDamaged
from holonstream.sinks.graph.driver import GraphConnection
from holonstream.sinks.graph.empty_streams import LastSeen, empty_streams
from holonstream.sinks.graph.schema import DuplicateIds, initialise
from holonstream.sinks.graph.statements import text
from holonstream.sinks.graph.write.sink import GraphSink
from holonstream.testing.records import records_of
from tests.conformance.graph_store import CATALOGUE, ended, event, in_loop, log_of, person, started, states_of
from tests.integration.graph_kit import TOPIC, Letters, graph, ready, sink


def changed(name: str) -> RecordedEvent:
    """The third event of a stream that has no entity."""
    return log_of(*(event("PersonModified", [name], properties={"n": n}) for n in range(3)))[2]


async def taken(connection: GraphConnection, letters: Letters | None = None) -> GraphSink:
    """A worker's sink that has just taken the only partition."""
    into = sink(connection, letters)
    await into.assign(TOPIC, 0, None)
    return into


async def write(into: GraphSink, log: list[RecordedEvent], start: int, end: int) -> WriteResult:
    """Write these records of the log as one batch."""
    return await into.write(Batch(TOPIC, 0, records_of(log)[start:end], end))


@in_loop
async def test_a_later_event_of_an_entity_that_is_not_there_is_a_hole(neo4j_uri: str) -> None:
    async with ready(neo4j_uri, 1) as connection:
        log = log_of(
            event("PersonModified", ["c"], properties={}),  # no entity, and rightly so
            person("a"),
            ended("r"),
            event("PersonModified", ["c"], properties={}),
            event("PersonModified", ["a"], properties={"n": 1}),
            ended("r"),
            person("c"),
            event("PersonModified", ["c"], properties={"n": 2}),
            event("PersonModified", ["a"], properties={"n": 2}),
        )
        for start, end in ((0, 3), (3, 6), (6, 8)):
            await write(await taken(connection), log, start, end)
        assert await graph(connection) == states_of(log[:8])
        assert await empty_streams(connection, ["holon/c", "relationship/r"]) == {
            "holon/c": LastSeen(2, 4),
            "relationship/r": LastSeen(2, 6),
        }

        letters = Letters()
        await connection.execute("MATCH (n:Holon {_id: 'a'}) DETACH DELETE n")
        await write(await taken(connection, letters), log, 8, 9)
        await connection.execute("MATCH (e:HolonstreamEmptyStream) DELETE e")
        lost = Batch(TOPIC, 0, records_of([changed("d")], first_offset=9), 10)
        into = await taken(connection, letters)
        await into.write(lost)
        assert [letter.reason.partition(" (")[0] for letter in letters] == [
            "Hole in holon/a: after version 0 comes 3",
            "Hole in holon/d: after version 0 comes 3",
        ]
        assert into.parked_streams == 2

        # a graph of an earlier version, which has no such nodes, continues
        await connection.execute("MATCH (c:HolonstreamCheckpoint) REMOVE c.provesHoles")
        continued = Batch(TOPIC, 0, records_of([changed("e")], first_offset=10), 11)
        assert (await (await taken(connection, letters)).write(continued)).applied == 1


@in_loop
async def test_a_checkpoint_made_again_reads_the_partition_once_more(neo4j_uri: str) -> None:
    async with ready(neo4j_uri, 1) as connection:
        log = log_of(
            person("a"),
            person("b"),
            started("r", "a", "b"),
            event("PersonModified", ["a"], properties={"n": 1}),
            event("PersonModified", ["c"], properties={}),
            ended("r"),
        )
        letters = Letters()
        await write(await taken(connection, letters), log, 0, 6)
        running = await taken(connection, letters)
        await connection.execute("MATCH (c:HolonstreamCheckpoint) DELETE c")
        with pytest.raises(NotInitialised, match=r"has no checkpoint any more: run `holonstream init`"):
            await running.ping()
        await initialise(connection, CATALOGUE, TOPIC, 1, log_end=6)
        with pytest.raises(CheckpointMoved, match="is at offset 0"):
            await running.ping()
        again = await write(await taken(connection, letters), log, 0, 6)
        assert (again.applied, again.skipped, letters) == (0, 6, [])
        assert await graph(connection) == states_of(log)


@in_loop
async def test_a_running_worker_notices_that_its_checkpoint_was_moved_back_or_damaged(neo4j_uri: str) -> None:
    async with ready(neo4j_uri, 1) as connection:
        log = log_of(person("a"), person("b"))
        into = await taken(connection)
        await write(into, log, 0, 2)
        await into.ping()
        await connection.execute("MATCH (c:HolonstreamCheckpoint) SET c.offset = 1, c.position = 1")
        with pytest.raises(CheckpointMoved, match="is at offset 1, and this worker had moved it to 2: was the graph"):
            await into.ping()
        for damage in ("c.offset = 'x'", "c.epoch = null"):
            await connection.execute(f"MATCH (c:HolonstreamCheckpoint) SET {damage}")
            with pytest.raises(GraphDamaged, match="verify graph --no-wait --repair"):
                await taken(connection)
        with pytest.raises(GraphDamaged, match="verify graph --no-wait --repair"):
            await into.ping()


@in_loop
async def test_a_dropped_constraint_is_named_with_what_it_would_not_let_be(neo4j_uri: str) -> None:
    async with ready(neo4j_uri, 1) as connection:
        try:
            into = await taken(connection)
            await write(into, log_of(person("a"), person("b"), started("r", "a", "b")), 0, 3)
            await connection.execute("DROP CONSTRAINT holonstream_holon")
            with pytest.raises(NotInitialised, match=r"missing: unique Holon\(_id\): run `holonstream init`"):
                await into.ping()
            await initialise(connection, CATALOGUE, TOPIC, 1)
            await into.ping()

            await connection.execute("DROP CONSTRAINT holonstream_holon")
            await connection.execute("DROP CONSTRAINT holonstream_OCCUPIES")
            await connection.execute("CREATE (:Holon {_id: 'b'})")
            await connection.execute(
                "MATCH (a {_id: 'a'}), (b:Person {_id: 'b'}) CREATE (a)-[:OCCUPIES {_id: 'r'}]->(b)"
            )
            named = r"unique Holon\(_id\) is missing .* more than once: b \(2 times\).*replay graph --in-place`"
            with pytest.raises(DuplicateIds, match=named):
                await into.ping()
            with pytest.raises(DuplicateIds, match=named):
                await initialise(connection, CATALOGUE, TOPIC, 1)
            await connection.execute("MATCH (n:Holon {_id: 'b'}) WHERE NOT n:Person DELETE n")
            with pytest.raises(DuplicateIds, match=r"unique OCCUPIES\(_id\) is missing .* r \(2 times\)"):
                await initialise(connection, CATALOGUE, TOPIC, 1)
        finally:
            await connection.execute(text("replay_wipe_relationships"), types=sorted(CATALOGUE.relationship_types))
            await connection.execute("MATCH (n) DETACH DELETE n")
            await initialise(connection, CATALOGUE, TOPIC, 1)
