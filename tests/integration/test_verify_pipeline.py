"""Verification and repair beside real processes: a relay, workers, writers, and a cache that readers fill."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import neo4j
from click.testing import CliRunner, Result
from structlog.testing import capture_logs

from holonstream.client import connections
from holonstream.ops.commands.verify import verify
from holonstream.ops.settings import Settings
from holonstream.producers.log.store import PostgresEventStore
from holonstream.sinks.cache.reader import CachedGraphStore
from holonstream.sinks.graph.read.store import Neo4jGraphStore
from tests.conformance.graph_store import CATALOGUE, event, started
from tests.fix_pipeline import Pipeline
from tests.support.waiting import wait_until

PEOPLE = 40


def run(settings: Settings, *arguments: str) -> Result:
    with capture_logs():
        return CliRunner().invoke(verify, arguments, obj=settings)


def report(settings: Settings, *arguments: str, code: int) -> Any:
    done = run(settings, *arguments, "--json")
    assert done.exit_code == code, f"{done.output} {done.exception!r}"
    return json.loads(done.stdout)


def made() -> list[Any]:
    people = [event("PersonCreated", [f"p-{i}"], name=f"person {i}") for i in range(PEOPLE)]
    return [*people, *(started(f"r-{i}", f"p-{i}", f"pos-{i % 7}") for i in range(PEOPLE))]


def test_the_cache_is_compared_with_the_log(pipeline: Pipeline) -> None:
    settings = Settings.of(pipeline.environment)

    async def read_all(graph_only: bool = False) -> int:
        """Read every person through the cache; returns how many fills there were."""
        async with connections.graph_connection(settings) as connection:
            graph = Neo4jGraphStore(connection, CATALOGUE, settings.topic)
            redis = connections.redis_client(settings, timeout=5)
            async with CachedGraphStore(graph, redis, settings.namespace) as store:
                for i in range(PEOPLE):
                    assert await store.get_holon(f"p-{i}") is not None
                return store.counters.fills

    def filled() -> bool:
        asyncio.run(read_all())
        found = report(settings, "cache", "--all", code=0)
        return bool(found["verdicts"] == {"equal": PEOPLE})

    with PostgresEventStore(settings.postgres_dsn.reveal(), CATALOGUE) as log:
        log.append(made())
        pipeline.start("relay", "graph", "cache")
        pipeline.wait_until_relayed(2 * PEOPLE)
        pipeline.wait_until_caught_up("graph", "cache")
        wait_until(filled, "every person is cached", 60)  # a new floor has a grace period of some seconds
        # without the cache worker: events come, nothing is acknowledged, values lag
        pipeline.processes.kill("cache")
        log.append([event("PersonModified", [f"p-{i}"], updates={"n": 1}) for i in range(10)])
        pipeline.wait_until_caught_up("graph")
        found = report(settings, "cache", "--all", code=0)
        assert found["verdicts"] == {"equal": PEOPLE - 10, "lagging": 10}
        assert 0 < found["oldest"]["lagging"] < 300
        # with it: tombstones, and the next reads fill the new values
        kept = connections.redis_client(settings, timeout=5)
        key = f"{settings.namespace}:holon:p-3"
        old = asyncio.run(_get(kept, key))
        pipeline.start("cache")
        pipeline.wait_until_caught_up("cache")
        assert report(settings, "cache", "--all", code=0)["verdicts"] == {"equal": PEOPLE - 10, "tombstone": 10}
        wait_until(filled, "every person is cached again", 60)
        # an old value put back by hand is stale, for the cache group has committed the event
        asyncio.run(_put(connections.redis_client(settings, timeout=5), key, old))
        (stale,) = report(settings, "cache", "--all", "--repair", code=1)["findings"]
        assert (stale["verdict"], stale["key"], stale["deleted"]) == ("stale", key, True)
        assert report(settings, "cache", "--all", code=0)["verdicts"] == {"equal": PEOPLE - 1}
        # what is damaged in the graph is not kept; a wrong value that got in all the same is found
        with neo4j.GraphDatabase.driver(settings.neo4j_uri) as driver, driver.session() as session:
            session.run("MATCH (n {_id: 'p-3'}) SET n.name = 'damaged'").consume()
        asyncio.run(read_all())
        assert report(settings, "cache", "--all", code=0)["verdicts"] == {"equal": PEOPLE - 1}
        assert report(settings, "graph", "--repair", code=1)["repaired"] == 1
        wait_until(filled, "the repaired holon is cached", 60)
        right = asyncio.run(_get(connections.redis_client(settings, timeout=5), key))
        asyncio.run(_put(connections.redis_client(settings, timeout=5), key, right.replace(b"person 3", b"person X")))
        (altered,) = report(settings, "cache", "--sample", "1000", "--repair", code=1)["findings"]
        assert (altered["verdict"], altered["key"]) == ("altered", key)
        wait_until(filled, "the right value is cached", 60)


async def _get(redis: Any, key: str) -> Any:
    try:
        return await redis.get(key)
    finally:
        await redis.aclose()


async def _put(redis: Any, key: str, value: Any) -> None:
    try:
        await redis.set(key, value)
    finally:
        await redis.aclose()
