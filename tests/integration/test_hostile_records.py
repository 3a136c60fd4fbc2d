"""Records that another program has put on the topic: no one ends a worker, and no true event is missing in silence."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec
import pytest
from redis.asyncio import Redis
from structlog.testing import capture_logs

from holonstream.producers.log.reader import LogReader
from holonstream.producers.log.schema import apply_schema
from holonstream.producers.log.store import PostgresEventStore
from holonstream.schemas.event import RecordedEvent
from holonstream.schemas.partition import partition_of
from holonstream.sinks.base import Batch
from holonstream.sinks.cache.driver import connect
from holonstream.sinks.cache.entry import position_of
from holonstream.sinks.cache.sink import InvalidationSink
from holonstream.sinks.graph.recovery.redrive import Redriver
from holonstream.sinks.graph.write.sink import GraphSink
from holonstream.testing.records import Record, records_of, wire_value
from tests.conformance.graph_store import CATALOGUE, event, in_loop, log_of, person, states_of
from tests.integration.graph_kit import TOPIC, Letters, graph, ready, sink
from tests.support.hostile_records import RecordGenerator

RECORDS = 400
FAR = 10**15  # beyond every position of the generator
NAMESPACE = "hostile"


@pytest.fixture
def log(postgres_dsn: str) -> Iterator[PostgresEventStore]:
    apply_schema(postgres_dsn, CATALOGUE)
    with PostgresEventStore(postgres_dsn, CATALOGUE) as store:
        yield store


@pytest.fixture
def streams(postgres_dsn: str) -> Iterator[LogReader]:
    with LogReader(postgres_dsn, "test") as reader:
        yield reader


def among_hostile(seed: int, true: Sequence[RecordedEvent]) -> list[Record]:
    """A partition's records: the true ones, with hostile ones before, between and behind."""
    made = RecordGenerator(seed, CATALOGUE)
    records: list[Record] = []
    for number in range(RECORDS):
        records.append(made.record(len(records)))
        if number % (RECORDS // len(true)) == 0 and (at := number * len(true) // RECORDS) < len(true):
            records += records_of([true[at]], len(records))
    return records


@in_loop
async def test_the_graph_has_every_true_event_among_hostile_records(neo4j_uri: str) -> None:
    true = [msgspec.structs.replace(e, position=FAR + e.position) for e in log_of(*map(person, "ABCDEFGH"))]
    records = among_hostile(4, true)
    async with ready(neo4j_uri, 1) as connection:
        letters = Letters()
        into = sink(connection, letters)
        await into.assign(TOPIC, 0, None)
        with capture_logs():
            for start in range(0, len(records), 100):
                part = records[start : start + 100]
                written = await into.write(Batch(TOPIC, 0, part, part[-1].offset + 1))
                assert written.applied + written.skipped + written.dead == len(part)
        found = await graph(connection)
        assert {stream: found.get(stream) for stream in states_of(true)} == states_of(true)
        assert len(letters) > RECORDS / 3
        assert into.counters.out_of_order > 0


@in_loop
async def test_the_cache_keeps_its_width_among_hostile_records(redis_url: str) -> None:
    true = [msgspec.structs.replace(e, position=FAR + e.position) for e in log_of(*map(person, "ABCDEFGH"))]
    records = among_hostile(5, true)
    redis: Redis = connect(redis_url, timeout=5)
    into = InvalidationSink(redis, NAMESPACE)
    with capture_logs():
        for start in range(0, len(records), 100):
            part = records[start : start + 100]
            await into.write(Batch(TOPIC, 0, part, part[-1].offset + 1))
    for name in "ABCDEFGH":
        entry = await redis.get(f"{NAMESPACE}:holon:{name}")
        assert isinstance(entry, bytes)
        reached = position_of(entry)  # higher where a forged record stands beyond all positions
        assert reached is not None
        assert reached >= next(e.position for e in true if e.stream == f"holon/{name}")
    marks = await redis.hgetall(f"{NAMESPACE}:watermarks:0")
    positions = [value for field, value in marks.items() if field == b"floor" or field.isdigit()]
    assert {len(value) for value in positions} == {20}
    await redis.delete(*[key async for key in redis.scan_iter(f"{NAMESPACE}:*")])
    await into.close()


@in_loop
async def test_an_old_record_put_there_again_does_not_lower_an_invalidation(redis_url: str) -> None:
    log = log_of(person("a"), *(event("PersonModified", ["a"], properties={"n": n}) for n in range(3)))
    redis: Redis = connect(redis_url, timeout=5)
    into = InvalidationSink(redis, NAMESPACE)
    again = records_of([*log, log[0], log[1]])
    written = await into.write(Batch(TOPIC, 0, again, 6))
    assert written.position == 4
    entry = await redis.get(f"{NAMESPACE}:holon:a")
    assert isinstance(entry, bytes)
    assert position_of(entry) == 4
    assert await redis.hget(f"{NAMESPACE}:watermarks:0", "floor") == b"%020d" % 4
    await redis.delete(*[key async for key in redis.scan_iter(f"{NAMESPACE}:*")])
    await into.close()


# --- forged records of a true stream ---------------------------------------------------------------------------------


async def write(into: GraphSink, offset: int, *events: RecordedEvent) -> None:
    await into.write(Batch(TOPIC, 0, records_of(events, offset), offset + len(events)))


@pytest.mark.parametrize("position", [900, 4], ids=["ahead", "just before"])
@pytest.mark.parametrize("together", [True, False], ids=["in one batch", "after a restart"])
@in_loop
async def test_a_forged_next_version_parks_the_stream_once_the_true_one_comes(
    neo4j_uri: str, log: PostgresEventStore, streams: LogReader, position: int, together: bool
) -> None:
    log.append([person("b"), person("a", rank="O-1"), person("c")])
    log.append([event("PersonModified", ["c"], properties={"n": 1}) for _ in range(2)])
    log.append([event("PersonModified", ["a"], properties={"rank": "O-4"})])
    log.append([event("PersonModified", ["a"], properties={"rank": "O-5"})])
    true = list(log.read())
    last, following = true[-2:]
    forged = msgspec.structs.replace(last, id="forged", position=position, payload={"properties": {"rank": "FORGED"}})
    async with ready(neo4j_uri, 1) as connection:
        letters = Letters()
        into = sink(connection, letters)
        await into.assign(TOPIC, 0, None)
        with capture_logs() as logs:
            if together:
                await write(into, 0, *true[:3], forged, *true[3:])
            else:
                await write(into, 0, *true[:3], forged)
                into = sink(connection, letters)
                await into.assign(TOPIC, 0, None)
                await write(into, 4, *true[3:])
        parked = [line for line in logs if line["event"] == "graph.stream.parked"]
        assert [(line["stream"], line["version"], line["cause"]) for line in parked] == [
            ("holon/a", 2, "Contradiction")
        ]
        assert [letter.position for letter in letters] == [last.position, following.position]
        (done,) = [d async for d in Redriver(connection, CATALOGUE, TOPIC, streams).redrive(["holon/a"])]
        assert (done.applied, done.parked) == (3, None)
        assert await graph(connection) == states_of(true)


@in_loop
async def test_a_repeated_first_record_does_not_reset_its_entity(neo4j_uri: str) -> None:
    log = log_of(person("a"), *(event("PersonModified", ["a"], properties={"n": n}) for n in range(3)))
    async with ready(neo4j_uri, 1) as connection:
        into = sink(connection)
        await into.assign(TOPIC, 0, None)
        await write(into, 0, *log)
        into = sink(connection)  # one that remembers nothing
        await into.assign(TOPIC, 0, None)
        with capture_logs() as logs:
            await write(into, 4, log[0])
            await write(into, 5, log[2])
        assert [line["count"] for line in logs if line["event"] == "graph.records.out_of_order"] == [1, 1]
        assert await graph(connection) == states_of(log)
        (position,) = await connection.execute("MATCH (c:HolonstreamCheckpoint) RETURN c.position")
        assert position == [4]


@in_loop
async def test_a_stream_in_another_partition_is_left_out_there(neo4j_uri: str) -> None:
    log = log_of(person("a"), event("PersonModified", ["a"], properties={"n": 1}))
    forged = msgspec.structs.replace(log[1], id="forged", payload={"properties": {"n": "FORGED"}})
    home = partition_of("holon/a", 2)
    async with ready(neo4j_uri, 2) as connection:
        letters = Letters()
        into = sink(connection, letters)
        for partition in (0, 1):
            await into.assign(TOPIC, partition, None)
        true, wrong = Batch(TOPIC, home, records_of(log), 2), Batch(TOPIC, 1 - home, records_of([forged]), 1)
        await into.write_batches([true, wrong])
        assert [letter.partition for letter in letters] == [1 - home]
        assert await graph(connection) == states_of(log)


@in_loop
async def test_a_record_whose_key_is_not_its_stream_is_left_out(neo4j_uri: str) -> None:
    log = log_of(person("a"), event("PersonModified", ["a"], properties={"n": 1}))
    forged = [Record(0, None, wire_value(log[0])), Record(1, b"holon/b", wire_value(log[0]))]
    async with ready(neo4j_uri, 1) as connection:
        letters = Letters()
        into = sink(connection, letters)
        await into.assign(TOPIC, 0, None)
        await into.write(Batch(TOPIC, 0, [*forged, *records_of(log, 2)], 4))
        assert [(letter.offset, letter.stream) for letter in letters] == [(0, None), (1, None)]
        assert await graph(connection) == states_of(log)
