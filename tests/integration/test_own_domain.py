"""A domain of one's own, through the log, the fold and the graph: the smallest there is, with one type of each kind."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any
from uuid import uuid4

import msgspec
import psycopg
import pytest
from click.testing import CliRunner
from structlog.testing import capture_logs

from holonstream.client.connections import catalogue
from holonstream.client.settings import Secret
from holonstream.ops.commands.schemas import schemas
from holonstream.ops.commands.verify import verify
from holonstream.ops.settings import Settings
from holonstream.producers.log.schema import apply_schema
from holonstream.producers.log.store import PostgresEventStore
from holonstream.schemas.catalogue import Catalogue
from holonstream.schemas.errors import UnknownEventType
from holonstream.schemas.event import Event, RecordedEvent
from holonstream.sinks.graph.driver import GraphConnection
from holonstream.sinks.graph.read.store import Neo4jGraphStore
from holonstream.sinks.graph.schema import initialise
from holonstream.sinks.graph.write.bisect import canary
from holonstream.sinks.graph.write.sink import GraphSink
from holonstream.sinks.store import HolonPattern, Pattern, RelationshipPattern
from tests.conformance.graph_store import event
from tests.integration.graph_kit import PARTITIONS, TOPIC, Letters, feed
from tests.support.event_log import append

EVENTS = [
    event("OrderPlaced", ["o-1"], total=12),
    event("OrderPlaced", ["o-2"], total=5),
    event("OrderFollowed", ["o-2", "o-1"], relationshipId="r-1", relationshipType="FOLLOWS", properties={"days": 3}),
    event("OrderShipped", ["o-1"], status="shipped"),
]


@pytest.fixture
def settings(postgres_dsn: str, neo4j_uri: str, tmp_path: Path) -> Settings:
    (tmp_path / "catalogue.json").write_text('{"holonTypes": ["Order"], "relationshipTypes": ["FOLLOWS"]}')
    made = Settings(
        postgres_dsn=Secret(postgres_dsn),
        neo4j_uri=neo4j_uri,
        namespace=TOPIC.removesuffix(".events"),
        schemas=tmp_path,
    )
    for arguments in (
        ["OrderPlaced", "--creates", "Order"],
        ["OrderFollowed", "--creates", "FOLLOWS"],
        ["OrderShipped"],
    ):
        assert CliRunner().invoke(schemas, ["new", *arguments], obj=made).exit_code == 0
    return made


def test_its_events_reach_the_graph_and_no_others(settings: Settings) -> None:
    known = catalogue(settings)
    dsn = settings.postgres_dsn.reveal()
    apply_schema(dsn, known)
    with PostgresEventStore(dsn, known) as store:
        store.append(EVENTS)
        with pytest.raises(UnknownEventType):
            store.append([event("PersonCreated", ["p-1"])])
        log = list(store.read())
    with psycopg.connect(dsn) as connection, pytest.raises(psycopg.Error) as refused:
        append(connection, [unchecked(event("PersonCreated", ["p-1"]))])
    assert refused.value.sqlstate == "HS001"
    assert "docs/adding-an-event-type.md" in str(refused.value.diag.message_hint)

    asyncio.run(write_and_read(settings, known, log))

    with capture_logs():
        done = CliRunner().invoke(verify, ["graph", "--json"], obj=settings)
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["entities"] == 3


def unchecked(given: Event) -> dict[str, Any]:
    """An envelope as a service in another language gives it."""
    return {"id": str(uuid4()), **msgspec.to_builtins(given)}


async def write_and_read(settings: Settings, known: Catalogue, log: list[RecordedEvent]) -> None:
    async with GraphConnection(settings.neo4j_uri) as connection:
        await initialise(connection, known, TOPIC, PARTITIONS)
        await canary(connection, known, TOPIC)
        letters = Letters()
        await feed(GraphSink(connection, known, TOPIC, letters.publish), log)
        assert letters == []
        store = Neo4jGraphStore(connection, known, TOPIC)
        order = await store.get_holon("o-1")
        assert order is not None
        assert (order.type, order.properties) == ("Order", {"total": 12, "status": "shipped"})
        (match,) = await store.match_pattern(
            Pattern(
                holons=(HolonPattern(type="Order", alias="later"),),
                relationships=(RelationshipPattern(type="FOLLOWS", source_alias="later", target_alias="earlier"),),
            )
        )
        assert match.holons["earlier"] == order
        assert await store.query_holons_by_type("Person") == []
