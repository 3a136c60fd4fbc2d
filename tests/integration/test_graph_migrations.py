"""Upgrades of a graph: from what the release before made; by several at once; of a later release."""

from __future__ import annotations

import asyncio
import json

import pytest
from click.testing import CliRunner

from holonstream.ops.cli import cli
from holonstream.ops.settings import Settings
from holonstream.schemas.errors import SchemaNewer
from holonstream.sinks.graph.driver import GraphConnection
from holonstream.sinks.graph.schema import check, graph_status, initialise, migrations, upgrade
from tests.conformance.graph_store import CATALOGUE, in_loop
from tests.integration.graph_kit import TOPIC

NUMBERS = [0, *(step.number for step in migrations())]
BEFORE = """
UNWIND [0, 1] AS partition
CREATE (:HolonstreamCheckpoint {topic: $topic, partition: partition, offset: 7, position: 5, visible: 5, epoch: 0})
"""  # as release 0.2.0 left them


async def records(connection: GraphConnection) -> list[int]:
    return [
        number
        for (number,) in await connection.execute(
            "MATCH (m:HolonstreamMigration) RETURN m.number AS number ORDER BY number"
        )
    ]


@in_loop
async def test_a_graph_of_the_release_before_is_upgraded_once(neo4j_uri: str) -> None:
    async with GraphConnection(neo4j_uri) as connection:
        await initialise(connection, CATALOGUE, TOPIC, 1)
        await connection.execute("MATCH (n) DELETE n")
        await connection.execute("DROP CONSTRAINT holonstream_migration")
        await connection.execute("DROP CONSTRAINT holonstream_parked")
        await connection.execute(BEFORE, topic=TOPIC)
        pending = (await graph_status(connection, CATALOGUE)).pending
        assert [step.number for step in pending] == NUMBERS
        assert "holonstream_parked" in pending[0].text
        assert await upgrade(connection, CATALOGUE)
        found = await connection.execute("MATCH (c:HolonstreamCheckpoint) RETURN c.known, c.provesHoles, c.offset")
        assert found == [[0, False, 7], [0, False, 7]]
        status = await graph_status(connection, CATALOGUE)
        assert ([step.number for step in status.applied], status.pending) == (NUMBERS, [])
        assert not await upgrade(connection, CATALOGUE)


@in_loop
async def test_many_that_upgrade_at_once_leave_one_record_of_each_step(neo4j_uri: str) -> None:
    async with GraphConnection(neo4j_uri) as connection:
        await asyncio.gather(*(initialise(connection, CATALOGUE, TOPIC, 2) for _ in range(4)))
        assert await records(connection) == NUMBERS
        assert await check(connection, CATALOGUE, TOPIC) == 2


@pytest.mark.parametrize(
    "newer",
    [
        "CREATE (:HolonstreamMigration {number: 9999, name: '9999_later', release: '99.0.0'})",
        "MATCH (m:HolonstreamMigration {number: 0}) SET m.release = '99.0.0'",
    ],
)
@in_loop
async def test_a_graph_of_a_later_release_is_refused(neo4j_uri: str, newer: str) -> None:
    async with GraphConnection(neo4j_uri) as connection:
        await initialise(connection, CATALOGUE, TOPIC, 1)
        await connection.execute(newer)
        with pytest.raises(SchemaNewer, match=r"99\.0\.0"):
            await graph_status(connection, CATALOGUE)
        with pytest.raises(SchemaNewer, match=r"99\.0\.0"):
            await initialise(connection, CATALOGUE, TOPIC, 1)
        assert await check(connection, CATALOGUE, TOPIC) == 1  # workers continue


@in_loop
async def test_the_commands_show_what_they_would_do_and_do_it(neo4j_uri: str) -> None:
    settings = Settings.of({"HOLONSTREAM_NEO4J_URI": neo4j_uri})

    async def command(*arguments: str) -> str:
        words = ["migrate", *arguments, "--only", "graph"]
        done = await asyncio.to_thread(CliRunner().invoke, cli, words, obj=settings, catch_exceptions=False)
        assert done.exit_code == 0, done.output
        return done.stdout

    async with GraphConnection(neo4j_uri) as connection:
        await initialise(connection, CATALOGUE, TOPIC, 1)
        await connection.execute("MATCH (m:HolonstreamMigration) DELETE m")
        names = [step.name for step in migrations()]
        assert [step["name"] for step in json.loads(await command("plan", "--json"))] == names
        cypher = await command("apply", "--dry-run")
        assert all(f"// {step.name}\n{step.text}" in cypher for step in migrations())
        assert await records(connection) == []
        assert json.loads(await command("apply", "--json"))["changed"] is True
        assert await command("plan") == ""
        assert (await command("status")).count("graph  applied  ") == len(NUMBERS)
