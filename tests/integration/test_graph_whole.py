"""Readers beside a writer: no entity is a mixture of two versions, and no position is visible before its events.

Neo4j shows transactions while they are being applied. The first test fails when the store builds whatever it reads
(`is_whole` always true), the second within a few tries when readers go by the checkpoints' `position`, not `visible`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from functools import partial

import pytest

from holonstream.schemas.event import Event, RecordedEvent
from holonstream.schemas.state import Holon, Relationship
from holonstream.schemas.token import Token
from holonstream.sinks.graph.driver import GraphConnection
from holonstream.sinks.graph.read.store import Neo4jGraphStore
from holonstream.sinks.graph.read.whole import DamagedEntity
from holonstream.sinks.requests import pattern
from holonstream.testing.records import batches_of, records_of
from tests.conformance.graph_store import CATALOGUE, event, in_loop, log_of, person, started
from tests.integration.graph_kit import TOPIC, feed, ready, sink

VERSIONS = 400
NAMES = [f"k{i}" for i in range(12)]
PATTERN = pattern({"holonPatterns": [{"alias": "p", "type": "Person"}], "relationshipPatterns": [{"targetAlias": "p"}]})


def patch(name: str, n: int) -> Event:
    """Every property becomes n, as text of changing length: Neo4j moves them from record to record."""
    return event(
        "PersonModified", [name], diff={key: f"{n}:" + "x" * (n * (i + 1) % 90) for i, key in enumerate(NAMES)}
    )


def correction(name: str, n: int) -> Event:
    return event("AssignmentCorrected", [], relationshipId=name, corrections=patch(name, n).payload["diff"])


def numbers(entity: Holon | Relationship) -> set[str]:
    """The n of every property."""
    return {value.partition(":")[0] for key, value in entity.properties.items() if key in NAMES}


async def beside(writing: Awaitable[None], reading: Iterable[Callable[[], Awaitable[None]]]) -> int:
    """Read over and over while something is written; how often."""
    writer = asyncio.ensure_future(writing)
    count = 0

    async def again(read: Callable[[], Awaitable[None]]) -> None:
        nonlocal count
        while not writer.done():
            await read()
            count += 1

    await asyncio.gather(*(again(read) for read in reading))
    await writer
    return count


async def write_each(connection: GraphConnection, log: list[RecordedEvent], size: int) -> None:
    """One transaction after the other, all in one partition."""
    into = sink(connection, group=1000)
    await into.assign(TOPIC, 0, None)
    for batch in batches_of(records_of(log), size, TOPIC):
        await into.write(batch)


@in_loop
async def test_an_entity_that_is_being_written_is_read_as_one_of_its_versions(neo4j_uri: str) -> None:
    async with ready(neo4j_uri, 1) as connection:
        log = log_of(
            person("p"),
            event("PositionCreated", ["q"]),
            started("r", "q", "p"),
            *(make(name, n) for n in range(VERSIONS) for make, name in ((patch, "p"), (correction, "r"))),
        )
        store = Neo4jGraphStore(connection, CATALOGUE, TOPIC)

        def check(entity: Holon | Relationship | None) -> None:
            if entity is not None and entity.properties:
                assert numbers(entity) == {str(entity.version - 2)}

        async def one() -> None:
            read = await store.read_holon("p")
            assert read.is_whole
            check(read.holon)

        async def page() -> None:
            for holon in await store.query_holons_by_type("Person"):
                check(holon)

        async def edges() -> None:
            for relationship in await store.get_holon_relationships("q"):
                check(relationship)

        async def match() -> None:
            for found in await store.match_pattern(PATTERN):
                check(found.holons["p"])

        count = await beside(write_each(connection, log, 2), [one, one, page, edges, match])
        assert count > VERSIONS
        holon = await store.get_holon("p")
        assert holon is not None
        assert numbers(holon) == {str(VERSIONS - 1)}


@in_loop
async def test_a_relationship_that_is_made_again_is_read_as_one_of_its_versions(neo4j_uri: str) -> None:
    """Made again with other ends or another type it is another edge, and the old one is deleted."""
    async with ready(neo4j_uri, 1) as connection:
        ends = [("p", "q", "OCCUPIES"), ("q", "p", "MEMBER_OF")]
        log = log_of(
            person("p"),
            event("PositionCreated", ["q"]),
            *(started("r", *ends[n % 2], properties={"n": n}) for n in range(VERSIONS)),
        )
        store = Neo4jGraphStore(connection, CATALOGUE, TOPIC)
        await write_each(connection, log[:3], 3)
        token = Token({"relationship/r": log[2].position})

        def check(found: list[Relationship]) -> None:
            assert len(found) <= 1  # none at the very moment when the one edge goes and the other comes
            for r in found:
                assert (r.source, r.target, r.type) == ends[(r.version - 1) % 2]
                assert r.version == r.properties["n"] + 1

        async def edges() -> None:
            check(await store.get_holon_relationships("q", at_least=token))

        async def match() -> None:
            for found in await store.match_pattern(pattern({"holonPatterns": [{}], "relationshipPatterns": [{}]})):
                check(list(found.relationships))

        assert await beside(write_each(connection, log, 1), [edges, edges, edges, match]) > VERSIONS


@in_loop
async def test_a_position_is_visible_only_when_all_that_led_to_it_is(neo4j_uri: str) -> None:
    names = [f"p{i:03}" for i in range(300)]
    rounds = 40
    async with ready(neo4j_uri, 1) as connection:
        log = log_of(*map(person, names), *(patch(name, n) for n in range(rounds) for name in names))
        store = Neo4jGraphStore(connection, CATALOGUE, TOPIC)
        versions = {e.position: e.version for e in log}

        async def read(name: str) -> None:
            read = await store.read_holon(name)
            position = read.checkpoint_position or 0
            assert position == 0 or (read.holon is not None and read.holon.version >= versions[position])

        await beside(write_each(connection, log, len(names)), [partial(read, name) for name in names[::30]])
        token = Token({f"holon/{names[-1]}": log[-1].position})
        assert {h.version for h in await store.query_holons_by_type("Person", at_least=token)} == {rounds + 1}


@in_loop
async def test_an_entity_changed_by_another_program_is_returned_and_not_cached(neo4j_uri: str) -> None:
    async with ready(neo4j_uri, 1) as connection:
        await feed(sink(connection), log_of(person("a", rank="O-1"), person("b"), started("r", "a", "b")), partitions=1)
        store = Neo4jGraphStore(connection, CATALOGUE, TOPIC)
        assert (await store.read_holon("a")).is_whole
        await connection.execute("MATCH (n {_id: 'a'}) SET n.rank = 'O-9'")
        await connection.execute("MATCH ()-[r {_id: 'r'}]->() SET r.note = 'x'")
        read = await store.read_holon("a")
        assert not read.is_whole
        assert read.holon is not None
        assert read.holon.properties == {"rank": "O-9"}
        assert [r.properties for r in await store.get_holon_relationships("a")] == [{"note": "x"}]
        await connection.execute("MATCH (n {_id: 'a'}) REMOVE n._status")
        with pytest.raises(DamagedEntity, match="'a' is not in Neo4j as it was written"):
            await store.get_holon("a")
        assert await store.get_holon("b") is not None
